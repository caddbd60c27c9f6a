"""Self-contained HTML pages: one file, no script, no reference to another file or host."""

from __future__ import annotations

import base64
import importlib.resources
import io
from typing import TYPE_CHECKING, Any

from .optional import require
from .text import encodable, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PACKAGE = "video_mobile_former"
ACCENT, SOFT, LINE = "#08519c", "#5b6875", "#dfe4e9"
"""Colours of ``page.css``, for pictures."""


def render(template: str, **content: Any) -> str:
    """Fill in a template of this package.

    Args:
        template: Its place in the package, for example
            ``"evaluation/report/report.html.jinja"``. It may include other files of the
            package by their place, such as ``page.css``.
        content: Variables of the template. Names and paths may hold any text: they are escaped,
            and the filter ``text`` shows what cannot be printed.

    Raises:
        UserError: If jinja2 is not installed.
    """
    jinja2 = require("jinja2", extra="train", purpose="the report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["text"] = _text
    return environment.get_template(template).render(**content)


def new_figure(width: float, height: float) -> Figure:
    """An empty picture whose parts make room for each other.

    Args:
        width: In inches; on a screen they become as wide as the page has room.
        height: In inches.

    Raises:
        UserError: If matplotlib is not installed.
    """
    require("matplotlib", extra="train", purpose="the pictures of the report")
    # Without pyplot: no global state and no display is touched.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def svg_url(figure: Figure) -> str:
    """A picture as the ``src`` of an image: sharp at every size, the same for the same picture."""
    import matplotlib

    out = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": _PACKAGE}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def _source(name: str) -> str:
    return importlib.resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _text(value: str) -> str:
    """Untrusted text on the page: control characters shown as escapes, then escaped by jinja2."""
    return printable(encodable(value))

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
        template: Its path within the package, for example
            ``"evaluation/report/report.html.jinja"``. It may include other files of the
            package by path, such as ``page.css``.
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
    """An empty matplotlib figure with constrained layout.

    Args:
        width: In inches; the page scales the picture down to its own width.
        height: In inches.

    Raises:
        UserError: If matplotlib is not installed.
    """
    require("matplotlib", extra="train", purpose="the pictures of the report")
    # Without pyplot there is no global state and no display.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def svg_url(figure: Figure) -> str:
    """A figure as an SVG data URL for ``src``; equal figures give equal bytes."""
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

"""Self-contained HTML pages: one file, no script, no reference to another file or host."""

from __future__ import annotations

import base64
import importlib.resources
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .optional import require
from .text import encodable, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PACKAGE = "video_mobile_former"
INK, ACCENT, SOFT, LINE, PAPER = "#16202b", "#08519c", "#5b6875", "#dfe4e9", "#ffffff"
"""Colours of ``page.css``, for pictures."""
_DARK = {
    INK: "#e4eaf0",
    ACCENT: "#7ab8f5",
    SOFT: "#9ba8b5",
    LINE: "#2d3845",
    PAPER: "#171f28",
}
"""What stands for each on a dark screen, as in ``page.css``."""
_COLOUR = re.compile(rb"(?<=[a-z]: )#[0-9a-f]{6}\b")
_SIZE = "\x00size\x00"
"""Stands for the size of a page until it is known; no text on a page can hold it."""


@dataclass(frozen=True)
class Chart:
    """A drawing as data URLs, for light and for dark screens."""

    light: str
    dark: str


@dataclass(frozen=True)
class Preview:
    """A small clip for a page; Base64."""

    still: str
    """A JPEG file of one of its frames."""
    moving: str = ""
    """An animated WebP file; empty where only the still is shown."""


def render(template: str, **content: Any) -> str:
    """Fill in a template of this package.

    Args:
        template: Its path within the package, for example
            ``"evaluation/report/report.html.jinja"``. It may include other files of the
            package by path, such as ``page.css``, and states the size of the page as
            ``page_size``.
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
    page = environment.get_template(template).render(**content, page_size=_SIZE)
    return page.replace(_SIZE, bytes_words(len(page.encode())))


def bytes_words(count: int) -> str:
    """A number of bytes in words, for example ``"1.4 MB"``."""
    return f"{count / 1e6:.1f} MB" if count >= 950_000 else f"{max(1, round(count / 1e3))} kB"


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


def chart_of(figure: Figure) -> Chart:
    """A figure as two SVG data URLs; equal figures give equal bytes.

    Args:
        figure: Drawn in the colours of this module, which change on a dark screen; others stay.
    """
    import matplotlib

    out = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": _PACKAGE}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    dark = _COLOUR.sub(lambda found: _dark(found.group()), svg)
    return Chart(_url(svg), _url(dark))


def _dark(colour: bytes) -> bytes:
    return _DARK.get(colour.decode("ascii"), colour.decode("ascii")).encode("ascii")


def _url(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + _base64(svg)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _source(name: str) -> str:
    return importlib.resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _text(value: str) -> str:
    """Untrusted text on the page: control characters shown as escapes, then escaped by jinja2."""
    return printable(encodable(value))

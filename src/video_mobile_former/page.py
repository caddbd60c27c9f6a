"""Self-contained HTML pages: one file, no script, no reference to another file or host."""

from __future__ import annotations

import importlib.resources
from typing import Any

from .optional import require
from .text import encodable, printable

_PACKAGE = "video_mobile_former"


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


def _source(name: str) -> str:
    return importlib.resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _text(value: str) -> str:
    """Untrusted text on the page: control characters shown as escapes, then escaped by jinja2."""
    return printable(encodable(value))

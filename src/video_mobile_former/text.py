"""Making file names and labels, which may hold any bytes, safe for terminals and files."""

from __future__ import annotations

import re
from pathlib import Path

from rich.cells import cell_len, chop_cells, set_cell_size

_ELLIPSIS = "…"


def encodable(text: str) -> str:
    """Make text writable as UTF-8: undecodable bytes of file names become ``\\udcxx``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def printable(text: str) -> str:
    """Escape unprintable characters, so that text is one line and safe on a terminal.

    File names may hold line breaks and terminal control sequences.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


_DIRECTING = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
"""Control characters, line ends, and what turns the direction of writing."""


def csv_cell(text: str, *, is_path: bool = False) -> str:
    """Escape text for a cell of a CSV file that people open in a spreadsheet.

    A cell that begins with ``= + - @`` would be taken for a formula there: an apostrophe goes
    before it, and ``./`` before a path, which then still names the file.

    Args:
        text: What the cell is to say.
        is_path: It names a file.
    """
    text = _DIRECTING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    text = encodable(text)
    if not text.startswith(("=", "+", "-", "@")):
        return text
    return f"./{text}" if is_path else f"'{text}"


def shorten_middle(text: str, width: int) -> str:
    """Cut the middle out of a long text, so that start and end of a path stay readable.

    Args:
        text: One line.
        width: Terminal columns, at least 1; wide characters count two.
    """
    if cell_len(text) <= width:
        return text
    head = (width - 1) // 3
    tail = width - 1 - head
    start = len(text)
    while start and cell_len(text[start - 1 :]) <= tail:
        start -= 1
    return set_cell_size(text, head).rstrip() + _ELLIPSIS + text[start:]


def shorten_end(text: str, width: int) -> str:
    """Cut the end off a long text.

    Args:
        text: One line.
        width: Terminal columns, at least 1; wide characters count two.
    """
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + _ELLIPSIS


def pad(text: str, width: int) -> str:
    """Pad with spaces to ``width`` terminal columns."""
    return text + " " * max(0, width - cell_len(text))


def wrap(text: str, width: int) -> list[str]:
    """Break text into lines at spaces, and inside words that are too long.

    Args:
        text: One line.
        width: Terminal columns, at least 2; wide characters count two.
    """
    lines = [""]
    for word in text.split():
        if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += " " + word
            continue
        parts = [word] if cell_len(word) <= width else chop_cells(word, width)
        lines += parts
    return lines[1:] if len(lines) > 1 else lines


def natural_key(path: str | Path) -> list[tuple[tuple[int, int, str], ...]]:
    """Sort key in which numbers count by their value, folder by folder."""
    return [_natural(part) for part in Path(path).parts]


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    # Text and numbers alternate, text first, so only like kinds are compared. `isdecimal` and the
    # ASCII flag agree on what a number is; the text itself decides between 1 and 01.
    parts = re.split(r"([0-9]+)", text)
    keys = [
        (0, int(p), p) if p.isdecimal() and p.isascii() else (1, 0, p.casefold()) for p in parts
    ]
    return (*keys, (1, 0, text))

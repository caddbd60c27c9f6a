"""Making file names and labels, which may hold any bytes, safe for terminals and files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

from rich.cells import cell_len, chop_cells, set_cell_size

_ELLIPSIS = "…"
_APOSTROPHE = "'"
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
"""How a cell begins that a spreadsheet would compute; some take full-width signs too."""
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


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


def table_cell(text: str) -> str:
    """Make text safe in a table that people open in a spreadsheet or print on a terminal.

    A cell that a spreadsheet would take for a formula gets an apostrophe before it, as
    spreadsheets write text themselves; numbers are left alone. Control and right-to-left
    characters are escaped as in :func:`printable`, but for line breaks and tabs inside, which CSV
    quotes. Undecodable bytes of file names become ``\\udcxx``.
    """
    text = "".join(
        char if char.isprintable() or char in "\n\r\t" else printable(char)
        for char in encodable(text)
    )
    return _APOSTROPHE + text if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def csv_line(cells: Iterable[object]) -> str:
    """One row of a CSV with the line break ``\\n`` after it, which reads back whatever is in it.

    Before Python 3.13 the writer of the standard library quotes no ``\\r`` if rows end with
    ``\\n``.
    """
    row = io.StringIO(newline="")
    csv.writer(row, lineterminator="\r\n").writerow(cells)
    return row.getvalue().removesuffix("\r\n") + "\n"


def list_path(path: str) -> str:
    """A relative path as a list holds it, so that it begins with no sign of a formula.

    ``./-a.mp4`` is the same file as ``-a.mp4``; the path can be read back as it stands.
    """
    return f"./{path}" if _FORMULA.match(path) else path


def list_label(label: str) -> str:
    """A class name as a list holds it; :func:`label_of_list` gives it back."""
    return _APOSTROPHE + label if _FORMULA.match(label.lstrip(_APOSTROPHE)) else label


def label_of_list(cell: str) -> str:
    """The class name in a cell: without the apostrophe that :func:`list_label` put before it."""
    quoted = cell[:1] == _APOSTROPHE and _FORMULA.match(cell.lstrip(_APOSTROPHE))
    return cell[1:] if quoted else cell


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

"""Small data sets for tests: empty files where videos would be, and what a format makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from video_mobile_former.data.formats import FORMATS
from video_mobile_former.data.source import DataSource, Faults, Row


def touch(root: Path, *names: str) -> Path:
    """Make empty files, and the folders they lie in."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def write(path: Path, text: str, *, encoding: str = "utf-8") -> Path:
    """Write a list, its line ends as given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def rows_of(
    form: str,
    root: Path,
    annotations: Path | None = None,
    faults: Faults | None = None,
    **more: Any,
) -> list[Row]:
    """The rows that a format yields, those of missing files among them."""
    listing = None if annotations is None else str(annotations)
    source = DataSource(form and str(root), format=form, annotations=listing, **more)
    return list(FORMATS[form].rows(source, faults or Faults()))

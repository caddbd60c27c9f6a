"""The order in which people count file names: clip2 before clip10."""

from __future__ import annotations

import re
from pathlib import Path


def natural_key(path: str | Path) -> list[tuple[tuple[int, int, str], ...]]:
    """Sort key in which numbers count by their value, folder by folder."""
    return [_natural(part) for part in Path(path).parts]


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    # Text and numbers alternate, text first, so the same kinds always meet. `isdecimal` and the
    # ASCII flag agree on what a number is; the text itself decides between 1 and 01.
    parts = re.split(r"([0-9]+)", text)
    keys = [
        (0, int(p), p) if p.isdecimal() and p.isascii() else (1, 0, p.casefold()) for p in parts
    ]
    return (*keys, (1, 0, text))

"""The clips that a run or an evaluation leaves out from its begin: those that a list names.

A run keeps a copy of the list, so that it goes on with the same clips though the data was checked
again meanwhile.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ..console import say
from ..data.index import ClipIndex
from ..data.quarantine import (
    default_quarantine,
    is_check_of,
    read_quarantine,
)


def list_of(given: str | None, path: str) -> Path | None:
    """The list for the data at ``path``: the one given, else that of ``vmf data check``, if any.

    Raises:
        DataError: If the latter is there but cannot be read.
    """
    if given is not None:
        return Path(given)
    file = default_quarantine(path)
    return file if is_check_of(file, path) else None


def without(index: ClipIndex, file: Path, *, of_run: bool) -> ClipIndex:
    """The clips that a list does not name; tells how many it does.

    Args:
        index: All clips.
        file: The list.
        of_run: It is the copy of a run, for all its data.

    Raises:
        DataError: If it cannot be read.
    """
    entries = read_quarantine(file)
    rows = index.table.find(entries)
    if not of_run:
        _say_unknown(entries, rows, index, file)
    if not len(rows):
        return index
    are = "is" if len(rows) == 1 else "are"
    say(f"{index.source}: {len(rows)} of {len(index)} clips {are} left out by {file}")
    kept = np.delete(np.arange(len(index)), rows)
    return dataclasses.replace(index, clips=index.table.take(kept))


def _say_unknown(entries: dict[str, str], rows: np.ndarray, index: ClipIndex, file: Path) -> None:
    clips = [index.clips[i] for i in rows.tolist()]
    known = {name for clip in clips for name in (clip.name, clip.path)}
    unknown = [name for name in entries if name not in known]
    if unknown:
        are = "is" if len(unknown) == 1 else "are"
        names = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
        of = f"{len(unknown)} of its {len(entries)} names {are} not in {index.source}"
        say(f"{file}: {of}: {names}")

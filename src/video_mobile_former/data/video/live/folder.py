"""Video files that appear in a folder."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ....errors import DataError
from ....text import natural_key, printable
from ...suffixes import VIDEO_SUFFIXES

_LOOKS_SECONDS = 0.5


def new_files(
    folder: Path, stop: threading.Event, *, existing: bool, settle_seconds: float
) -> Iterator[Path]:
    """Yield each video file once it has stopped growing.

    Args:
        folder: Watched without what lies below it; hidden files do not count.
        stop: Ends the watch.
        existing: Give files that are already there as well.
        settle_seconds: How long a file must not have changed.

    Yields:
        Those complete at one look in natural order, without end.

    Raises:
        DataError: If the folder cannot be read at the start.
    """
    try:
        seen = {} if existing else _listed(folder)
    except OSError as error:
        raise DataError(f"{printable(str(folder))}: {error.strerror}") from error
    given = dict.fromkeys(seen)
    waiting: dict[str, tuple[tuple[int, int], float]] = {}
    while not stop.is_set():
        try:
            listed = _listed(folder)
        except OSError:  # unmounted, moved: it may come back
            stop.wait(_LOOKS_SECONDS)
            continue
        # A file of that name may come again after it was taken away.
        given = {name: None for name in given if name in listed}
        now = time.monotonic()
        ready = []
        for name, state in listed.items():
            if name in given:
                continue
            before, since = waiting.get(name, (None, now))
            waiting[name] = (state, since if before == state else now)
            if before == state and now - since >= settle_seconds and state[0]:
                ready.append(name)
        waiting = {name: wait for name, wait in waiting.items() if name in listed}
        for name in sorted(ready, key=natural_key):
            given[name] = None
            del waiting[name]
            yield folder / name
            if stop.is_set():
                return
        stop.wait(_LOOKS_SECONDS)


def _listed(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of each video file, by name."""
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or Path(entry.name).suffix.lower() not in VIDEO_SUFFIXES:
                continue
            try:
                status = entry.stat()
            except OSError:  # taken away meanwhile
                continue
            found[entry.name] = (status.st_size, status.st_mtime_ns)
    return found

"""Whether clips lie in the same files, however their paths are written, or in copies of them."""

from __future__ import annotations

import filecmp
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence


def in_files(paths: Sequence[str], files: Iterable[str]) -> list[int]:
    """Find the paths that name one of the files or a copy of it.

    Links and ``..`` in a path do not hide a file. Files of the same size are compared byte by
    byte; re-encoded copies are not found, which is for ``vmf data check``. URLs, and what is no
    longer there, are compared by their names alone; of folders of pictures no copies are found.

    Args:
        paths: Of clips.
        files: To be found among them.

    Returns:
        Positions in ``paths``, rising.
    """
    names, places = set(files), set[tuple[int, int]]()
    of_size: dict[int, list[str]] = defaultdict(list)
    for name in sorted(names):
        found = _stat(name)
        if found is not None:
            places.add((found.st_dev, found.st_ino))
            if stat.S_ISREG(found.st_mode):
                of_size[found.st_size].append(name)

    def among(path: str) -> bool:
        if path in names:
            return True
        found = _stat(path)
        if found is None:
            return False
        if (found.st_dev, found.st_ino) in places:
            return True
        if not stat.S_ISREG(found.st_mode):
            return False
        return any(_equal(path, other) for other in of_size.get(found.st_size, ()))

    known: dict[str, bool] = {}
    for path in paths:  # a file may hold many clips
        if path not in known:
            known[path] = among(path)
    return [i for i, path in enumerate(paths) if known[path]]


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - paths are texts, and may be many
    except (OSError, ValueError):
        return None


def _equal(one: str, other: str) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False

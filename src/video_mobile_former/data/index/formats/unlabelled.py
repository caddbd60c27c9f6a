"""All videos of a folder, however deep, as clips of one class that says nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ....errors import DataError
from ..clip import Clip
from ..source import DataSource, Faults
from .videos import Videos

UNLABELLED = "unlabelled"


def unlabelled_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield every video and frame folder under a folder, in order of their paths.

    Raises:
        DataError: If there is none.
    """
    videos = Videos(source.folder)
    paths = videos.paths()
    if not paths:
        raise DataError(f"{source.folder}: no videos in it")
    for path in paths:
        yield Clip(videos.absolute(path), (UNLABELLED,), path, str(source.folder))

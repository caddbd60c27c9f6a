"""All videos of a folder, or the rows of a list without a label, as clips of one class."""

from __future__ import annotations

from collections.abc import Iterator

from ....errors import DataError
from ..clip import Clip
from ..listing import list_rows
from ..source import DataSource, Faults
from .videos import Videos

UNLABELLED = "unlabelled"


def unlabelled_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield every video and frame folder under a folder, in order of their paths.

    Of a CSV/TSV list it yields the rows whose label is empty.

    Raises:
        DataError: If there is none.
    """
    if source.listing.is_file():
        rows = [row for row in list_rows(source, _NoLabels()) if row.labels == (UNLABELLED,)]
        if not rows:
            raise DataError(f"{source.listing}: every row has a label; none without")
        yield from rows
        return
    videos = Videos(source.folder)
    paths = videos.paths()
    if not paths:
        raise DataError(f"{source.folder}: no videos in it")
    for path in paths:
        yield Clip(videos.absolute(path), (UNLABELLED,), path, str(source.folder))


class _NoLabels(Faults):
    """Rows without a label stand for themselves; what is wrong with others is of no concern."""

    def __init__(self) -> None:
        super().__init__(collect=True)

    def no_label(self, where: str, name: str) -> str:
        return UNLABELLED

"""Batches for the trainer, from where the run is, with clear words when their source dies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from ...data.loading.dataset import Batch
from ...data.loading.loader import WorkersEndedError
from ..run.interrupt import StopRequest, StopTraining
from ..run.position import Position


@runtime_checkable
class TrainLoader(Protocol):
    """Training clips of one process: each ``for`` over it gives the rest of an epoch."""

    @property
    def source(self) -> str:
        """Where the clips come from, for messages."""
        ...

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        ...

    def __iter__(self) -> Iterator[Batch]: ...

    def start_at(self, epoch: int, batch: int = 0) -> None:
        """Let the next ``iter()`` begin at this batch of this epoch."""
        ...

    def names(self, indices: Sequence[int]) -> list[str]:
        """What a person is told of clips, by the ``indices`` of their batch."""
        ...


class EpochBatches:
    """The batches that are left of an epoch, anew at every ``iter()``.

    It has no length on purpose: Lightning would ask once and hold a resumed, shorter epoch to it.

    Args:
        loader: All training clips of this process.
        position: Moved by the run; says which epoch, and its first batch.
        stop: See :func:`guarded`.
    """

    def __init__(self, loader: TrainLoader, position: Position, stop: StopRequest):
        self._loader, self._position, self._stop = loader, position, stop

    def __iter__(self) -> Iterator[Batch]:
        self._loader.start_at(self._position.epoch, self._position.batch)
        yield from guarded(self._loader, self._stop)


def guarded(batches: Iterable[Batch], stop: StopRequest) -> Iterator[Batch]:
    """Yield batches; the end of the processes that read video may be a wish to stop.

    Raises:
        StopTraining: If a stop was asked for: SIGTERM to a whole process group ends the workers
            before the trainer looks.
        WorkersEndedError: Otherwise.
    """
    try:
        yield from batches
    except WorkersEndedError as error:
        if stop.requested:
            raise StopTraining from error
        raise

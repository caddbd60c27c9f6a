"""What the loop takes its batches from, with clear words when their source dies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from ...data.loading.dataset import Batch
from ...data.loading.loader import WorkersEndedError
from ..run.interrupt import StopRequest, StopTraining


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

"""Labelled batches, each with unlabelled clips beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...data.loading.dataset import Batch
from ...data.loading.loader import ClipLoader


class PairedLoader:
    """A loader of labelled batches that puts a batch of others under ``"unlabelled"``.

    An epoch is one of the labelled clips. The others go on from epoch to epoch and begin anew, in
    another order, when all were given: which of them a batch gets depends on its epoch and place
    alone, so that a run that was broken off goes on exactly.

    Args:
        labelled: Decides the length of an epoch.
        unlabelled: At least one batch.
    """

    def __init__(self, labelled: ClipLoader, unlabelled: ClipLoader):
        self.labelled, self.unlabelled = labelled, unlabelled
        self._at = (0, 0)

    @property
    def source(self) -> str:
        """Where the labelled clips come from, for messages."""
        return self.labelled.source

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self.labelled)

    def start_at(self, epoch: int, batch: int = 0) -> None:
        """Let the next ``iter()`` begin at this batch of this epoch."""
        self._at = (epoch, batch)
        self.labelled.start_at(epoch, batch)

    def __iter__(self) -> Iterator[Batch]:
        epoch, batch = self._at
        self._at = (epoch + 1, 0)
        others = self._others(epoch * len(self) + batch)
        for found in self.labelled:
            found["unlabelled"] = next(others)
            yield found

    def _others(self, done: int) -> Iterator[Batch]:
        epoch, batch = divmod(done, len(self.unlabelled))
        while True:
            self.unlabelled.start_at(epoch, batch)
            yield from self.unlabelled
            epoch, batch = epoch + 1, 0

    def names(self, indices: Sequence[int]) -> list[str]:
        """What a person is told of labelled clips."""
        return self.labelled.names(indices)

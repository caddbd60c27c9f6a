"""Labelled batches, each with unlabelled clips beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...data.loading.dataset import Batch
from ...data.loading.loader import ClipLoader
from ...errors import DataError
from ..run.position import MAX_EMPTY_BATCHES


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
        self._seen = self._tried = self._failed = self._empty_in_a_row = 0

    @property
    def source(self) -> str:
        """Where the labelled clips come from, for messages."""
        return self.labelled.source

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self.labelled)

    def start_at(self, epoch: int, batch: int = 0) -> None:
        """Let the next ``iter()`` begin at this batch of this epoch."""
        self._at = (epoch, batch)  # what failed counts on, for an epoch may be few batches
        self.labelled.start_at(epoch, batch)

    def __iter__(self) -> Iterator[Batch]:
        epoch, batch = self._at
        self._at = (epoch + 1, 0)
        others = self._others(epoch * len(self) + batch)
        for found in self.labelled:
            found["unlabelled"] = next(others)
            self._refuse_failures(found["unlabelled"])
            yield found

    def _others(self, done: int) -> Iterator[Batch]:
        epoch, batch = divmod(done, len(self.unlabelled))
        while True:
            self.unlabelled.start_at(epoch, batch)
            yield from self.unlabelled
            epoch, batch = epoch + 1, 0

    def _refuse_failures(self, batch: Batch) -> None:
        """Stop where most of the others cannot be read: the run would be another than asked for.

        Raises:
            DataError: If more than half failed of as many batches as hold all of them once, or all
                of many batches in a row.
        """
        failures, read = batch["failures"], len(batch["labels"])
        self._seen += 1
        self._tried += read + len(failures)
        self._failed += len(failures)
        self._empty_in_a_row = 0 if read else self._empty_in_a_row + 1
        source = self.unlabelled.source
        if self._empty_in_a_row >= MAX_EMPTY_BATCHES:
            what = f"none of {MAX_EMPTY_BATCHES} batches in a row holds a readable clip"
        elif self._seen < len(self.unlabelled):
            return
        elif self._failed > self._tried / 2:
            what = f"{self._failed} of {self._tried} clips without labels cannot be read"
        else:
            self._seen = self._tried = self._failed = 0
            return
        first = f": {failures[0]}" if failures else ""
        raise DataError(f"{source}: {what}{first}")

    def names(self, indices: Sequence[int]) -> list[str]:
        """What a person is told of labelled clips."""
        return self.labelled.names(indices)

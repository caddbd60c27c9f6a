"""Which videos were begun and not finished, in an actor that outlives those that work.

A module of its own, so that this actor loads neither torch nor a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Group = tuple[int, int]
"""Videos that are begun together: position of the first, and how many they are."""


class Ledger:
    """Counts how often videos were begun and not finished. Lives in the actor."""

    def __init__(self) -> None:
        self._begun: dict[Group, int] = {}

    def begin(self, which: Group, finished: Sequence[Group]) -> int:
        """Note that some videos are begun.

        Args:
            which: The videos.
            finished: Those that are finished since the last call.

        Returns:
            How often they were begun, this time included.
        """
        self.finish(finished)
        self._begun[which] = self._begun.get(which, 0) + 1
        return self._begun[which]

    def finish(self, which: Sequence[Group]) -> None:
        """Note that videos are finished."""
        for each in which:
            self._begun.pop(each, None)


class Notes:
    """What one task has begun and finished, in the ledger.

    Args:
        ray: The module.
        ledger: Handle of the actor.
    """

    def __init__(self, ray: Any, ledger: Any):
        self._ray, self._ledger = ray, ledger
        self._finished: list[Group] = []

    def begin(self, which: Group) -> int:
        """Note that videos are begun; how often they were."""
        times = self._ray.get(self._ledger.begin.remote(which, self._finished))
        self._finished = []
        return times

    def done(self, which: Group) -> None:
        """Note, with the next call, that videos are finished."""
        self._finished.append(which)

    def finish(self) -> None:
        """Note that all are finished."""
        self._ray.get(self._ledger.finish.remote(self._finished))

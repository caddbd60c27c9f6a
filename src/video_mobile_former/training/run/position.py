"""Where a run is, and what it has added up in the epoch so far: the small part of its state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch.distributed as dist

from .lost import SharedDataError

MAX_EMPTY_BATCHES = 20
"""Batches in a row that may hold too few readable clips to train on."""
_NAMES_KEPT = 3


@dataclass
class Position:
    """How far a run has come; saved with its state."""

    epoch: int = 0
    """Epoch that the next batch belongs to, from 0."""
    batch: int = 0
    """Next batch of that epoch, from 0."""
    step: int = 0
    """Optimiser steps taken."""
    unmeasured: bool = False
    """The epoch before was trained but not yet validated."""
    seconds: float = 0.0
    """Time spent so far, over all starts."""


@dataclass
class Totals:
    """Sums of an epoch so far over the clips of all processes; saved with the state."""

    clips: int = 0
    loss: float = 0.0
    failed: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    """What an objective gives beside the loss."""
    empty_in_a_row: int = 0
    failures: list[str] = field(default_factory=list)
    """The first few, for the message at the end of the epoch."""
    recent: dict[str, float] = field(default_factory=dict)
    """Clips, loss and figures since the last ``step`` row of the log."""

    def add(self, clips: int, loss: float, failed: int, figures: Mapping[str, float]) -> None:
        """Count one batch."""
        self.clips += clips
        self.loss += loss
        self.failed += failed
        self.empty_in_a_row = 0 if clips else self.empty_in_a_row + 1
        _add(self.figures, figures)
        _add(self.recent, {"clips": clips, "loss": loss, **figures})

    def means(self) -> dict[str, float]:
        """Loss and figures of a clip."""
        sums = {"loss": self.loss, **self.figures}
        return {name: value / max(self.clips, 1) for name, value in sums.items()}

    def take_recent(self) -> dict[str, float]:
        """The same of the clips since this was last asked, and their number; empty without any."""
        recent, self.recent = self.recent, {}
        clips = recent.pop("clips", 0)
        if not clips:
            return {}
        return {name: value / clips for name, value in recent.items()} | {"clips": int(clips)}

    def keep_failures(self, failures: Iterable[object]) -> None:
        """Keep what is said of unreadable clips, as long as it is little."""
        self.failures += [str(failure) for failure in failures]
        del self.failures[_NAMES_KEPT:]

    def named_failures(self) -> str:
        """The first unreadable clips of the epoch with their reasons."""
        more = self.failed - len(self.failures)
        return "; ".join(self.failures) + (f"; and {more} more" if more > 0 else "")

    def refuse_failures(self, clips: int, source: str, world_size: int = 1) -> None:
        """Stop where most clips cannot be read: training on the rest would be a surprise.

        Args:
            clips: Of a whole epoch, of all processes.
            source: Where they come from.
            world_size: Number of processes, all of which call this with the same totals.

        Raises:
            SharedDataError: If more than half of them failed, or too many batches in a row are
                empty.
        """
        if self.failed > clips / 2:
            what = f"{self.failed} of {clips} clips of an epoch cannot be read"
        elif self.empty_in_a_row >= MAX_EMPTY_BATCHES:
            what = f"{MAX_EMPTY_BATCHES} batches in a row hold fewer than two readable clips"
        else:
            return
        if world_size > 1:
            lists: list[list[str]] = [[]] * world_size
            dist.all_gather_object(lists, self.failures)
            self.failures = [one for found in lists for one in found][:_NAMES_KEPT]
        raise SharedDataError(f"{source}: {what}: {self.named_failures()}")


def _add(sums: dict[str, float], values: Mapping[str, float]) -> None:
    for name, value in values.items():
        sums[name] = sums.get(name, 0.0) + value

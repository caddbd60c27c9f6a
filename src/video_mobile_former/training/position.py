"""Where a run is, and what it has added up in the epoch so far: the small part of its state."""

from __future__ import annotations

from dataclasses import dataclass, field


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
    correct: int = 0
    failed: int = 0
    empty_in_a_row: int = 0
    failures: list[str] = field(default_factory=list)
    """The first few, for the message at the end of the epoch."""
    recent: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Clips, loss and correct since the last ``step`` row of the log."""

    def add(self, clips: int, loss: float, correct: int, failed: int) -> None:
        """Count one batch."""
        self.clips += clips
        self.loss += loss
        self.correct += correct
        self.failed += failed
        self.empty_in_a_row = 0 if clips else self.empty_in_a_row + 1
        self.recent = [a + b for a, b in zip(self.recent, (clips, loss, correct), strict=True)]

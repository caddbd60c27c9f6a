"""Calibration: are 80 % of the clips with score 0.8 right?

The expected calibration error (Guo et al. 2017, arXiv 1706.04599).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from .single_label import wilson_interval

NUM_BINS = 15
_PRETENDED = (20, 200)
"""Fewest and most random sets of outcomes that follow the scores."""
_MOST_DRAWN = 1e8
"""Limit on scores times random sets, some seconds; many scores need fewer sets."""


@dataclass(frozen=True)
class Bin:
    """Clips of similar scores."""

    count: int
    confidence: float
    """Mean score."""
    accuracy: float
    """Share of right answers."""
    interval: tuple[float, float]
    """Wilson's 95 % interval of that share."""


@dataclass(frozen=True)
class Calibration:
    """How far scores are from the shares of right answers."""

    ece_equal_width: float
    """Mean distance of score and accuracy over 15 bins of equal width, weighted by clips."""
    ece_equal_mass: float
    """The same over 15 bins of equally many clips; with fewer clips each is a bin."""
    ece_by_chance: float
    """Mean equal-width error that a perfectly calibrated model shows on as many clips."""
    mean_confidence: float
    accuracy: float
    bins: tuple[Bin, ...]
    """The bins of equally many clips, lowest scores first."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)


def calibration(confidence: np.ndarray, right: np.ndarray) -> Calibration:
    """Compare scores with outcomes.

    Args:
        confidence: ``(N,)`` float scores in [0, 1], N ≥ 1.
        right: ``(N,)`` bool.

    Returns:
        The errors; the same for the same input.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, bool)
    width, mass = equal_width(confidence), equal_mass(confidence)
    rng = np.random.default_rng(0)
    times = int(np.clip(_MOST_DRAWN / len(confidence), *_PRETENDED))
    pretended = [
        _error(confidence, rng.random(len(confidence)) < confidence, width) for _ in range(times)
    ]
    return Calibration(
        ece_equal_width=_error(confidence, right, width),
        ece_equal_mass=_error(confidence, right, mass),
        ece_by_chance=float(np.mean(pretended)),
        mean_confidence=float(confidence.mean()),
        accuracy=float(right.mean()),
        bins=tuple(_bin(confidence[mass == i], right[mass == i]) for i in range(mass.max() + 1)),
    )


def equal_width(confidence: np.ndarray) -> np.ndarray:
    """``(N,)`` bin of each score; bins are open below and closed above, as in the paper."""
    return np.clip(np.ceil(confidence * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)


def equal_mass(confidence: np.ndarray) -> np.ndarray:
    """``(N,)`` bin of each score; bins differ by one clip at most, fewer than 15 for few clips."""
    bins = np.empty(len(confidence), np.int64)
    order = np.argsort(confidence, kind="stable")
    for i, part in enumerate(np.array_split(order, min(NUM_BINS, len(order)))):
        bins[part] = i
    return bins


def _error(confidence: np.ndarray, right: np.ndarray, bins: np.ndarray) -> float:
    gaps = np.bincount(bins, right.astype(np.float64)) - np.bincount(bins, confidence)
    return float(np.abs(gaps).sum() / len(bins))


def _bin(confidence: np.ndarray, right: np.ndarray) -> Bin:
    interval = wilson_interval(int(right.sum()), len(right))
    return Bin(len(right), float(confidence.mean()), float(right.mean()), interval)

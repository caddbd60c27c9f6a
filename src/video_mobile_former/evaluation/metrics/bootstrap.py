"""Bootstrap intervals from resampled clips, or whole groups where the data has groups.

The bootstrap of Efron 1979 (doi:10.1214/aos/1176344552). Clips of one group (scene, person) are
correlated, so they are resampled together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

RESAMPLES = 1000
"""Bootstrap resamples for an interval of accuracies."""


def units_of(num_clips: int, groups: Sequence[str | None] | None) -> np.ndarray:
    """The resampling unit of each clip: its group, or itself.

    Args:
        num_clips: N.
        groups: N names; None, or None for a clip, where there is no group.

    Returns:
        ``(N,)`` int64, units numbered from 0.
    """
    names = [
        f"clip {i}" if groups is None or groups[i] is None else f"group {groups[i]}"
        for i in range(num_clips)
    ]
    return np.unique(names, return_inverse=True)[1]


def resampled_weights(units: np.ndarray, count: int = RESAMPLES) -> Iterator[np.ndarray]:
    """How often every clip counts in each resample; the same for the same units.

    Args:
        units: ``(N,)`` from :func:`units_of`.
        count: Number of resamples.

    Yields:
        ``(N,)`` int64.
    """
    rng = np.random.default_rng(0)
    num_units = int(units.max()) + 1
    for _ in range(count):
        yield np.bincount(rng.integers(num_units, size=num_units), minlength=num_units)[units]


def resampled_accuracies(
    hits: np.ndarray, labels: np.ndarray, num_classes: int, units: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies of resamples of the clips, the same resamples for all rows of ``hits``.

    Args:
        hits: ``(S, N)`` bool: which clips count as right, for S criteria or models.
        labels: ``(N,)`` int64 in [0, K).
        num_classes: K.
        units: ``(N,)`` from :func:`units_of`.

    Returns:
        Accuracies and mean per-class accuracies, each ``(R, S)``. Classes missing from a resample
        do not count in its mean.
    """
    right = hits.astype(np.float64)
    shares, means = [], []
    for weights in resampled_weights(units):
        shares.append(right @ weights / weights.sum())
        clips = np.bincount(labels, weights, num_classes)
        found = np.stack([np.bincount(labels, weights * row, num_classes) for row in right])
        means.append((found[:, clips > 0] / clips[clips > 0]).mean(1))
    return np.stack(shares), np.stack(means)


def middle(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of ``(R,)`` resampled values."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)

"""Significance of the difference of two models on the same clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact test: two-sided p from the clips that only one of two models got right.

    If both were equally good, each of these clips would be a coin toss. The binomial tail is summed
    in integers, so it is exact for any number of clips.

    Args:
        only_first: Clips that only the first model got right.
        only_second: Clips that only the second one got right.

    Returns:
        In [0, 1]; 1 where no clip distinguishes them.

    Source: McNemar 1947, doi:10.1007/BF02295996.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"counts must not be negative: {only_first}, {only_second}")
    total = only_first + only_second
    term = tail = 1
    for k in range(min(only_first, only_second)):
        term = term * (total - k) // (k + 1)
        tail += term
    # A quotient of Python integers is rounded once.
    return min(1.0, 2 * tail / 2**total)


def resampling_p(differences: np.ndarray) -> float:
    """Two-sided p of a difference from its bootstrap resamples.

    Args:
        differences: ``(R,)`` differences of two models in R resamples of the clips.

    Returns:
        Twice the share of resamples on the rarer side of 0, at least 2 / (R + 1), at most 1.
    """
    rarer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (len(differences) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number, which controls the family-wise error rate.

    Args:
        p_values: Of all tests.

    Returns:
        In the same order, each at least as large, at most 1.

    Source: Holm 1979, Scandinavian Journal of Statistics 6(2), 65-70.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected

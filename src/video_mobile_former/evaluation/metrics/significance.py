"""Whether two models differ by more than chance, on the same clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's test, exact: two-sided p of the clips that only one of two models got right.

    Were both equally good, each of these clips would be a toss of a coin. The binomial tail is
    summed in whole numbers, so it holds for few clips and for many.

    Args:
        only_first: Clips that only the first model got right.
        only_second: Clips that only the second one got right.

    Returns:
        In [0, 1]; 1 where no clip tells them apart.

    Source: McNemar 1947, doi:10.1007/BF02295996.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"counts must not be negative: {only_first}, {only_second}")
    total = only_first + only_second
    term = tail = 1
    for k in range(min(only_first, only_second)):
        term = term * (total - k) // (k + 1)
        tail += term
    # Quotients of whole numbers of any size are rounded once.
    return min(1.0, 2 * tail / 2**total)


def drawn_p(differences: np.ndarray) -> float:
    """Two-sided p of a difference from its bootstrap draws.

    Args:
        differences: ``(R,)`` differences of two models in R draws of the clips.

    Returns:
        Twice the share of draws on the rarer side of 0, at least 2 / (R + 1), at most 1.
    """
    rarer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (len(differences) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number: the chance of even one false finding stays as said.

    Args:
        p_values: Of all tests that were made.

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

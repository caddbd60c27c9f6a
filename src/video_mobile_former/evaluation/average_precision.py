"""Average precision: how well a class's scores sort its clips before all others."""

from __future__ import annotations

import torch
from torch import Tensor


def average_precisions(scores: Tensor, positives: Tensor, weights: Tensor | None = None) -> Tensor:
    """Average precision of every class.

    Clips are sorted by their score. At each score that occurs, all clips from there up are taken:
    average precision is the mean of the precision of that, over the positives (equal scores are
    taken together, so their order in the data changes nothing). It is what scikit-learn's
    ``average_precision_score`` and torchmetrics compute; no interpolation between ranks.

    Args:
        scores: ``(N, K)`` float, larger means more certain.
        positives: ``(N, K)`` bool.
        weights: ``(N,)`` how many times each clip counts; None is once.

    Returns:
        ``(K,)`` float64 in [0, 1]; NaN for a class without positives.
    """
    counted = torch.ones(len(scores), dtype=torch.float64) if weights is None else weights.double()
    out = torch.full((scores.shape[1],), torch.nan, dtype=torch.float64)
    for k in range(scores.shape[1]):
        ranked = RankedClass(scores[:, k], positives[:, k])
        out[k] = ranked.average_precision(counted[None])[0]
    return out


class RankedClass:
    """The clips sorted by the score of one class, to be counted in several ways.

    Args:
        scores: ``(N,)`` float.
        positives: ``(N,)`` bool.
    """

    def __init__(self, scores: Tensor, positives: Tensor):
        self._order = scores.argsort(descending=True)
        ranked = scores[self._order]
        self._positive = positives[self._order].double()
        last = torch.ones(len(scores), dtype=torch.bool)
        last[:-1] = ranked[1:] != ranked[:-1]
        # The places where a run of equal scores ends.
        self._ends = last.nonzero().flatten()

    def average_precision(self, weights: Tensor) -> Tensor:
        """Average precision with clips counted ``(R, N)`` times: ``(R,)`` float64, NaN without."""
        counted = weights[:, self._order]
        hits = (counted * self._positive).cumsum(1)[:, self._ends]
        seen = counted.cumsum(1)[:, self._ends]
        gained = hits.diff(dim=1, prepend=hits.new_zeros(len(hits), 1))
        # Where nothing was seen yet nothing is gained either.
        area = (gained * hits / seen.clamp_min(1e-300)).sum(1)
        found = hits[:, -1] if hits.shape[1] else hits.new_zeros(len(hits))
        return torch.where(found > 0, area / found, torch.nan)

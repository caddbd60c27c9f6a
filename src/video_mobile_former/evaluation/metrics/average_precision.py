"""Average precision: how well the scores of a class rank its clips above all others."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def average_precisions(scores: Tensor, positives: Tensor) -> Tensor:
    """Average precision of every class.

    The mean, over the positives, of the precision among all clips with at least the positive's
    score. Ties count together, so the order in the data has no effect. The same as scikit-learn's
    ``average_precision_score`` and torchmetrics, without interpolation between ranks.

    Args:
        scores: ``(N, K)`` float; larger is more confident.
        positives: ``(N, K)`` bool.

    Returns:
        ``(K,)`` float64 in [0, 1]; NaN for a class without positives.
    """
    once = np.ones((len(scores), 1), dtype=np.int32)
    return torch.from_numpy(counted_average_precisions(scores, positives, once)[:, 0])


def counted_average_precisions(scores: Tensor, positives: Tensor, times: np.ndarray) -> np.ndarray:
    """Average precisions with every clip weighted by a count, for several sets of counts.

    Args:
        scores: ``(N, K)`` float.
        positives: ``(N, K)`` bool.
        times: ``(N, R)`` int32, how often each clip counts in each of R sets.

    Returns:
        ``(K, R)`` float64; NaN where a class has no positives.
    """
    columns = zip(scores.numpy().T, positives.numpy().T, strict=True)
    # Columns of a row-major matrix are scattered in memory, and each is read several times.
    rows = [
        _one_class(np.ascontiguousarray(score), np.ascontiguousarray(positive), times)
        for score, positive in columns
    ]
    return np.stack(rows) if rows else np.empty((0, times.shape[1]))


def _one_class(scores: np.ndarray, positives: np.ndarray, times: np.ndarray) -> np.ndarray:
    if not positives.any():
        return np.full(times.shape[1], np.nan)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    places = np.flatnonzero(positives[order])  # ranks of the positives, best first
    # Runs of equal scores are steps; only those with a positive count, up to their last clip.
    step = np.concatenate([[0], np.cumsum(ranked[1:] != ranked[:-1])])
    last = np.searchsorted(step, np.unique(step[places]), side="right")
    first_places = np.searchsorted(step[places], np.unique(step[places]))
    starts = np.concatenate([[0], last[:-1]])
    seen = np.add.reduceat(times[order[: last[-1]]], starts, axis=0).cumsum(0)
    gained = np.add.reduceat(times[order[places]], first_places, axis=0)
    hits = gained.cumsum(0)
    # Steps without any clip contribute nothing.
    area = (gained * (hits / np.maximum(seen, 1))).sum(0)
    return np.where(hits[-1] > 0, area / np.maximum(hits[-1], 1), np.nan)

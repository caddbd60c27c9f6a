"""Precision-recall curves of single classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .average_precision import average_precisions

_MOST_SHOWN = 6
"""Number of weakest classes with a curve, and of best ones."""


@dataclass(frozen=True)
class Curve:
    """One class against all others."""

    label: int
    """Position of the class."""
    clips: int
    average_precision: float
    """The area under the steps."""
    chance: float
    """Share of the clips that have the class: the precision of random scores."""
    recall: np.ndarray
    """``(S,)`` recall, rising to 1."""
    precision: np.ndarray
    """``(S,)`` precision at each recall."""


def precision_over_recall(scores: np.ndarray, positives: np.ndarray) -> tuple[np.ndarray, ...]:
    """The steps at which recall grows.

    Args:
        scores: ``(N,)``; larger is more confident.
        positives: ``(N,)`` bool, at least one true.

    Returns:
        Recall and precision, each ``(S,)``; ties count together.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    hits = positives[order].cumsum()[last]
    grows = np.diff(hits, prepend=0) > 0
    return hits[grows] / hits[-1], hits[grows] / (last[grows] + 1)


def class_curves(probabilities: Tensor, positives: Tensor, fewest: int = 1) -> tuple[Curve, ...]:
    """The curves of the weakest and the best classes by average precision, weakest first.

    Args:
        probabilities: ``(N, K)`` float.
        positives: ``(N, K)`` bool.
        fewest: Clips from which a class has a curve, at least 1.

    Returns:
        At most twelve, for classes that have as many clips.
    """
    found = average_precisions(probabilities, positives)
    counts = positives.sum(0)
    order = [i for i in torch.argsort(found, stable=True).tolist() if counts[i] >= fewest]
    shown = order
    if len(order) > 2 * _MOST_SHOWN:
        shown = order[:_MOST_SHOWN] + order[-_MOST_SHOWN:]
    curves = []
    for i in shown:
        own = positives[:, i].numpy()
        recall, precision = precision_over_recall(probabilities[:, i].numpy(), own)
        area, share = float(found[i]), float(own.mean())
        curves.append(Curve(i, int(own.sum()), area, share, recall, precision))
    return tuple(curves)

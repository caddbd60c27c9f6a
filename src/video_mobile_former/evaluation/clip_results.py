"""Results of single clips."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.index.index import ClipIndex
from .metrics.multi_label import THRESHOLD

_BEST = 5
"""Scores kept for every multi-label clip, besides those of its own classes."""


@dataclass(frozen=True)
class ClipResult:
    """Result of one single-label clip."""

    name: str
    """Its path as written in the data."""
    true: str
    predicted: str
    score: float
    """Probability of the predicted class, averaged over views."""
    true_score: float
    """Probability of the true class."""
    correct: bool
    start_seconds: float | None
    """Begin and end of the part of the file, where the data names one."""
    end_seconds: float | None
    group: str | None = None
    """Scene, person or source, where the data names one."""

    @property
    def how_wrong(self) -> float:
        """Sort key of wrong clips: the score of the predicted class."""
        return self.score


@dataclass(frozen=True)
class LabelScore:
    """Score of one class of a clip."""

    label: str
    score: float
    """Probability, averaged over views."""


@dataclass(frozen=True)
class MultiLabelClip:
    """Result of one multi-label clip."""

    name: str
    """Its path as written in the data."""
    true: tuple[str, ...]
    """Its classes, possibly none."""
    scores: tuple[LabelScore, ...]
    """Scores of its classes and of the five best ones, highest first."""
    correct: bool
    """Whether exactly its classes have a score of at least the threshold."""
    error: float
    """Largest distance of a score from its target (0 or 1), over all classes."""
    start_seconds: float | None
    """Begin and end of the part of the file, where the data names one."""
    end_seconds: float | None
    group: str | None = None
    """Scene, person or source, where the data names one."""

    @property
    def how_wrong(self) -> float:
        """Sort key of wrong clips: the error."""
        return self.error

    def own(self) -> list[LabelScore]:
        """The scores of its classes, lowest first."""
        return [entry for entry in self.scores if entry.label in self.true][::-1]

    def best_other(self) -> LabelScore | None:
        """The highest score of a class that it does not have."""
        return next((entry for entry in self.scores if entry.label not in self.true), None)


def single_label_clips(
    probabilities: Tensor, labels: Tensor, index: ClipIndex
) -> tuple[ClipResult, ...]:
    """Results of single-label clips.

    Args:
        probabilities: ``(N, K)`` float.
        labels: ``(N,)`` int64.
        index: The N clips.
    """
    predicted = probabilities.argmax(dim=1)  # as the metrics take it, also on ties
    values = probabilities.gather(1, torch.stack([predicted, labels], dim=1)).tolist()
    rows = zip(index.clips, predicted.tolist(), values, strict=True)
    return tuple(
        ClipResult(
            name=clip.name or clip.path,
            true=index.class_names[clip.label],
            predicted=index.class_names[number],
            score=round(score, 6),
            true_score=round(true_score, 6),
            correct=number == clip.label,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            group=clip.group,
        )
        for clip, number, (score, true_score) in rows
    )


def multi_label_clips(
    probabilities: Tensor, targets: Tensor, index: ClipIndex
) -> tuple[MultiLabelClip, ...]:
    """Results of multi-label clips.

    Args:
        probabilities: ``(N, K)`` float.
        targets: ``(N, K)``, 1 for every class of a clip, else 0.
        index: The N clips.
    """
    errors = (probabilities - targets).abs().amax(1).tolist()
    exact = ((probabilities >= THRESHOLD) == (targets > 0)).all(1).tolist()
    orders = probabilities.argsort(dim=1, descending=True, stable=True).tolist()
    names = index.class_names
    found = []
    rows = zip(index.clips, probabilities.tolist(), orders, errors, exact, strict=True)
    for clip, scores, order, error, correct in rows:
        own = set(clip.labels)
        kept = [k for place, k in enumerate(order) if place < _BEST or k in own]
        found.append(
            MultiLabelClip(
                name=clip.name or clip.path,
                true=tuple(names[k] for k in clip.labels),
                scores=tuple(LabelScore(names[k], round(scores[k], 6)) for k in kept),
                correct=correct,
                error=round(error, 6),
                start_seconds=clip.start_seconds,
                end_seconds=clip.end_seconds,
                group=clip.group,
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class EventSpan:
    """An event of a file."""

    label: str
    start_seconds: float
    end_seconds: float
    score: float | None = None
    """Of a found one, in [0, 1]."""


@dataclass(frozen=True)
class EventFile:
    """What was found in one file."""

    name: str
    """Its path as written in the data."""
    true: tuple[EventSpan, ...]
    found: tuple[EventSpan, ...]
    missed: int
    """True events that no found one of their class overlaps by 0.5."""
    wrong: int
    """Found events that overlap no true one of their class by 0.5."""

    @property
    def correct(self) -> bool:
        """Whether nothing is missed or wrong."""
        return not self.missed and not self.wrong

    @property
    def how_wrong(self) -> float:
        """Sort key of wrong files."""
        return float(self.missed + self.wrong)

"""Single-label metrics: accuracy overall and per class, and confusions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ...errors import DataError
from ...optional import require
from .average_precision import average_precisions
from .bootstrap import RESAMPLES, middle, resampled_accuracies, units_of

TOP5_CLASSES = 6
"""Fewest classes for which top-5 is meaningful."""


@dataclass(frozen=True)
class ClassResult:
    """Metrics of one class."""

    name: str
    clips: int
    """Clips of this class."""
    correct: int
    """Clips of this class that were recognised."""
    predicted: int
    """Clips of any class that were predicted as this one."""
    accuracy: float | None
    """correct / clips; None where the data has no clip of this class."""
    precision: float | None
    """correct / predicted; None where no clip was predicted as this class."""
    interval: tuple[float, float] | None = None
    """Wilson's 95 % interval of the accuracy; None where the data has no clip of this class."""
    average_precision: float | None = None
    """Average precision, see :func:`..average_precisions`; None where the class has no clip."""

    @property
    def score(self) -> float | None:
        """Its accuracy."""
        return self.accuracy


@dataclass(frozen=True)
class Confusion:
    """A class that is predicted as another."""

    true: str
    predicted: str
    clips: int
    share: float
    """Share of the clips of the true class."""


@dataclass(frozen=True)
class Intervals:
    """95 % bootstrap intervals, of whole groups where the data has groups."""

    top1: tuple[float, float]
    top5: tuple[float, float] | None
    """None for five classes or fewer."""
    mean_class_accuracy: tuple[float, float]
    resamples: int
    """Number of resamples; the same ones for the same clips."""
    num_units: int
    """Number of resampled units: groups, and clips without one."""
    by_group: bool


@dataclass(frozen=True)
class SingleLabelMetrics:
    """Accuracies are shares in [0, 1]."""

    task: ClassVar[Literal["single_label"]] = "single_label"
    num_clips: int
    num_correct: int
    top1: float
    top1_interval: tuple[float, float]
    """Wilson's 95 % interval: the uncertainty for a test set of this size."""
    top5: float | None
    """None for five classes or fewer."""
    mean_class_accuracy: float
    """Mean of the accuracies of the classes that have clips."""
    majority_share: float
    """Accuracy of always answering the most common class of this data."""
    per_class: tuple[ClassResult, ...]
    """In the order of the class names."""
    confusion_matrix: tuple[tuple[int, ...], ...]
    """Clips; rows are true classes, columns predicted ones."""
    intervals: Intervals | None = None
    """None where there is only one clip or group."""

    @property
    def score(self) -> float:
        """Top-1, by which models are compared."""
        return self.top1

    @property
    def second(self) -> float:
        """The secondary score: mean per-class accuracy."""
        return self.mean_class_accuracy

    @property
    def score_interval(self) -> tuple[float, float]:
        """Interval of top-1: from the bootstrap over groups where there are any, else Wilson's.

        Where all clips or none are right, all resamples are equal; Wilson's is then wider.
        """
        found = self.intervals
        return self.top1_interval if found is None or not self.by_bootstrap else found.top1

    @property
    def by_bootstrap(self) -> bool:
        """Whether the interval of top-1 is the bootstrap's."""
        found = self.intervals
        return found is not None and found.by_group and found.top1[0] < found.top1[1]

    def worst_confusions(self, count: int = 10) -> list[Confusion]:
        """The most frequent errors, most clips first, then the largest share of the true class."""
        pairs = [
            Confusion(row.name, self.per_class[j].name, clips, clips / row.clips)
            for i, row in enumerate(self.per_class)
            for j, clips in enumerate(self.confusion_matrix[i])
            if clips and i != j
        ]
        return sorted(pairs, key=lambda pair: (-pair.clips, -pair.share))[:count]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **dataclasses.asdict(self),
            "worst_confusions": [dataclasses.asdict(pair) for pair in self.worst_confusions()],
        }


def wilson_interval(correct: int, total: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Args:
        correct: Successes, 0 to ``total``.
        total: Trials, at least 1.
        z: Quantile of the normal distribution; the default is for 95 %.

    Returns:
        Lower and upper bound in [0, 1].
    """
    if not 0 <= correct <= total or total < 1:
        raise ValueError(f"{correct} of {total} is no share")
    share = correct / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # The bounds are exact at 0 and 1; correct for rounding.
    low = 0.0 if correct == 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if correct == total else min(1.0, (centre + spread) / scale)
    return low, high


def compute_single_label_metrics(
    probabilities: Tensor,
    labels: Tensor,
    class_names: Sequence[str],
    groups: Sequence[str | None] | None = None,
) -> SingleLabelMetrics:
    """Compare scores with labels.

    Args:
        probabilities: ``(N, K)`` float, one row for each clip.
        labels: ``(N,)`` int64 in [0, K).
        class_names: The K names.
        groups: N names of the groups that clips come from; None where there are none.

    Returns:
        The accuracies and the confusion matrix. The predicted class is the most probable one, the
        first on ties.

    Raises:
        DataError: If there are no clips.
        UserError: If torchmetrics is not installed.
    """
    num_clips, num_classes = probabilities.shape
    if num_clips == 0:
        raise DataError("there are no clips to evaluate")
    if len(class_names) != num_classes or labels.shape != (num_clips,):
        raise ValueError(
            f"{len(class_names)} names and labels {tuple(labels.shape)} for {num_classes} classes "
            f"and {num_clips} clips"
        )
    matrix = _confusion_matrix(probabilities.argmax(dim=1), labels, num_classes)
    sorted_by = average_precisions(probabilities, one_hot(labels, num_classes) > 0).tolist()
    per_class = tuple(
        _class_result(name, matrix, i, sorted_by[i]) for i, name in enumerate(class_names)
    )
    accuracies = [row.accuracy for row in per_class if row.accuracy is not None]
    correct = sum(row.correct for row in per_class)
    return SingleLabelMetrics(
        num_clips=num_clips,
        num_correct=correct,
        top1=correct / num_clips,
        top1_interval=wilson_interval(correct, num_clips),
        top5=_top5(probabilities, labels) if num_classes >= TOP5_CLASSES else None,
        mean_class_accuracy=sum(accuracies) / len(accuracies),
        majority_share=max(row.clips for row in per_class) / num_clips,
        per_class=per_class,
        confusion_matrix=tuple(tuple(row) for row in matrix.tolist()),
        intervals=_intervals(probabilities, labels, units_of(num_clips, groups)),
    )


def top_hits(probabilities: Tensor, labels: Tensor, k: int) -> Tensor:
    """``(N,)`` bool: whether the label is among the k highest scores.

    Args:
        probabilities: ``(N, K)`` float.
        labels: ``(N,)`` int64.
        k: Between 1 and K; for 1 ties go to the first class.
    """
    if k == 1:
        return probabilities.argmax(1) == labels
    return (probabilities.topk(k, dim=1).indices == labels[:, None]).any(1)


def _intervals(probabilities: Tensor, labels: Tensor, units: np.ndarray) -> Intervals | None:
    num_units, num_classes = int(units.max()) + 1, probabilities.shape[1]
    if num_units < 2:
        return None
    ways = [1, 5] if num_classes >= TOP5_CLASSES else [1]
    hits = np.stack([top_hits(probabilities, labels, k).numpy() for k in ways])
    shares, means = resampled_accuracies(hits, labels.numpy(), num_classes, units)
    return Intervals(
        top1=middle(shares[:, 0]),
        top5=middle(shares[:, 1]) if len(ways) > 1 else None,
        mean_class_accuracy=middle(means[:, 0]),
        resamples=RESAMPLES,
        num_units=num_units,
        by_group=num_units < len(units),
    )


def _confusion_matrix(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    if num_classes == 1:  # which torchmetrics refuses
        return torch.tensor([[len(labels)]])
    metrics = require("torchmetrics.functional.classification", extra="train", purpose="evaluation")
    return metrics.multiclass_confusion_matrix(predicted, labels, num_classes)


def _top5(probabilities: Tensor, labels: Tensor) -> float:
    metrics = require("torchmetrics.functional.classification", extra="train", purpose="evaluation")
    # torchmetrics averages over classes by default; top-5 is over clips.
    return float(
        metrics.multiclass_accuracy(
            probabilities, labels, probabilities.shape[1], average="micro", top_k=5
        )
    )


def _class_result(name: str, matrix: Tensor, i: int, precision: float) -> ClassResult:
    correct, clips = int(matrix[i, i]), int(matrix[i].sum())
    predicted = int(matrix[:, i].sum())
    return ClassResult(
        name=name,
        clips=clips,
        correct=correct,
        predicted=predicted,
        accuracy=correct / clips if clips else None,
        precision=correct / predicted if predicted else None,
        interval=wilson_interval(correct, clips) if clips else None,
        average_precision=precision if clips else None,
    )

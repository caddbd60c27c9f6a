"""Multi-label metrics: average precision overall and per class, and F1."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from ...errors import DataError
from .average_precision import average_precisions, counted_average_precisions
from .bootstrap import middle, resampled_weights, units_of

THRESHOLD = 0.5
"""Score from which a class counts as found, for F1 and exact matches."""
_RESAMPLES = (100, 500)
"""Fewest and most resamples of the clips for an interval."""
_MOST_WORK = 1e9
"""Limit on clips × classes × resamples: half a minute on a busy core."""


@dataclass(frozen=True)
class LabelResult:
    """Metrics of one class."""

    name: str
    clips: int
    """Clips that have this class."""
    average_precision: float | None
    """None where no clip has it."""
    found: int
    """Clips of any classes with a score of at least the threshold."""
    correct: int
    """Found clips that have the class."""

    @property
    def precision(self) -> float | None:
        """correct / found; None where nothing was found."""
        return self.correct / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """correct / clips; None where no clip has the class."""
        return self.correct / self.clips if self.clips else None

    @property
    def score(self) -> float | None:
        """Its average precision."""
        return self.average_precision


@dataclass(frozen=True)
class MultiLabelMetrics:
    """Shares in [0, 1]."""

    task: ClassVar[Literal["multi_label"]] = "multi_label"
    num_clips: int
    num_labels: int
    """Labels of all clips together."""
    num_without: int
    """Clips that have none of the classes."""
    map: float
    """Mean of the average precisions of the classes that have clips."""
    map_interval: tuple[float, float] | None
    """95 % bootstrap interval over clips, or over groups where the data has groups; None where
    there is only one, or where all resamples are equal, which does not mean certainty."""
    map_resamples: int
    """Number of resamples of the interval."""
    map_by_group: bool
    """Whether whole groups were resampled."""
    map_classes: int
    """Classes that have clips."""
    chance_map: float
    """Mean average precision of random scores: the mean share of clips of a class."""
    micro_ap: float
    """Average precision of all clip-class pairs in one ranking."""
    threshold: float
    """Score from which a class counts as found in the values below."""
    f1: float
    """F1 over all classes together: twice the correct finds over all finds and all labels."""
    mean_class_f1: float
    """F1 per class, mean over the classes that have clips."""
    num_exact: int
    """Clips for which exactly the right classes were found."""
    per_class: tuple[LabelResult, ...]
    """In the order of the class names."""

    @property
    def score(self) -> float:
        """Mean average precision, by which models are compared."""
        return self.map

    @property
    def second(self) -> float:
        """The secondary score: micro average precision."""
        return self.micro_ap

    @property
    def score_interval(self) -> tuple[float, float] | None:
        """Interval of the mean average precision."""
        return self.map_interval

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **dataclasses.asdict(self),
            "per_class": [
                {**dataclasses.asdict(row), "precision": row.precision, "recall": row.recall}
                for row in self.per_class
            ],
        }


def compute_multi_label_metrics(
    probabilities: Tensor,
    targets: Tensor,
    class_names: Sequence[str],
    groups: Sequence[str | None] | None = None,
) -> MultiLabelMetrics:
    """Compare scores with labels.

    Args:
        probabilities: ``(N, K)`` float, one row for each clip.
        targets: ``(N, K)``, above 0 for each class of a clip.
        class_names: The K names.
        groups: N names of the groups that clips come from; None or all None where there are none.

    Returns:
        The metrics; the interval is the same for the same input.

    Raises:
        DataError: If there are no clips, or no clip has a class.
    """
    positives = targets > 0
    num_clips, num_classes = probabilities.shape
    if targets.shape != probabilities.shape or len(class_names) != num_classes:
        raise ValueError(
            f"{len(class_names)} names and targets {tuple(targets.shape)} for scores "
            f"{tuple(probabilities.shape)}"
        )
    if not positives.any():
        raise DataError("no clip to evaluate has any of the classes")
    precisions = average_precisions(probabilities, positives)
    per_class = tuple(_label_results(probabilities, positives, precisions, class_names))
    units = units_of(num_clips, groups)
    by_group = int(units.max()) + 1 < num_clips
    found = _interval(probabilities, positives, units)
    measured = [row for row in per_class if row.clips]
    num_labels = int(positives.sum())
    right = sum(row.correct for row in per_class)
    exact = ((probabilities >= THRESHOLD) == positives).all(1)
    return MultiLabelMetrics(
        num_clips=num_clips,
        num_labels=num_labels,
        num_without=int((~positives.any(1)).sum()),
        map=float(precisions[~precisions.isnan()].mean()),
        map_interval=None if len(np.unique(found)) < 2 else middle(found),
        map_resamples=len(found),
        map_by_group=by_group,
        map_classes=len(measured),
        chance_map=sum(row.clips for row in measured) / len(measured) / num_clips,
        micro_ap=float(average_precisions(probabilities.reshape(-1, 1), positives.reshape(-1, 1))),
        threshold=THRESHOLD,
        f1=2 * right / (sum(row.found for row in per_class) + num_labels),
        mean_class_f1=sum(2 * r.correct / (r.found + r.clips) for r in measured) / len(measured),
        num_exact=int(exact.sum()),
        per_class=per_class,
    )


def _label_results(
    probabilities: Tensor, positives: Tensor, precisions: Tensor, class_names: Sequence[str]
) -> list[LabelResult]:
    found = probabilities >= THRESHOLD
    columns = zip(
        class_names,
        positives.sum(0).tolist(),
        precisions.tolist(),
        found.sum(0).tolist(),
        (found & positives).sum(0).tolist(),
        strict=True,
    )
    return [
        LabelResult(name, clips, precision if clips else None, taken, correct)
        for name, clips, precision, taken, correct in columns
    ]


def _interval(probabilities: Tensor, positives: Tensor, units: np.ndarray) -> np.ndarray:
    if int(units.max()) < 1:
        return np.array([])
    found = resampled_maps([probabilities], positives, units)[:, 0]
    return found[~np.isnan(found)]


def resampled_maps(
    scores: Sequence[Tensor], positives: Tensor, units: np.ndarray, fewest: int = 0
) -> np.ndarray:
    """Mean average precisions of resamples of the clips, the same resamples for all models.

    Args:
        scores: Of S models, each ``(N, K)`` float.
        positives: ``(N, K)`` bool.
        units: ``(N,)`` resampling unit of each clip.
        fewest: Fewest resamples.

    Returns:
        ``(R, S)``, R between 100 and 500 by the size of the data, or ``fewest``; NaN for a resample
        without any class. A resample that lacks some classes takes the mean over the others.
    """
    least, most = _RESAMPLES
    count = max(fewest, int(np.clip(_MOST_WORK / positives.numel(), least, most)))
    weights = np.stack(list(resampled_weights(units, count)), axis=1).astype(np.int32)
    present = positives.any(0)
    out = []
    for one in scores:
        found = counted_average_precisions(one[:, present], positives[:, present], weights)
        classes = (~np.isnan(found)).sum(0)
        out.append(np.where(classes > 0, np.nansum(found, axis=0) / np.maximum(classes, 1), np.nan))
    return np.stack(out, axis=1)

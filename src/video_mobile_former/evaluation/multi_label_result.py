"""What an evaluation of a multi-label model found, what it cost and how it was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import torch
from torch import Tensor, nn

from ..data.index.index import ClipIndex
from ..data.video.backend import Reading
from ..inference.scorer import Average, Precision
from .evaluate import score_index
from .metrics.calibration import Calibration, calibration
from .metrics.curves import Curve, class_curves
from .metrics.multi_label import THRESHOLD, MultiLabelMetrics, compute_multi_label_metrics
from .result import Cost, Method, calibration_line, cost_line, note_lines, percent, report_dict

if TYPE_CHECKING:
    from typing_extensions import Unpack

_BEST = 5
"""Scores kept of every clip, besides those of its own classes."""


@dataclass(frozen=True)
class LabelScore:
    """How sure the model is of one class of a clip."""

    label: str
    score: float
    """Probability, averaged over views."""


@dataclass(frozen=True)
class MultiLabelClip:
    """What became of one clip."""

    name: str
    """Its path as written in the data."""
    true: tuple[str, ...]
    """Its classes, possibly none."""
    scores: tuple[LabelScore, ...]
    """Of its classes and of the five best ones, highest first."""
    correct: bool
    """Exactly its classes have a score of at least the threshold."""
    error: float
    """Largest distance of a score from what it should be, over all classes."""
    start_seconds: float | None
    """Begin and end of the part of the file, where the data names one."""
    end_seconds: float | None
    group: str | None = None
    """Scene, person or source, where the data names one."""

    def own(self) -> list[LabelScore]:
        """The scores of its classes, lowest first: those that were missed."""
        return [entry for entry in self.scores if entry.label in self.true][::-1]

    def best_other(self) -> LabelScore | None:
        """The class with the highest score of those that it does not have."""
        return next((entry for entry in self.scores if entry.label not in self.true), None)


@dataclass(frozen=True)
class MultiLabelEvaluation:
    """The outcome of :func:`evaluate_multi_label`."""

    metrics: MultiLabelMetrics
    cost: Cost
    method: Method
    clips: tuple[MultiLabelClip, ...]
    notes: tuple[str, ...]
    """What a reader must know to judge the numbers, one sentence each."""
    calibration: Calibration | None = None
    """How far scores are from the shares that are right, all pairs of a clip and a class."""
    scores: Tensor | None = field(default=None, compare=False, repr=False)
    """``(N, K)`` float32 probabilities, averaged over views; kept beside the report."""
    curves: tuple[Curve, ...] = field(default=(), compare=False, repr=False)
    """Precision over recall of the weakest and the best classes; for the page only."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the logits."""
        return tuple(row.name for row in self.metrics.per_class)

    def wrong_clips(self) -> list[MultiLabelClip]:
        """Those of which a class was missed or wrongly found, the largest errors first."""
        return sorted((c for c in self.clips if not c.correct), key=lambda c: -c.error)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without NaN and with text that UTF-8 can hold."""
        return report_dict(self, "multi_label")

    def summary(self) -> str:
        """The headline for a terminal, a few lines of at most 80 columns where names allow."""
        return "\n".join(_summary_lines(self))

    def write(self, folder: str | Path) -> Path:
        """Write ``report.json``, predictions and ``report.html``, all or nothing.

        Args:
            folder: Created where it is missing; other files in it are left alone.

        Returns:
            The path of ``report.html``.

        Raises:
            UserError: If it cannot be written, or jinja2 is missing.
        """
        # Here, because the report is written from this class.
        from .report.multi_label import write_report

        return write_report(self, Path(folder))


class ScoringOptions(TypedDict, total=False):
    """How to measure; each with the meaning and default it has in :func:`.evaluate`."""

    split: str | None
    num_views: int | Literal["full"]
    num_crops: int
    sampling: Literal["uniform", "dense"] | None
    stride: int | None
    batch_size: int
    num_workers: int | None
    device: str | torch.device
    precision: Precision
    freeze_frames: int | None
    average: Average
    model_name: str
    reading: Reading | None


def evaluate_multi_label(
    model: nn.Module, index: ClipIndex, **options: Unpack[ScoringOptions]
) -> MultiLabelEvaluation:
    """Measure a multi-label model: how well its scores sort the clips of each class, and its cost.

    Args:
        model: As for :func:`.evaluate`, with a true ``multi_label``: its scores are sigmoids.
        index: Multi-label clips, with their classes in the order of the model's.
        options: Those of :func:`.evaluate`.

    Returns:
        Metrics, cost, method and the result of every clip.

    Raises:
        DataError: If the classes do not fit the model's, the split has no clips or none with a
            class, or model or clips are not multi-label.
        VideoError: If more than half of the clips, or 20 batches in a row, cannot be read. Fewer
            are left out, and ``method.failures`` and a note name them.
        UserError: If an argument is out of range.
    """
    scored = score_index(model, index, multi_label=True, **options)
    index, probabilities = scored.index, scored.scores.probabilities
    targets = scored.scores.labels
    groups = [clip.group for clip in index.clips]
    return MultiLabelEvaluation(
        metrics=compute_multi_label_metrics(probabilities, targets, index.class_names, groups),
        cost=scored.cost,
        method=scored.method,
        clips=tuple(_clip_results(probabilities, targets, index)),
        notes=scored.notes,
        calibration=calibration(probabilities.flatten().numpy(), (targets > 0).flatten().numpy()),
        scores=probabilities,
        curves=class_curves(probabilities, targets > 0),
    )


def _clip_results(
    probabilities: Tensor, targets: Tensor, index: ClipIndex
) -> Iterator[MultiLabelClip]:
    errors = (probabilities - targets).abs().amax(1).tolist()
    exact = ((probabilities >= THRESHOLD) == (targets > 0)).all(1).tolist()
    orders = probabilities.argsort(dim=1, descending=True, stable=True).tolist()
    names = index.class_names
    rows = zip(index.clips, probabilities.tolist(), orders, errors, exact, strict=True)
    for clip, scores, order, error, correct in rows:
        own = set(clip.labels or ())
        kept = [k for place, k in enumerate(order) if place < _BEST or k in own]
        yield MultiLabelClip(
            name=clip.name or clip.path,
            true=tuple(names[k] for k in clip.labels or ()),
            scores=tuple(LabelScore(names[k], round(scores[k], 6)) for k in kept),
            correct=correct,
            error=round(error, 6),
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            group=clip.group,
        )


def interval_words(metrics: MultiLabelMetrics) -> str:
    """How sure the mean average precision is, in words."""
    if metrics.map_interval is None:
        alone = metrics.map_resamples == 0
        return f"no interval: {'one clip or group' if alone else 'all draws say the same'}"
    low, high = metrics.map_interval
    return f"95 % interval {100 * low:.1f}–{100 * high:.1f} %"


def _summary_lines(evaluation: MultiLabelEvaluation) -> Iterator[str]:
    metrics = evaluation.metrics
    classes = f"{metrics.map_classes} class{'es' if metrics.map_classes > 1 else ''}"
    exact = metrics.num_exact / metrics.num_clips
    yield f"mAP              {percent(metrics.map)}   ({classes}; {interval_words(metrics)})"
    yield f"chance mAP       {percent(metrics.chance_map)}   (scores that know nothing)"
    yield f"micro AP         {percent(metrics.micro_ap)}   (all classes in one ranking)"
    yield (
        f"F1 at {metrics.threshold:g}        {percent(metrics.f1)}   "
        f"(mean per class {percent(metrics.mean_class_f1)})"
    )
    yield (
        f"exact at {metrics.threshold:g}     {percent(exact)}   "
        f"({metrics.num_exact} of {metrics.num_clips} clips: all classes right)"
    )
    if evaluation.calibration is not None:
        yield calibration_line(evaluation.calibration)
    yield cost_line(evaluation.cost)
    yield from note_lines(evaluation.notes)

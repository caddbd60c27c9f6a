"""Content of the page of a single-label evaluation."""

from __future__ import annotations

from typing import Any

from ..clip_results import ClipResult
from ..metrics.enough import FEWEST_OF_A_CLASS
from ..metrics.single_label import TOP5_CLASSES, ClassResult, Confusion, SingleLabelMetrics
from ..previews import PER_CONFUSION
from ..result import Evaluation, percent
from .method import named_part, scale, span

AVERAGING = {
    "probabilities": "mean of the views' probabilities (softmax before the mean)",
    "logits": "softmax of the mean of the views' logits (softmax after the mean)",
}
"""Description of each way to average over views."""
_MANY_CLASSES = 24
"""Number of classes from which the picture has full width."""

SingleLabelEvaluation = Evaluation[SingleLabelMetrics, ClipResult]


def content(evaluation: SingleLabelEvaluation) -> dict[str, Any]:
    """Variables of ``single_label.html.jinja`` beyond those of every page."""
    metrics = evaluation.metrics
    top5 = f"given from {TOP5_CLASSES} classes; here are {len(metrics.per_class)}"
    mean, found = "every class counts the same", metrics.intervals
    if found is not None:
        mean += _bootstrapped(found.mean_class_accuracy)
    if metrics.top5 is not None:
        top5 = "true class among the first five" + (
            "" if found is None else _bootstrapped(found.top5)
        )
    by = f"bootstrap over {found.num_units} groups" if found and metrics.by_bootstrap else "Wilson"
    return {
        "headline": {
            "label": "Top-1 accuracy",
            "short": "top-1",
            "value": percent(metrics.top1),
            "of": f"{metrics.num_correct} of {metrics.num_clips} clips",
            "interval": f"95 % interval {span(metrics.score_interval)}",
            "interval_by": by,
            "base": f"always the most common class: {percent(metrics.majority_share)}",
            **scale(metrics.top1, metrics.score_interval, metrics.majority_share),
        },
        "numbers": [
            ("Mean per-class accuracy", percent(metrics.mean_class_accuracy), mean),
            ("Top-5 accuracy", percent(metrics.top5), top5),
            (
                "Most common class",
                percent(metrics.majority_share),
                "accuracy of always predicting it",
            ),
        ],
        "confusions": (rows := [_confusion_row(p, evaluation) for p in metrics.worst_confusions()]),
        "shown_above": {one["place"] for row in rows for one in row["pictures"]},
        "wide_picture": len(metrics.per_class) > _MANY_CLASSES,
    }


def _bootstrapped(interval: tuple[float, float] | None) -> str:
    """Empty where all resamples are equal, as when every clip is right: that is not certainty."""
    if interval is None or interval[0] == interval[1]:
        return ""
    return f"; 95 % interval {span(interval)}"


def _confusion_row(pair: Confusion, evaluation: SingleLabelEvaluation) -> dict[str, Any]:
    pictures = [
        {"name": evaluation.clips[i].name, "place": i, "preview": preview}
        for i, preview in evaluation.previews.items()
        if (evaluation.clips[i].true, evaluation.clips[i].predicted) == (pair.true, pair.predicted)
    ]
    return {
        "true": pair.true,
        "predicted": pair.predicted,
        "clips": pair.clips,
        "share": percent(pair.share),
        "pictures": pictures[:PER_CONFUSION],
    }


def class_row(row: ClassResult) -> dict[str, Any]:
    """A line of the table of classes."""
    enough = row.clips >= FEWEST_OF_A_CLASS
    low, high = row.interval or (0.0, 0.0)
    return {
        "name": row.name,
        "clips": row.clips,
        "correct": row.correct,
        "accuracy": percent(row.accuracy),
        "enough": enough,
        "bar": f"{100 * (row.accuracy or 0.0):.1f}",
        "low": f"{100 * low:.1f}",
        "high": f"{100 * (high - low):.1f}",
        "span": span(row.interval) if enough and row.interval is not None else "",
        "precision": percent(row.precision),
        "average_precision": percent(row.average_precision),
    }


def clip_row(clip: ClipResult) -> dict[str, Any]:
    """A line of the table of wrong clips."""
    return {
        "name": named_part(clip.name, clip.start_seconds, clip.end_seconds),
        "true": clip.true,
        "predicted": clip.predicted,
        "score": f"{clip.score:.3f}",
        "true_score": f"{clip.true_score:.3f}",
    }

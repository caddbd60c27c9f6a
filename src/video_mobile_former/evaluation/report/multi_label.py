"""Content of the page of a multi-label evaluation."""

from __future__ import annotations

from typing import Any

from ..clip_results import LabelScore, MultiLabelClip
from ..metrics.multi_label import LabelResult, MultiLabelMetrics
from ..result import Evaluation, interval_words, percent
from .method import named_part, scale

AVERAGING = {
    "probabilities": "mean of the views' probabilities (sigmoid before the mean)",
    "logits": "sigmoid of the mean of the views' logits (sigmoid after the mean)",
}
"""Description of each way to average over views."""


def content(evaluation: Evaluation[MultiLabelMetrics, MultiLabelClip]) -> dict[str, Any]:
    """Variables of ``multi_label.html.jinja`` beyond those of every page."""
    metrics = evaluation.metrics
    exact = f"{metrics.num_exact} of {metrics.num_clips} clips: all classes right"
    return {
        "headline": {
            "label": "Mean average precision",
            "short": "mAP",
            "value": percent(metrics.map),
            "of": f"{metrics.map_classes} class{'es' if metrics.map_classes > 1 else ''}",
            "interval": interval_words(metrics),
            "interval_by": "bootstrap",
            "base": f"random scores: {percent(metrics.chance_map)}",
            **scale(metrics.map, metrics.map_interval, metrics.chance_map),
        },
        "numbers": [
            (
                "Micro average precision",
                percent(metrics.micro_ap),
                "all clips and classes in one ranking",
            ),
            (
                f"F1 at {metrics.threshold:g}",
                percent(metrics.f1),
                f"mean per class {percent(metrics.mean_class_f1)}",
            ),
            (
                f"Exact at {metrics.threshold:g}",
                percent(metrics.num_exact / metrics.num_clips),
                exact,
            ),
        ],
        "measured": [("mAP", _how_measured(metrics))],
        "threshold": f"{metrics.threshold:g}",
    }


def _how_measured(metrics: MultiLabelMetrics) -> str:
    text = (
        "ties counted together, no interpolation; mean over the classes that have clips; "
        f"{metrics.num_labels} labels, {metrics.num_without} clips without any"
    )
    if metrics.map_interval is not None:
        unit = "groups of clips" if metrics.map_by_group else "clips"
        text += f"; interval from {metrics.map_resamples} fixed bootstrap resamples of {unit}"
    return text


def class_row(row: LabelResult) -> dict[str, Any]:
    """A line of the table of classes."""
    return {
        "name": row.name,
        "clips": row.clips,
        "average_precision": percent(row.average_precision),
        "bar": f"{100 * (row.average_precision or 0.0):.1f}",
        "precision": percent(row.precision),
        "recall": percent(row.recall),
    }


def clip_row(clip: MultiLabelClip) -> dict[str, Any]:
    """A line of the table of wrong clips."""
    other = clip.best_other()
    return {
        "name": named_part(clip.name, clip.start_seconds, clip.end_seconds),
        "own": [_score(entry) for entry in clip.own()],
        "other": None if other is None else _score(other),
    }


def _score(entry: LabelScore) -> dict[str, str]:
    return {"label": entry.label, "score": f"{entry.score:.3f}"}

"""The report of a multi-label evaluation: ``report.json`` and a page that does not need it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...page import render
from ..multi_label_result import LabelScore, MultiLabelClip, MultiLabelEvaluation, interval_words
from ..result import percent
from .method import common_content
from .single_label import MOST_WRONG_CLIPS, curves, named_part, reliability, write_together

if TYPE_CHECKING:
    from ..metrics.multi_label import LabelResult

_AVERAGING = {
    "probabilities": "mean of the views' probabilities (sigmoid before the mean)",
    "logits": "sigmoid of the mean of the views' logits (sigmoid after the mean)",
}


def write_report(evaluation: MultiLabelEvaluation, folder: Path) -> Path:
    """Write the files, all or nothing.

    Args:
        evaluation: What to report.
        folder: Created where it is missing.

    Returns:
        The path of the page.

    Raises:
        UserError: If a file cannot be written, or jinja2 is not installed.
    """
    page = render_page(evaluation)
    return write_together(evaluation, folder, page)


def render_page(evaluation: MultiLabelEvaluation) -> str:
    """Render the self-contained page.

    Args:
        evaluation: What to report. Names and paths in it may hold any text; they are escaped.

    Returns:
        HTML without any reference to another file or host.

    Raises:
        UserError: If jinja2 is not installed.
    """
    return render("evaluation/report/multi_label_report.html.jinja", **_content(evaluation))


def _content(evaluation: MultiLabelEvaluation) -> dict[str, Any]:
    metrics, wrong = evaluation.metrics, evaluation.wrong_clips()
    low, high = metrics.map_interval or (metrics.map, metrics.map)
    common = common_content(evaluation.method, evaluation.cost, evaluation.notes, _AVERAGING)
    return {
        **common,
        **curves(evaluation.curves, evaluation.class_names, metrics.map_classes),
        **reliability(evaluation.calibration),
        "method": [("mAP", _how_measured(evaluation)), *common["method"]],
        "num_classes": len(metrics.per_class),
        "map": percent(metrics.map),
        "map_classes": f"{metrics.map_classes} class{'es' if metrics.map_classes > 1 else ''}",
        "interval": interval_words(metrics),
        "chance": percent(metrics.chance_map),
        "scale": {
            "low": f"{100 * low:.2f}",
            "width": f"{100 * (high - low):.2f}" if metrics.map_interval else "",
            "point": f"{100 * metrics.map:.2f}",
            "chance": f"{100 * metrics.chance_map:.2f}",
        },
        "micro_ap": percent(metrics.micro_ap),
        "threshold": f"{metrics.threshold:g}",
        "f1": percent(metrics.f1),
        "mean_class_f1": percent(metrics.mean_class_f1),
        "exact": percent(metrics.num_exact / metrics.num_clips),
        "exact_clips": f"{metrics.num_exact} of {metrics.num_clips} clips",
        "classes": [_class_row(row) for row in _weakest_first(metrics.per_class)],
        "wrong": [_clip_row(clip) for clip in wrong[:MOST_WRONG_CLIPS]],
        "num_wrong": len(wrong),
    }


def _how_measured(evaluation: MultiLabelEvaluation) -> str:
    metrics = evaluation.metrics
    text = (
        "equal scores taken together, no interpolation; mean over the classes that have clips; "
        f"{metrics.num_labels} labels, {metrics.num_without} clips without any"
    )
    if metrics.map_interval is not None:
        unit = "groups of clips" if metrics.map_by_group else "clips"
        text += f"; interval from {metrics.map_resamples} random draws of {unit}, always the same"
    return text


def _weakest_first(rows: tuple[LabelResult, ...]) -> list[LabelResult]:
    return sorted(
        rows, key=lambda r: (r.average_precision is None, r.average_precision or 0.0, -r.clips)
    )


def _class_row(row: LabelResult) -> dict[str, Any]:
    return {
        "name": row.name,
        "clips": row.clips,
        "average_precision": percent(row.average_precision),
        "bar": f"{100 * (row.average_precision or 0.0):.1f}",
        "precision": percent(row.precision),
        "recall": percent(row.recall),
    }


def _clip_row(clip: MultiLabelClip) -> dict[str, Any]:
    other = clip.best_other()
    return {
        "name": named_part(clip.name, clip.start_seconds, clip.end_seconds),
        "own": [_score(entry) for entry in clip.own()],
        "other": None if other is None else _score(other),
    }


def _score(entry: LabelScore) -> dict[str, str]:
    return {"label": entry.label, "score": f"{entry.score:.3f}"}

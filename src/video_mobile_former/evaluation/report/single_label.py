"""The report of an evaluation: ``report.json``, ``confusion.png`` and a page that needs neither."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...files import atomic_files, write_json
from ...page import render
from ..metrics.single_label import TOP5_CLASSES
from ..result import REPORT_NAME, ClipResult, Evaluation, percent
from .confusion import confusion_png
from .method import common_content

if TYPE_CHECKING:
    from ..metrics.calibration import Calibration
    from ..metrics.curves import Curve
    from ..metrics.single_label import ClassResult, Confusion

PICTURE_NAME, PAGE_NAME = "confusion.png", "report.html"

AVERAGING = {
    "probabilities": "mean of the views' probabilities (softmax before the mean)",
    "logits": "softmax of the mean of the views' logits (softmax after the mean)",
}
"""What each way to average over views is called on the page."""
MOST_WRONG_CLIPS = 200
"""Wrong clips listed on the page; the JSON has them all."""
_MANY_CLASSES = 24
"""Classes from which the picture is shown in full width."""


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write the files, all or nothing.

    Args:
        evaluation: What to report.
        folder: Created where it is missing.

    Returns:
        The path of the page.

    Raises:
        UserError: If a file cannot be written, or jinja2 or matplotlib is not installed.
    """
    picture = confusion_png(evaluation.metrics.confusion_matrix, evaluation.class_names)
    page = render_page(evaluation, picture)
    return write_together(evaluation, folder, page, {PICTURE_NAME: picture})


def write_together(
    evaluation: Any, folder: Path, page: str, others: Mapping[str, bytes] | None = None
) -> Path:
    """Write all files of a report, so that they belong together whatever happens.

    Args:
        evaluation: Of either kind.
        folder: Created where it is missing.
        page: HTML.
        others: Further files by name.

    Returns:
        The path of the page.
    """
    from ..predictions import SCORES_NAME, save_scores

    others = others or {}
    names = [PAGE_NAME, REPORT_NAME, SCORES_NAME, *others]
    with atomic_files([folder / name for name in names]) as new:
        write_json(new / REPORT_NAME, evaluation.to_dict())
        if evaluation.scores is not None:
            save_scores(new / SCORES_NAME, evaluation.scores)
        for name, content in others.items():
            (new / name).write_bytes(content)
        (new / PAGE_NAME).write_text(page, encoding="utf-8")
    return folder / PAGE_NAME


def render_page(evaluation: Evaluation, picture: bytes) -> str:
    """Render the self-contained page.

    Args:
        evaluation: What to report. Names and paths in it may hold any text; they are escaped.
        picture: The confusion matrix as a PNG file.

    Returns:
        HTML without any reference to another file or host.

    Raises:
        UserError: If jinja2 is not installed.
    """
    return render(
        "evaluation/report/report.html.jinja",
        **_content(evaluation),
        picture=base64.b64encode(picture).decode("ascii"),
        picture_width=round(_png_width(picture) * 0.62),
    )


def _content(evaluation: Evaluation) -> dict[str, Any]:
    metrics = evaluation.metrics
    wrong = evaluation.wrong_clips()
    told = [row for row in metrics.per_class if row.clips]
    low, high = metrics.headline_interval
    return {
        **common_content(evaluation.method, evaluation.cost, evaluation.notes, AVERAGING),
        "num_classes": len(metrics.per_class),
        "top1": percent(metrics.top1),
        "correct": f"{metrics.num_correct} of {metrics.num_clips} clips",
        "interval": f"{100 * low:.1f} – {100 * high:.1f} %",
        "interval_of": _interval_of(evaluation),
        "scale": {
            "low": f"{100 * low:.2f}",
            "width": f"{100 * (high - low):.2f}",
            "point": f"{100 * metrics.top1:.2f}",
            "majority": f"{100 * metrics.majority_share:.2f}",
        },
        "bounds": _bounds(evaluation),
        "has_pictures": bool(evaluation.thumbnails),
        **curves(evaluation.curves, evaluation.class_names, len(told)),
        **reliability(evaluation.calibration),
        "top5": None if metrics.top5 is None else percent(metrics.top5),
        "top5_classes": TOP5_CLASSES,
        "mean_class_accuracy": percent(metrics.mean_class_accuracy),
        "majority": percent(metrics.majority_share),
        "classes": [_class_row(row) for row in _weakest_first(metrics.per_class)],
        "confusions": [_confusion_row(pair, evaluation) for pair in metrics.worst_confusions()],
        "wrong": [_clip_row(clip) for clip in wrong[:MOST_WRONG_CLIPS]],
        "num_wrong": len(wrong),
        "wide_picture": len(metrics.per_class) > _MANY_CLASSES,
    }


def _confusion_row(pair: Confusion, evaluation: Evaluation) -> dict[str, Any]:
    pictures = [
        {"name": evaluation.clips[i].name, "picture": picture}
        for i, picture in evaluation.thumbnails.items()
        if (evaluation.clips[i].true, evaluation.clips[i].predicted) == (pair.true, pair.predicted)
    ]
    return {
        "true": pair.true,
        "predicted": pair.predicted,
        "clips": pair.clips,
        "share": percent(pair.share),
        "pictures": pictures,
    }


def reliability(found: Calibration | None) -> dict[str, Any]:
    """Calibration for a page; the plot has a side of 100, 0 at the bottom."""
    if found is None:
        return {"ece": None}
    bins = [
        {
            "x": f"{100 * one.confidence:.2f}",
            "y": f"{100 - 100 * one.accuracy:.2f}",
            "low": f"{100 - 100 * one.interval[0]:.2f}",
            "high": f"{100 - 100 * one.interval[1]:.2f}",
            "title": f"{one.count} scores, mean {one.confidence:.3f}: {percent(one.accuracy)}",
        }
        for one in found.bins
    ]
    return {
        "ece": percent(found.ece_equal_width),
        "ece_mass": percent(found.ece_equal_mass),
        "ece_by_chance": percent(found.ece_by_chance),
        "mean_confidence": percent(found.mean_confidence),
        "mean_right": percent(found.accuracy),
        "bins": bins,
    }


def curves(found: Sequence[Curve], class_names: Sequence[str], num_told: int) -> dict[str, Any]:
    """Precision over recall for a page.

    Args:
        found: Of the weakest and the best classes.
        class_names: Of all classes.
        num_told: Classes that have clips.
    """
    rows = [
        {
            "name": class_names[one.label],
            "clips": one.clips,
            "area": percent(one.average_precision),
            "chance": f"{100 - 100 * one.chance:.2f}",
            "path": one.path,
        }
        for one in found
    ]
    return {"curves": rows, "num_curves": num_told}


def _interval_of(evaluation: Evaluation) -> str:
    found = evaluation.metrics.intervals
    if found is None or not evaluation.metrics.drawn_headline:
        return "Wilson"
    return f"bootstrap over {found.num_units} groups"


def _bounds(evaluation: Evaluation) -> dict[str, str]:
    """Bootstrap intervals as text; empty where there are none."""
    found = evaluation.metrics.intervals
    if found is None:
        return {"top5": "", "mean_class_accuracy": ""}
    return {
        "top5": _drawn_span(found.top5),
        "mean_class_accuracy": _drawn_span(found.mean_class_accuracy),
    }


def _drawn_span(interval: tuple[float, float] | None) -> str:
    """Nothing where all draws said the same, as when every clip is right: that is not certainty."""
    return "" if interval is None or interval[0] == interval[1] else span(interval)


def span(interval: tuple[float, float]) -> str:
    """An interval of shares as text, for example ``"43.6 – 97.0 %"``."""
    return f"{100 * interval[0]:.1f} – {100 * interval[1]:.1f} %"


def _weakest_first(rows: tuple[ClassResult, ...]) -> list[ClassResult]:
    return sorted(rows, key=lambda r: (r.accuracy is None, r.accuracy or 0.0, -r.clips))


def _class_row(row: ClassResult) -> dict[str, Any]:
    return {
        "name": row.name,
        "clips": row.clips,
        "correct": row.correct,
        "accuracy": percent(row.accuracy),
        "bar": f"{100 * (row.accuracy or 0.0):.1f}",
        "low": f"{100 * (row.interval or (0, 0))[0]:.1f}",
        "high": f"{100 * ((row.interval or (0, 0))[1] - (row.interval or (0, 0))[0]):.1f}",
        "span": "" if row.interval is None else span(row.interval),
        "precision": percent(row.precision),
        "average_precision": percent(row.average_precision),
    }


def _clip_row(clip: ClipResult) -> dict[str, Any]:
    return {
        "name": named_part(clip.name, clip.start_seconds, clip.end_seconds),
        "true": clip.true,
        "predicted": clip.predicted,
        "score": f"{clip.score:.3f}",
        "true_score": f"{clip.true_score:.3f}",
    }


def named_part(name: str, start_seconds: float | None, end_seconds: float | None) -> str:
    """The name of a clip with the part of the file that it is."""
    if start_seconds is None and end_seconds is None:
        return name
    end = "end" if end_seconds is None else f"{end_seconds:g} s"
    return f"{name} ({start_seconds or 0:g} s – {end})"


def _png_width(picture: bytes) -> int:
    # The header chunk comes first: length, "IHDR", width, height.
    return int.from_bytes(picture[16:20], "big")

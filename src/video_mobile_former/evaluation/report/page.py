"""The report of an evaluation: ``report.json``, the scores, and a self-contained page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...files import atomic_files, check_folder, check_replaceable, write_json
from ...page import chart_of, render
from ..metrics.calibration import Calibration
from ..metrics.curves import Curve
from ..metrics.enough import FEWEST_OF_A_CLASS, clips_for_calibration, clips_for_width
from ..metrics.single_label import SingleLabelMetrics, wilson_interval
from ..predictions import SCORES_NAME, save_scores
from ..result import REPORT_NAME, Evaluation, giga, percent
from . import events, multi_label, single_label
from .confusion import confusion_png
from .method import method_rows
from .plots import curve_plot, reliability_plot

PICTURE_NAME, PAGE_NAME = "confusion.png", "report.html"
_KINDS: dict[str, Any] = {
    "single_label": single_label,
    "multi_label": multi_label,
    "events": events,
}
_MOST_WRONG_CLIPS = 200
"""Wrong clips listed on the page; the JSON has them all."""


def check_report_folder(folder: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a folder in which :func:`write_report` would replace what is not ours.

    Raises:
        UserError: If there is such a file, or the system refuses to write there.
    """
    folder = Path(folder)
    check_folder(folder)
    names = (PAGE_NAME, REPORT_NAME, SCORES_NAME, PICTURE_NAME)
    check_replaceable([folder / name for name in names], folder / REPORT_NAME, overwrite=overwrite)


def write_report(
    evaluation: Evaluation[Any, Any], folder: str | Path, *, overwrite: bool = False
) -> Path:
    """Write page, ``report.json``, the scores and, for single labels, ``confusion.png``.

    Either all files are written or none.

    Args:
        evaluation: The evaluation to report.
        folder: Created if missing; other files in it are left alone.
        overwrite: Replace files of these names whoever wrote them.

    Returns:
        The path of ``report.html``.

    Raises:
        UserError: If one cannot be written or is there and not ours, or jinja2 or matplotlib is
            not installed.
    """
    check_report_folder(folder, overwrite=overwrite)
    folder, confusion = Path(folder), None
    if isinstance(evaluation.metrics, SingleLabelMetrics):
        confusion = confusion_png(evaluation.metrics.confusion_matrix, evaluation.class_names)
    page = render_page(evaluation, confusion)
    names = [PAGE_NAME, REPORT_NAME]
    names += [] if evaluation.scores is None else [SCORES_NAME]
    names += [] if confusion is None else [PICTURE_NAME]
    with atomic_files([folder / name for name in names]) as new:
        write_json(new / REPORT_NAME, evaluation.to_dict())
        if evaluation.scores is not None:
            save_scores(new / SCORES_NAME, evaluation.scores)
        if confusion is not None:
            (new / PICTURE_NAME).write_bytes(confusion)
        (new / PAGE_NAME).write_text(page, encoding="utf-8")
    return folder / PAGE_NAME


def render_page(evaluation: Evaluation[Any, Any], confusion: bytes | None = None) -> str:
    """Render the self-contained page.

    Args:
        evaluation: The evaluation to report. Names and paths may be any text; they are escaped.
        confusion: The confusion matrix as a PNG file, for single labels.

    Returns:
        HTML without any reference to another file or host.

    Raises:
        UserError: If jinja2 or matplotlib is not installed.
    """
    kind = _KINDS[evaluation.metrics.task]
    method, cost, wrong = evaluation.method, evaluation.cost, evaluation.wrong_clips()
    own = kind.content(evaluation)
    return render(
        f"evaluation/report/{evaluation.metrics.task}.html.jinja",
        model=method.model,
        data=method.data,
        split=method.split,
        num_clips=method.num_clips,
        num_classes=len(evaluation.class_names),
        date=method.date[:10],
        notes=evaluation.notes,
        total_macs=giga(cost.total_macs),
        views=cost.views_words,
        macs_per_view=giga(cost.macs_per_view),
        parameters=giga(cost.parameters),
        method=[*own.pop("measured", []), *method_rows(method, cost.total_views, kind.AVERAGING)],
        json_name=REPORT_NAME,
        classes=[kind.class_row(row) for row in _weakest_first(evaluation.metrics.per_class)],
        wrong=_wrong_rows(evaluation, kind),
        num_wrong=len(wrong),
        attention=evaluation.attention,
        picture=base64.b64encode(confusion or b"").decode("ascii"),
        picture_width=round(_png_width(confusion or b"") * 0.62),
        curves=[_curve_row(one, evaluation.class_names[one.label]) for one in evaluation.curves],
        num_curves=sum(row.clips >= FEWEST_OF_A_CLASS for row in evaluation.metrics.per_class),
        num_previews=len(evaluation.previews) + len(evaluation.event_previews),
        **_few(evaluation),
        **_reliability(evaluation.calibration),
        **own,
    )


def _weakest_first(rows: Sequence[Any]) -> list[Any]:
    """Classes by their score, those without clips last."""
    return sorted(rows, key=lambda row: (row.score is None, row.score or 0.0, -row.clips))


def _wrong_rows(evaluation: Evaluation[Any, Any], kind: Any) -> list[dict[str, Any]]:
    """The largest errors, each with its small clip where there is one."""
    places = [i for i, clip in enumerate(evaluation.clips) if not clip.correct]
    places.sort(key=lambda i: -evaluation.clips[i].how_wrong)
    return [
        {
            **kind.clip_row(evaluation.clips[i]),
            "place": i,
            "preview": evaluation.previews.get(i),
        }
        for i in places[:_MOST_WRONG_CLIPS]
    ]


def _few(evaluation: Evaluation[Any, Any]) -> dict[str, Any]:
    """What so few clips cannot carry, in words, and how many clips it would take."""
    rows = [row for row in evaluation.metrics.per_class if row.clips]
    few = [row for row in rows if row.clips < FEWEST_OF_A_CLASS]
    if not few or evaluation.metrics.task == "events":
        return {"few_classes": "", "few_curves": ""}
    which = "None of the" if len(few) == len(rows) else f"{len(few)} of the {len(rows)}"
    have = "has" if len(few) == len(rows) else "have fewer than"
    return {
        "few_classes": (
            f"{which} classes {have} {FEWEST_OF_A_CLASS} clips here: no interval is drawn of "
            f"{'them' if len(few) > 1 else 'it'}, which would be more than "
            f"{100 * _widest(FEWEST_OF_A_CLASS):.0f} points wide. About "
            f"{clips_for_width(0.2)} clips of a class bring it to 20 points."
        ),
        "few_curves": (
            f"{which} classes {have} {FEWEST_OF_A_CLASS} clips here: a curve of fewer steps would "
            "show chance."
        ),
    }


def _widest(clips: int) -> float:
    low, high = wilson_interval(clips // 2, clips)
    return high - low


def _reliability(found: Calibration | None) -> dict[str, Any]:
    """Calibration for a page."""
    if found is None:
        return {"ece": None, "few_scores": ""}
    needed = clips_for_calibration(found)
    if needed is not None:
        count = sum(one.count for one in found.bins)
        return {
            "ece": None,
            "few_scores": (
                f"{count} scores are too few to measure it: a calibrated model would show "
                f"an error of {percent(found.ece_by_chance)} by chance on as many (here "
                f"{percent(found.ece_equal_width)}). It takes about {needed} scores."
            ),
        }
    return {
        "few_scores": "",
        "ece": percent(found.ece_equal_width),
        "ece_mass": percent(found.ece_equal_mass),
        "ece_by_chance": percent(found.ece_by_chance),
        "mean_confidence": percent(found.mean_confidence),
        "mean_right": percent(found.accuracy),
        "num_bins": len(found.bins),
        "reliability": chart_of(reliability_plot(found)),
    }


def _curve_row(one: Curve, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "clips": one.clips,
        "area": percent(one.average_precision),
        "picture": chart_of(curve_plot(one)),
    }


def _png_width(picture: bytes) -> int:
    # The header chunk comes first: length, "IHDR", width, height.
    return int.from_bytes(picture[16:20], "big")

"""Content of the page of an evaluation on events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..clip_results import EventFile
from ..metrics.events import EventClass, EventMetrics
from ..previews import EventPreview
from ..result import Evaluation, delay_words, percent
from .method import scale

AVERAGING = {"probabilities": "none: each window stands for the time around its middle"}
"""Description of how the windows of a file become scores over time."""


def content(evaluation: Evaluation[EventMetrics, EventFile]) -> dict[str, Any]:
    """Variables of ``events.html.jinja`` beyond those of every page."""
    metrics = evaluation.metrics
    settings = dict(evaluation.settings or {})
    fitted = settings.pop("thresholds", {})
    told = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
    own = f"; {len(fitted)} classes have thresholds of their own" if fitted else ""
    return {
        "headline": {
            "label": "Mean average precision of events",
            "short": "mAP",
            "value": percent(metrics.mean_map),
            "of": f"{metrics.num_events} events in {metrics.num_files} files",
            "interval": "mean over overlaps 0.1 to 0.7",
            "interval_by": "",
            "base": "nothing found: 0.0 %",
            **scale(metrics.mean_map, None, 0.0),
        },
        "numbers": [
            (
                "F1 at an overlap of 0.5",
                percent(metrics.f1),
                f"precision {percent(metrics.precision)}, recall {percent(metrics.recall)}",
            ),
            (
                "mAP at 0.5",
                percent(metrics.map_by_overlap["0.5"]),
                (
                    f"at 0.1 {percent(metrics.map_by_overlap['0.1'])}, "
                    f"at 0.7 {percent(metrics.map_by_overlap['0.7'])}"
                ),
            ),
            ("Delay", *_delay(metrics)),
        ],
        "pictures": _pictures(evaluation.event_previews),
        "measured": [
            ("mAP", "as the ActivityNet challenge defines it; mean over the classes with events"),
            ("Events", told + own),
        ],
    }


def _pictures(previews: Sequence[EventPreview]) -> dict[int, list[dict[str, Any]]]:
    """What is shown below a file, by its place."""
    rows: dict[int, list[dict[str, Any]]] = {}
    for one in previews:
        event = one.event
        score = "" if event.score is None else f", {event.score:.2f}"
        times = f"{event.start_seconds:.1f} to {event.end_seconds:.1f} s{score}"
        row = {"kind": one.kind, "label": event.label, "times": times, "preview": one.preview}
        rows.setdefault(one.place, []).append(row)
    return rows


def _delay(metrics: EventMetrics) -> tuple[str, str]:
    value, _, meaning = delay_words(metrics).partition("   ")
    return value, meaning.strip("()")


def class_row(row: EventClass) -> dict[str, Any]:
    """A line of the table of classes."""
    return {
        "name": row.name,
        "clips": row.count,
        "found": row.found,
        "score": percent(row.score),
        "bar": f"{100 * (row.score or 0.0):.1f}",
        "f1": percent(row.f1),
        "delay": "–" if row.delay_seconds is None else f"{row.delay_seconds:+.2f} s",
    }


def clip_row(clip: EventFile) -> dict[str, Any]:
    """A line of the table of files."""
    return {
        "name": clip.name,
        "true": len(clip.true),
        "found": len(clip.found),
        "missed": clip.missed,
        "wrong": clip.wrong,
    }

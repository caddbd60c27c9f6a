"""A comparison as a page, as ``comparison.json`` and as two tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...files import atomic_files, check_folder, check_replaceable, write_json
from ...page import bytes_words, chart_of, render
from ...text import pad, printable, shorten_middle
from ..compare import ComparedModel, Comparison, Pair, Speed
from ..metrics.single_label import SingleLabelMetrics
from ..result import Cost, giga, percent
from .method import span
from .plots import cost_plot

JSON_NAME, PAGE_NAME = "comparison.json", "comparison.html"
_MOST_CLASSES = 30
"""Most classes in the table of classes."""
_NAME_COLUMNS = 22


def check_comparison_folder(folder: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a folder in which :func:`write_comparison` would replace what is not ours.

    Raises:
        UserError: If there is such a file, or the system refuses to write there.
    """
    folder = Path(folder)
    check_folder(folder)
    files = [folder / PAGE_NAME, folder / JSON_NAME]
    check_replaceable(files, folder / JSON_NAME, overwrite=overwrite)


def write_comparison(
    comparison: Comparison, folder: str | Path, *, overwrite: bool = False
) -> Path:
    """Write ``comparison.json`` and ``comparison.html``, all or nothing.

    Args:
        comparison: The comparison to report.
        folder: Created if missing; other files in it are left alone.
        overwrite: Replace files of these names whoever wrote them.

    Returns:
        The path of the page.

    Raises:
        UserError: If one cannot be written or is there and not ours, or jinja2 or matplotlib is
            not installed.
    """
    folder = Path(folder)
    check_comparison_folder(folder, overwrite=overwrite)
    page = render_comparison(comparison)
    with atomic_files([folder / PAGE_NAME, folder / JSON_NAME]) as new:
        write_json(new / JSON_NAME, comparison.to_dict())
        (new / PAGE_NAME).write_text(page, encoding="utf-8")
    return folder / PAGE_NAME


def render_comparison(comparison: Comparison) -> str:
    """Render the self-contained page.

    Args:
        comparison: The comparison to report. Names may be any text; they are escaped.

    Returns:
        HTML without any reference to another file or host.
    """
    method = comparison.models[0].run.method
    return render(
        "evaluation/report/comparison.html.jinja",
        score="mAP" if comparison.multi_label else "Top-1",
        second="Micro AP" if comparison.multi_label else "Mean per class",
        multi_label=comparison.multi_label,
        num_clips=method["num_clips"],
        num_classes=len(comparison.models[0].run.class_names),
        data=method["data"],
        split=method["split"],
        date=method["date"][:10],
        notes=comparison.notes,
        rows=[_row(one) for one in comparison.models],
        timed=any(one.speed is not None for one in comparison.models),
        speed_words=_speed_words(comparison.models),
        pairs=[_pair(pair) for pair in comparison.pairs],
        by_group=comparison.by_group,
        num_units=comparison.num_units,
        plot=chart_of(cost_plot(comparison.models)),
        **_classes(comparison),
    )


def _row(one: ComparedModel) -> dict[str, Any]:
    method, cost, interval = one.run.method, one.run.cost, one.metrics.score_interval
    averaged = "–"
    if cost.total_views > 1:
        after = method["average"] == "logits"
        kind = "sigmoid" if one.run.multi_label else "softmax"
        averaged = f"{'before' if after else 'after'} {kind}"
    top5 = one.metrics.top5 if isinstance(one.metrics, SingleLabelMetrics) else None
    artefact = method.get("artefact")
    return {
        "name": one.run.name,
        "model": method["model"],
        "score": percent(one.metrics.score),
        "interval": "–" if interval is None else span(interval),
        "second": percent(one.metrics.second),
        "top5": percent(top5),
        "has_top5": top5 is not None,
        "views": _views(cost),
        "total": giga(cost.total_macs),
        "parameters": giga(cost.parameters),
        "file": "–" if cost.file_bytes is None else bytes_words(cost.file_bytes),
        **_speed(one.speed),
        "clip": _clip(one),
        "averaged": averaged,
        "runs": artefact["runtime"] if artefact else "PyTorch",
        "precision": artefact["precision"] if artefact else method["precision"],
        "device": method["device"],
        "date": method["date"][:10],
    }


def _speed(speed: Speed | None) -> dict[str, str]:
    if speed is None:
        return {"ms": "–", "ms_spread": "", "memory": "–"}
    lower, upper = speed.quartiles
    memory = speed.peak_memory_mb
    return {
        "ms": f"{speed.ms:.3g} ms",
        "ms_spread": f"{lower:.3g} – {upper:.3g}",
        "memory": "–" if memory is None else f"{memory:.0f} MB",
    }


def _speed_words(models: Sequence[ComparedModel]) -> str:
    """How time and memory were measured, or how they can be."""
    speeds = [one.speed for one in models if one.speed is not None]
    if not speeds:
        return "Time and memory were not measured; --speed does so."
    missing = "" if len(speeds) == len(models) else " Reports of earlier evaluations have none."
    first = speeds[0]
    threads = "one thread" if first.threads == 1 else f"{first.threads} threads"
    return (
        f"ms: one view, without decoding, on {threads} of {first.machine}; median and quartiles of "
        f"up to {max(one.rounds for one in speeds)} rounds, models in turn. Memory: "
        f"growth by loading and running, the peak.{missing}"
    )


def _views(cost: Cost) -> str:
    """MACs per view times views."""
    crops = f" × {cost.num_crops} crops" if cost.num_crops > 1 else ""
    return f"{giga(cost.macs_per_view)} × {cost.num_views:.4g}{crops}"


def _clip(one: ComparedModel) -> str:
    """The model's clip spec in short."""
    clip = one.run.clip
    how = clip.sampling if clip.sampling == "uniform" else f"dense, stride {clip.stride}"
    return f"{clip.num_frames} × {clip.crop_size}², {how}"


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "difference": _points(pair.difference),
        "interval": _between(pair.interval),
        "only": "–" if pair.only_first is None else f"{pair.only_first} : {pair.only_second}",
        "p": _p_words(pair.p),
        "p_holm": _p_words(pair.p_holm),
        "tells": pair.differs,
    }


def _classes(comparison: Comparison) -> dict[str, Any]:
    """Accuracy of every class with every model, the largest differences first."""
    rows = []
    for i, name in enumerate(comparison.models[0].run.class_names):
        found = [one.metrics.per_class[i].score for one in comparison.models]
        told = [value for value in found if value is not None]
        if told:
            clips = comparison.models[0].metrics.per_class[i].clips
            best = max(told)
            cells = [{"text": percent(v), "best": v == best and min(told) < best} for v in found]
            rows.append((min(told) - best, {"name": name, "clips": clips, "cells": cells}))
    rows.sort(key=lambda row: row[0])
    return {
        "classes": [row for _, row in rows[:_MOST_CLASSES]],
        "num_told": len(rows),
    }


def comparison_summary(found: Comparison) -> str:
    """Two tables for a terminal of 80 columns."""
    return "\n".join(_summary_lines(found))


def _summary_lines(found: Comparison) -> Iterator[str]:
    score, second = ("mAP", "micro AP") if found.multi_label else ("top-1", "mean/class")
    columns = f"{score:>8}  {'95 % interval':<14}{second:>11}{'MACs × views = total':>23}"
    yield _cell("") + columns
    for one in found.models:
        interval, cost, between = one.metrics.score_interval, one.run.cost, "–"
        if interval is not None:
            between = f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f} %"
        product = f"{giga(cost.macs_per_view)} × {cost.total_views:.4g} = {giga(cost.total_macs)}"
        yield (
            f"{_cell(one.run.name)}{percent(one.metrics.score):>8}  "
            f"{between:<14}{percent(one.metrics.second):>11}{product:>23}"
        )
    yield from _speed_lines(found)
    yield ""
    columns = f"{'':>7}  {'95 % interval':<15}{'p':>8}{'p (Holm)':>12}"
    yield _cell("differences, points", 34) + columns
    for pair in found.pairs:
        name = f"{_cell(pair.first, 15).rstrip()} − {_cell(pair.second, 15).rstrip()}"
        yield (
            f"{pad(name, 34)}{_points(pair.difference):>7}  {_between(pair.interval):<15}"
            f"{_p_words(pair.p):>8}{_p_words(pair.p_holm):>12}"
        )
    yield ""
    test = "paired bootstrap" if found.multi_label else "McNemar's test, exact"
    unit = f"{found.num_units} groups" if found.by_group else "clips"
    yield f"p: {test}; Holm: corrected for {len(found.pairs)} pair(s)."
    yield f"Intervals of differences: paired bootstrap over {unit}."


def _speed_lines(found: Comparison) -> Iterator[str]:
    """File size of each model, and time and memory where they were measured."""
    yield ""
    timed = any(one.speed is not None for one in found.models)
    yield _cell("") + f"{'file':>8}" + (f"{'ms a view':>12}{'memory':>11}" if timed else "")
    for one in found.models:
        size, speed = one.run.cost.file_bytes, _speed(one.speed)
        line = f"{_cell(one.run.name)}{'–' if size is None else bytes_words(size):>8}"
        yield line + (f"{speed['ms']:>12}{speed['memory']:>11}" if timed else "")
    if timed:
        machine = next(one.speed.machine for one in found.models if one.speed is not None)
        yield f"one thread of {shorten_middle(printable(machine), 66)}"


def _points(difference: float) -> str:
    """A difference in percentage points."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def _between(interval: tuple[float, float] | None) -> str:
    """An interval of a difference in percentage points."""
    return "–" if interval is None else " to ".join(map(_points, interval))


def _p_words(p: float | None) -> str:
    """A p value as text."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _cell(name: str, width: int = _NAME_COLUMNS) -> str:
    return pad(shorten_middle(printable(name), width), width)

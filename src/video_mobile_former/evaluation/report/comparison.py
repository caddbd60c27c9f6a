"""The page of a comparison, and the numbers of its accuracy–cost plot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...files import atomic_files, write_json
from ...page import render
from ...text import printable, shorten_middle
from ..compare_text import p_words, points
from ..metrics.single_label import Metrics
from ..result import giga, percent
from .single_label import span

if TYPE_CHECKING:
    from ..compare import Comparison, Contestant, Pair

JSON_NAME, PAGE_NAME = "comparison.json", "comparison.html"
WIDTH, HEIGHT = 640, 300
"""Size of the plot in units of its own; letters are 12 of them high."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 24, 16, 44
_MOST_CLASSES = 30
"""Classes in the table of classes."""


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write the JSON and the page, all or nothing.

    Args:
        comparison: What to report.
        folder: Created where it is missing.

    Returns:
        The path of the page.
    """
    page = render_comparison(comparison)
    with atomic_files([folder / PAGE_NAME, folder / JSON_NAME]) as new:
        write_json(new / JSON_NAME, comparison.to_dict())
        (new / PAGE_NAME).write_text(page, encoding="utf-8")
    return folder / PAGE_NAME


def render_comparison(comparison: Comparison) -> str:
    """Render the self-contained page.

    Args:
        comparison: What to report. Names in it may hold any text; they are escaped.

    Returns:
        HTML without any reference to another file or host.
    """
    method = comparison.contestants[0].run.method
    return render(
        "evaluation/report/compare.html.jinja",
        score="mAP" if comparison.multi_label else "Top-1",
        second="Micro AP" if comparison.multi_label else "Mean per class",
        multi_label=comparison.multi_label,
        num_clips=method["num_clips"],
        num_classes=len(comparison.contestants[0].run.class_names),
        data=method["data"],
        split=method["split"],
        date=method["date"][:10],
        notes=comparison.notes,
        rows=[_row(one) for one in comparison.contestants],
        pairs=[_pair(pair) for pair in comparison.pairs],
        by_group=comparison.by_group,
        num_units=comparison.num_units,
        plot=plot_of(comparison.contestants),
        width=WIDTH,
        height=HEIGHT,
        left=_LEFT,
        right=WIDTH - _RIGHT,
        bottom=HEIGHT - _BOTTOM,
        **_classes(comparison),
    )


@dataclass(frozen=True)
class Dot:
    """A model in the plot, in its units."""

    x: float
    y: float
    low: float
    high: float
    """Ends of the interval."""
    label: str
    label_x: float
    label_y: float
    anchor: str


@dataclass(frozen=True)
class Plot:
    """Accuracy over cost; the cost grows by factors."""

    dots: tuple[Dot, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def plot_of(contestants: tuple[Contestant, ...]) -> Plot:
    """Place models by the MACs of one video and their score.

    Args:
        contestants: With costs of any size, also 0 and equal ones.
    """
    costs = [math.log10(max(one.run.cost.total_macs, 1)) for one in contestants]
    low, high = min(costs), max(costs)
    room = max(0.18 * (high - low), 0.15)
    low, high = low - room, high + room
    spans = [one.interval or (one.score, one.score) for one in contestants]
    bottom = max(0.0, math.floor(20 * min(a for a, _ in spans)) / 20)
    top = min(1.0, max(math.ceil(20 * max(b for _, b in spans)) / 20, bottom + 0.05))

    def x(cost: float) -> float:
        return _LEFT + (cost - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    def y(share: float) -> float:
        return HEIGHT - _BOTTOM - (share - bottom) / (top - bottom) * (HEIGHT - _TOP - _BOTTOM)

    dots: list[Dot] = []
    for one, cost, (a, b) in zip(contestants, costs, spans, strict=True):
        at = x(cost)
        left = at > WIDTH * 0.7
        label_y = y(one.score)
        # Labels of models of equal cost and score would lie on each other.
        side = "end" if left else "start"
        for _ in dots:
            near = [
                d
                for d in dots
                if d.anchor == side and abs(d.label_y - label_y) < 14 and abs(d.x - at) < 150
            ]
            if near:
                label_y = max(d.label_y for d in near) + 14
        label = shorten_middle(printable(one.run.name), 26)
        dots.append(
            Dot(at, y(one.score), y(a), y(b), label, at - 9 if left else at + 9, label_y + 4, side)
        )
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2) if (top - bottom) / s <= 6 or s == 0.2)
    first = math.ceil(bottom / step - 1e-9)
    shares = [i * step for i in range(first, math.floor(top / step + 1e-9) + 1)]
    return Plot(
        dots=tuple(dots),
        x_ticks=tuple((x(math.log10(v)), _round_giga(v)) for v in _round_costs(low, high)),
        y_ticks=tuple((y(share), f"{100 * share:.0f} %") for share in shares),
    )


def _round_giga(macs: int) -> str:
    number, _, unit = giga(macs).partition(" ")
    return f"{float(number):g} {unit}".rstrip()


def _round_costs(low: float, high: float) -> list[int]:
    """Round MACs between two logarithms, seven at most."""
    for factors in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [
            factor * 10**power
            for power in range(max(0, math.floor(low)), math.ceil(high) + 1)
            for factor in factors
            if low <= math.log10(factor * 10**power) <= high
        ]
        if len(found) <= 7:
            return found
    return found[:: len(found) // 7 + 1]


def _row(one: Contestant) -> dict[str, Any]:
    method, cost = one.run.method, one.run.cost
    averaged = "–"
    if cost.total_views > 1:
        after = method["average"] == "logits"
        kind = "sigmoid" if one.run.multi_label else "softmax"
        averaged = f"{'before' if after else 'after'} {kind}"
    top5 = one.metrics.top5 if isinstance(one.metrics, Metrics) else None
    artefact = method.get("artefact")
    return {
        "name": one.run.name,
        "model": method["model"],
        "score": percent(one.score),
        "interval": "–" if one.interval is None else span(one.interval),
        "second": percent(one.second),
        "top5": percent(top5),
        "has_top5": top5 is not None,
        "views": one.views,
        "total": giga(cost.total_macs),
        "parameters": giga(cost.parameters),
        "eats": one.eats,
        "averaged": averaged,
        "runs": artefact["runtime"] if artefact else "PyTorch",
        "precision": artefact["precision"] if artefact else method["precision"],
        "device": method["device"],
        "date": method["date"][:10],
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "difference": f"{100 * pair.difference:+.1f}".replace("-", "−"),
        "interval": points(pair.interval),
        "only": "–" if pair.only_first is None else f"{pair.only_first} : {pair.only_second}",
        "p": p_words(pair.p),
        "p_holm": p_words(pair.p_holm),
        "tells": pair.differs,
    }


def _classes(comparison: Comparison) -> dict[str, Any]:
    """Accuracy of every class with every model, the classes first that tell models apart."""
    rows = []
    for i, name in enumerate(comparison.contestants[0].run.class_names):
        found = [_class_score(one, i) for one in comparison.contestants]
        told = [value for value in found if value is not None]
        if told:
            clips = comparison.contestants[0].metrics.per_class[i].clips
            best = max(told)
            cells = [{"text": percent(v), "best": v == best and min(told) < best} for v in found]
            rows.append((min(told) - best, {"name": name, "clips": clips, "cells": cells}))
    rows.sort(key=lambda row: row[0])
    return {
        "classes": [row for _, row in rows[:_MOST_CLASSES]],
        "num_told": len(rows),
    }


def _class_score(one: Contestant, i: int) -> float | None:
    found = one.metrics
    if isinstance(found, Metrics):
        return found.per_class[i].accuracy
    return found.per_class[i].average_precision

"""Bar charts as numbers that a template draws: sharp on paper, legible on a phone, no library."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .distributions import Distribution, round_step

WIDTH, HEIGHT = 360, 170
"""Size of a chart in units of its own; letters are 11 of them high."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 8, 8, 34
_GRID_LINES = 3


@dataclass(frozen=True)
class Bar:
    """One bar; x, y, width and height in units of the chart."""

    x: float
    y: float
    width: float
    height: float
    title: str
    """What it stands for, shown when pointed at."""


@dataclass(frozen=True)
class Tick:
    """A label on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Chart:
    """A bar chart of one distribution."""

    title: str
    caption: str
    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    unit: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def chart_of(one: Distribution) -> Chart | None:
    """Draw a distribution; None where there is nothing to draw."""
    if not len(one.values):
        return None
    single = one.single_values()
    places = _columns(single) if single is not None else None
    if single is None or places is None:
        spans, counts, labels, x_ticks = _histogram(one)
    else:
        spans = places
        counts = [count for _, count in single]
        labels = [number(value) for value, _ in single]
        x_ticks = _thinned(
            [Tick((a + b) / 2, label) for (a, b), label in zip(spans, labels, strict=True)]
        )
    y_ticks, top = _counting_axis(max(counts))
    bottom = HEIGHT - _BOTTOM
    bars = []
    for (begin, end), count, label in zip(spans, counts, labels, strict=True):
        height = (bottom - _TOP) * count / top
        title = f"{label} {one.unit}: {count} {one.of}"
        bars.append(Bar(begin, bottom - height, end - begin, height, title))
    middle = number(float(np.median(one.values)))
    low, high = number(float(one.values.min())), number(float(one.values.max()))
    spread = f"all {low}" if low == high else f"{low} to {high}, median {middle}"
    return Chart(
        title=one.name[:1].upper() + one.name[1:],
        caption=f"{len(one.values)} {one.of}: {spread} {one.unit}",
        bars=tuple(bar for bar in bars if bar.height > 0),
        x_ticks=tuple(x_ticks),
        y_ticks=tuple(y_ticks),
        unit=one.unit,
    )


def number(value: float) -> str:
    """A number in as many digits as people want to read."""
    if value == 0:
        return "0"  # never "-0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    text = f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def _columns(single: list[tuple[float, int]]) -> list[tuple[float, float]]:
    """Begin and end of one bar for each value, evenly spread and not too wide."""
    room = (WIDTH - _LEFT - _RIGHT) / len(single)
    width = min(0.7 * room, 44)
    return [
        (_LEFT + (i + 0.5) * room - width / 2, _LEFT + (i + 0.5) * room + width / 2)
        for i in range(len(single))
    ]


def _histogram(
    one: Distribution,
) -> tuple[list[tuple[float, float]], list[int], list[str], list[Tick]]:
    edges, counts = one.bars()
    grows = not np.allclose(np.diff(edges), edges[1] - edges[0], rtol=0.5)
    scale = np.log(edges) if grows else edges
    x = _LEFT + (scale - scale[0]) / (scale[-1] - scale[0]) * (WIDTH - _LEFT - _RIGHT)
    spans = [(a + 0.5, b - 0.5) for a, b in itertools.pairwise(x)]
    labels = [f"{number(a)} to {number(b)}" for a, b in itertools.pairwise(edges)]
    if grows:
        ticks = [Tick(float(at), number(edge)) for at, edge in zip(x[::6], edges[::6], strict=True)]
        return spans, counts.tolist(), labels, ticks
    step = round_step((edges[-1] - edges[0]) / 5)
    first = np.ceil(edges[0] / step - 1e-9)
    values = np.arange(first, np.floor(edges[-1] / step + 1e-9) + 1) * step
    at = np.interp(values, edges, x)
    return (
        spans,
        counts.tolist(),
        labels,
        [Tick(float(a), number(v)) for a, v in zip(at, values, strict=True)],
    )


def _counting_axis(highest: int) -> tuple[list[Tick], float]:
    step = max(1.0, round_step(highest / _GRID_LINES))
    lines = int(np.ceil(highest / step))
    bottom = HEIGHT - _BOTTOM
    ticks = [Tick(bottom - (bottom - _TOP) * i / lines, _short(i * step)) for i in range(lines + 1)]
    return ticks, lines * step


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:.0f}"


def _thinned(ticks: list[Tick]) -> list[Tick]:
    """Leave out labels that would run into each other."""
    kept: list[Tick] = []
    for tick in ticks:
        wide = 6.5 * len(tick.label) + 6
        if not kept or tick.at - kept[-1].at >= (wide + 6.5 * len(kept[-1].label) + 6) / 2:
            kept.append(tick)
    return kept

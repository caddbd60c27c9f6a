"""Bar charts as numbers that a template draws: sharp on paper, legible on a phone, no library."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..index.table import Clip
from .facts import FileFacts

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


_FEW_VALUES = 12
"""Up to so many different values each gets a bar of its own."""
_BARS = 24
_WIDE = 30.0
"""Largest by middle value from which bars grow by a factor instead of a step."""
_QUANTILES = (1, 5, 25, 50, 75, 95, 99)


@dataclass(frozen=True)
class Distribution:
    """One quantity of many clips or files."""

    name: str
    unit: str
    values: np.ndarray
    """``(N,)`` float64, none of them infinite or NaN."""
    of: str
    """``"clips"`` or ``"files"``."""

    def to_json(self) -> dict[str, Any]:
        """Number, range, mean and percentiles."""
        out: dict[str, Any] = {"unit": self.unit, "of": self.of, "count": len(self.values)}
        if len(self.values):
            out |= {
                "min": float(self.values.min()),
                "max": float(self.values.max()),
                "mean": float(self.values.mean()),
                "percentiles": {str(q): float(np.percentile(self.values, q)) for q in _QUANTILES},
            }
            edges, counts = self.bars()
            out["histogram"] = {"edges": edges.tolist(), "counts": counts.tolist()}
        return out

    def single_values(self) -> list[tuple[float, int]] | None:
        """Each value with its count, where there are only a few; else None."""
        counts = Counter(np.round(self.values, 2).tolist())
        return sorted(counts.items()) if len(counts) <= _FEW_VALUES else None

    def bars(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges ``(B + 1,)`` and counts ``(B,)`` of a histogram of round steps."""
        low, high = float(self.values.min()), float(self.values.max())
        middle = float(np.median(self.values))
        if low > 0 and high > _WIDE * middle:
            edges = np.geomspace(low, high, _BARS + 1)
        else:
            step = round_step((high - low) / _BARS or max(abs(high), 1.0) / _BARS)
            first = math.floor(low / step + 1e-9)
            last = max(first + 1, math.ceil(high / step - 1e-9))
            if last * step <= high:
                last += 1  # the last bar does not hold its end
            edges = np.arange(first, last + 1) * step
        edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
        counts, _ = np.histogram(self.values, edges)
        return edges, counts


def round_step(wanted: float) -> float:
    """The smallest of 1, 2, 5, 10, … (times a power of ten) that is not below ``wanted``."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= wanted * (1 - 1e-9))


def distributions(pairs: Sequence[tuple[Clip, FileFacts]]) -> list[Distribution]:
    """What is worth a look.

    Args:
        pairs: Clips that can be used, with the facts of their files.
    """
    files = list({one.key: one for _, one in pairs}.values())

    def of_files(name: str, unit: str, values: list[float]) -> Distribution:
        return Distribution(name, unit, np.array(values, dtype=np.float64), "files")

    lengths = np.array([clip_seconds(c, f) for c, f in pairs], dtype=np.float64)
    return [
        Distribution("length of clips", "s", lengths, "clips"),
        of_files("frames", "frames", [f.frames for f in files]),
        of_files("frame rate", "fps", [f.frame_rate for f in files]),
        of_files("short side", "px", [f.short_side for f in files]),
        of_files("file size", *_in_bytes([f.key.size for f in files if f.key.size >= 0])),
    ]


def _in_bytes(sizes: Sequence[int]) -> tuple[str, list[float]]:
    """Sizes in a unit in which they are easy to read."""
    usual = float(np.median(sizes)) if sizes else 0.0
    unit, factor = next(
        (u, f) for u, f in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if usual >= f or u == "kB"
    )
    return unit, [size / factor for size in sizes]


def picture_sizes(facts: Sequence[FileFacts]) -> list[tuple[str, int]]:
    """``"width × height"`` with the number of files, commonest first."""
    files = {one.key: one for one in facts if not one.fault}.values()
    counts = Counter(f"{one.width} × {one.height}" for one in files)
    return counts.most_common()


def clip_seconds(clip: Clip, facts: FileFacts) -> float:
    """Length of the part of the file that is the clip."""
    end_of_file = facts.first_seconds + facts.duration_seconds
    start = max(clip.start_seconds or 0.0, facts.first_seconds)
    end = end_of_file if clip.end_seconds is None else min(clip.end_seconds, end_of_file)
    return max(0.0, end - start)

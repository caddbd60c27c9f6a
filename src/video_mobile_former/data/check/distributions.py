"""Distributions of lengths, sizes and rates of clips and files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..index.clip import Clip
from .facts import FileFacts

_FEW_VALUES = 12
"""Most distinct values with one bar each."""
_BARS = 24
_WIDE = 30.0
"""Ratio of largest to median value from which bars grow by a factor instead of a step."""
_QUANTILES = (1, 5, 25, 50, 75, 95, 99)


def number(value: float) -> str:
    """A number in a readable number of digits."""
    if value == 0:
        return "0"  # never "-0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    text = f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


@dataclass(frozen=True)
class Distribution:
    """One quantity of many clips or files."""

    name: str
    unit: str
    values: np.ndarray
    """``(N,)`` float64, none of them infinite or NaN."""
    of: str
    """``"clips"`` or ``"files"``."""

    def caption(self) -> str:
        """Count, range and median."""
        middle = number(float(np.median(self.values)))
        low, high = number(float(self.values.min())), number(float(self.values.max()))
        spread = f"all {low}" if low == high else f"{low} to {high}, median {middle}"
        return f"{len(self.values)} {self.of}: {spread} {self.unit}"

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
        """Each value with its count where there are few; else None."""
        counts = Counter(np.round(self.values, 2).tolist())
        return sorted(counts.items()) if len(counts) <= _FEW_VALUES else None

    @property
    def grows(self) -> bool:
        """Whether bars grow by a factor, because the largest values are far from the others."""
        low, high = float(self.values.min()), float(self.values.max())
        return low > 0 and high > _WIDE * float(np.median(self.values))

    def bars(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges ``(B + 1,)`` and counts ``(B,)`` of a histogram of round steps."""
        low, high = float(self.values.min()), float(self.values.max())
        if self.grows:
            edges = np.geomspace(low, high, _BARS + 1)
        else:
            step = _round_step((high - low) / _BARS or max(abs(high), 1.0) / _BARS)
            first = math.floor(low / step + 1e-9)
            last = max(first + 1, math.ceil(high / step - 1e-9))
            if last * step <= high:
                last += 1  # the last bar excludes its end
            edges = np.arange(first, last + 1) * step
        edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
        counts, _ = np.histogram(self.values, edges)
        return edges, counts


def _round_step(wanted: float) -> float:
    """The smallest of 1, 2, 5, 10, … (times a power of ten) that is not below ``wanted``."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= wanted * (1 - 1e-9))


def distributions(pairs: Sequence[tuple[Clip, FileFacts]]) -> list[Distribution]:
    """The distributions that a check reports.

    Args:
        pairs: Usable clips with the facts of their files.
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
    """Sizes in a readable unit."""
    usual = float(np.median(sizes)) if sizes else 0.0
    unit, factor = next(
        (u, f) for u, f in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if usual >= f or u == "kB"
    )
    return unit, [size / factor for size in sizes]


def picture_sizes(facts: Sequence[FileFacts]) -> list[tuple[str, int]]:
    """``"width × height"`` with the number of files, most common first."""
    files = {one.key: one for one in facts if not one.fault}.values()
    counts = Counter(f"{one.width} × {one.height}" for one in files)
    return counts.most_common()


def clip_seconds(clip: Clip, facts: FileFacts) -> float:
    """Length of a clip in seconds."""
    end_of_file = facts.first_seconds + facts.duration_seconds
    start = max(clip.start_seconds or 0.0, facts.first_seconds)
    end = end_of_file if clip.end_seconds is None else min(clip.end_seconds, end_of_file)
    return max(0.0, end - start)

"""Comparing models on the same clips: differences, intervals, significance and cost."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..clip_spec import ClipSpec
from ..errors import DataError
from .alignment import aligned, readable
from .metrics.bootstrap import middle, resampled_accuracies, units_of
from .metrics.multi_label import MultiLabelMetrics, compute_multi_label_metrics, resampled_maps
from .metrics.significance import holm, mcnemar, resampling_p
from .metrics.single_label import SingleLabelMetrics, compute_single_label_metrics
from .notes import some_of
from .predictions import Run
from .result import TRAINED_ON, plain

COMPARISON_FORMAT = 1
_DRAWS_A_PAIR = 80
"""Resamples of multi-label clips, so that a corrected p can be as low as 0.025."""


@dataclass(frozen=True)
class Speed:
    """Time and memory of one view of a video, decoding excluded."""

    ms: float
    """Milliseconds, median of the rounds in which the models ran in turn."""
    quartiles: tuple[float, float]
    """Milliseconds."""
    threads: int
    rounds: int
    peak_memory_mb: float | None
    """Growth of resident memory by loading and running, in a process of its own."""
    machine: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Speed:
        """From a row of ``vmf benchmark`` of batches of one clip."""
        lower, upper = row["latency_ms_quartiles"]
        return cls(
            ms=row["latency_ms"],
            quartiles=(lower, upper),
            threads=row["threads"],
            rounds=row["rounds"],
            peak_memory_mb=row["peak_memory_mb"],
            machine=row["machine"],
        )


@dataclass(frozen=True)
class ComparedModel:
    """One model of a comparison."""

    run: Run
    metrics: SingleLabelMetrics | MultiLabelMetrics
    speed: Speed | None = None
    """None where it was not measured."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "name": self.run.name,
            "metrics": self.metrics.to_dict(),
            "cost": self.run.cost.to_dict(),
            "speed": None if self.speed is None else dataclasses.asdict(self.speed),
            "method": self.run.method,
        }


@dataclass(frozen=True)
class Pair:
    """Two models; differences are the first minus the second, shares in [-1, 1]."""

    first: str
    second: str
    difference: float
    """Of top-1, or of mean average precision."""
    interval: tuple[float, float] | None
    """95 %, paired bootstrap: the same resamples of the clips (or groups) for both."""
    only_first: int | None
    """Clips that only the first got right; None for multi-label clips."""
    only_second: int | None
    p: float | None
    """McNemar's exact test, or the bootstrap for multi-label clips; None without resamples."""
    p_holm: float | None
    """The same, corrected for the number of pairs."""

    @property
    def differs(self) -> bool:
        """Whether p (Holm) is below 0.05 and 0 is outside the interval.

        McNemar's test alone gives too small a p where the clips of a group are correlated.
        """
        if self.p_holm is None or self.interval is None:
            return False
        return self.p_holm < 0.05 and not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True)
class Comparison:
    """The result of :func:`compare`."""

    models: tuple[ComparedModel, ...]
    """In the order given."""
    pairs: tuple[Pair, ...]
    multi_label: bool
    by_group: bool
    num_units: int
    """Number of resampled units: groups, and clips without one."""
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        value = {
            "format": COMPARISON_FORMAT,
            "task": "multi_label" if self.multi_label else "single_label",
            "models": [one.to_dict() for one in self.models],
            "test": "paired bootstrap" if self.multi_label else "McNemar, exact",
            "correction": f"Holm, {len(self.pairs)} pairs",
            "by_group": self.by_group,
            "num_units": self.num_units,
            "pairs": [dataclasses.asdict(pair) for pair in self.pairs],
            "notes": list(self.notes),
        }
        return plain(value)


def compare(runs: Sequence[Run], speeds: Sequence[Speed | None] | None = None) -> Comparison:
    """Compare models that were measured on the same clips.

    Args:
        runs: At least two; clips may come in any order. Views and clip specs may differ.
        speeds: Time and memory of each, measured in one run; None without.

    Returns:
        Scores and costs, and the difference of every pair with interval and p value.

    Raises:
        DataError: If classes, their order, the clips or their labels differ.
    """
    if len(runs) < 2:
        raise DataError("a comparison takes at least two models")
    runs, unread = readable(runs)
    runs = [runs[0], *(aligned(run, runs[0]) for run in runs[1:])]
    first, groups = runs[0], runs[0].groups
    units = units_of(len(first.keys), groups)
    num_units = int(units.max()) + 1
    if first.multi_label:
        found = [
            compute_multi_label_metrics(run.scores, run.targets, run.class_names, groups)
            for run in runs
        ]
        pairs = _multi_label_pairs(runs, [one.map for one in found], units)
    else:
        labels = first.targets.long().argmax(1)
        found = [
            compute_single_label_metrics(run.scores, labels, run.class_names, groups)
            for run in runs
        ]
        pairs = _pairs(runs, labels.numpy(), units)
    speeds = [None] * len(runs) if speeds is None else speeds
    models = tuple(map(ComparedModel, runs, found, speeds))
    by_group = num_units < len(units)
    notes = tuple(_notes(runs, by_group, num_units, unread))
    return Comparison(models, tuple(pairs), first.multi_label, by_group, num_units, notes)


def _pairs(runs: Sequence[Run], labels: np.ndarray, units: np.ndarray) -> list[Pair]:
    hits = np.stack([run.scores.argmax(1).numpy() == labels for run in runs])
    shares = None
    if units.max() > 0:
        shares, _ = resampled_accuracies(hits, labels, len(runs[0].class_names), units)
    pairs = []
    for i, j in itertools.combinations(range(len(runs)), 2):
        a, b = int((hits[i] & ~hits[j]).sum()), int((hits[j] & ~hits[i]).sum())
        interval = None if shares is None else middle(shares[:, i] - shares[:, j])
        difference = (a - b) / len(labels)
        p = mcnemar(a, b)
        pairs.append(Pair(runs[i].name, runs[j].name, difference, interval, a, b, p, None))
    return _corrected(pairs)


def _multi_label_pairs(runs: Sequence[Run], maps: Sequence[float], units: np.ndarray) -> list[Pair]:
    resampled = None
    if units.max() > 0:
        # With R resamples no p is below 2 / (R + 1), and Holm multiplies it by the pairs.
        fewest = _DRAWS_A_PAIR * len(runs) * (len(runs) - 1) // 2
        resampled = resampled_maps([run.scores for run in runs], runs[0].targets, units, fewest)
        resampled = resampled[~np.isnan(resampled).any(1)]
    pairs = []
    for i, j in itertools.combinations(range(len(runs)), 2):
        interval = p = None
        if resampled is not None:
            apart = resampled[:, i] - resampled[:, j]
            interval, p = middle(apart), resampling_p(apart)
        difference = maps[i] - maps[j]
        pairs.append(Pair(runs[i].name, runs[j].name, difference, interval, None, None, p, None))
    return _corrected(pairs)


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    told = [pair.p for pair in pairs if pair.p is not None]
    if len(told) < len(pairs):
        return list(pairs)
    return [dataclasses.replace(pair, p_holm=p) for pair, p in zip(pairs, holm(told), strict=True)]


def _notes(runs: Sequence[Run], by_group: bool, num_units: int, unread: Sequence[str]) -> list[str]:
    notes = []
    if unread:
        notes.append(
            f"{len(unread)} of {len(unread) + len(runs[0].keys)} clips could not be read with "
            f"every model and are excluded for all: {some_of(unread, ', ')}."
        )
    if len({_seen(run.clip) for run in runs}) > 1:
        notes.append("The models take different clips of the videos; see the table.")
    averages = {run.method["average"] for run in runs if run.cost.total_views > 1}
    if len(averages) > 1:
        notes.append(
            "Views were averaged in different ways (before and after softmax); see the methods."
        )
    if by_group and not runs[0].multi_label:
        notes.append(
            f"The clips come from {num_units} groups (scenes, people). The intervals resample "
            "whole groups; McNemar's test takes clips as independent, so its p is too small where "
            "the clips of a group are correlated. Trust the interval where they disagree."
        )
    frozen = [run.name for run in runs if run.method.get("freeze_frames") is not None]
    if frozen:
        notes.append(f"Measured with frozen frames, so without motion: {', '.join(frozen)}.")
    trained = [run.name for run in runs if any(note.startswith(TRAINED_ON) for note in run.notes)]
    if trained:
        notes.append(f"{TRAINED_ON}: {', '.join(trained)}. They say nothing about new clips.")
    return notes


def _seen(clip: ClipSpec) -> ClipSpec:
    """A clip spec without the values that do not affect which pixels the model sees."""
    alike: dict[str, Any] = {"mean": (0, 0, 0), "std": (1, 1, 1)}
    if clip.sampling == "uniform":
        alike |= {"stride": 1, "stride_fps": 1.0}
    return dataclasses.replace(clip, **alike)

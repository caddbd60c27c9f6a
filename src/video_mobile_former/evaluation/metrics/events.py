"""How well events are found: mean average precision over overlaps, F1, and delay.

Average precision as the ActivityNet challenge defines it
(https://github.com/activitynet/ActivityNet, ``eval_detection.py``): the found events of a class are
taken by falling score; each is right if it overlaps an event of the same file that none before it
has taken, by at least the threshold; precision is made to fall with recall and its area taken. Two
found events of one score are taken in their order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

OVERLAPS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Intersection over union in time from which a found event is right."""
F1_OVERLAP = 0.5


class Span(NamedTuple):
    """An event of a file, true or found."""

    file: str
    label: str
    start_seconds: float
    end_seconds: float
    score: float = 1.0


@dataclass(frozen=True)
class EventClass:
    """What was measured of one class."""

    name: str
    count: int
    """True events."""
    found: int
    """Found events."""
    average_precision: dict[str, float] | None
    """By overlap; None where there is no true event."""
    f1: float | None
    """At an overlap of 0.5; None where there is neither a true event nor a found one."""
    delay_seconds: float | None
    """Median, of the events found; see :class:`EventMetrics`."""

    @property
    def clips(self) -> int:
        """True events, as other metrics call what a class was measured on."""
        return self.count

    @property
    def score(self) -> float | None:
        """By which classes are put in order: the mean average precision over the overlaps."""
        found = self.average_precision
        return None if found is None else float(np.mean(list(found.values())))


@dataclass(frozen=True)
class EventMetrics:
    """What was measured of all classes."""

    num_files: int
    num_events: int
    num_found: int
    map_by_overlap: dict[str, float]
    """Mean over the classes that have true events, by overlap."""
    mean_map: float
    """Mean over the overlaps 0.1 to 0.7."""
    f1: float
    """At an overlap of 0.5, all classes together."""
    precision: float
    recall: float
    delay_seconds: float | None
    """Median of the begin of a found event minus that of the true event it overlaps at 0.5 or more;
    below 0 is early, None where nothing was found."""
    absolute_delay_seconds: float | None
    """Median of its size."""
    per_class: tuple[EventClass, ...]

    @property
    def task(self) -> str:
        """``"events"``."""
        return "events"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)


def compute_event_metrics(
    true: Sequence[Span], found: Sequence[Span], class_names: Sequence[str], num_files: int
) -> EventMetrics:
    """Measure found events against true ones.

    Args:
        true: All events of the files that were looked through.
        found: What was found in them.
        class_names: In the order in which they are reported; others are not counted.
        num_files: Files looked through.
    """
    per_class = []
    delays: list[float] = []
    hits = 0
    kept = set(class_names)
    true = [span for span in true if span.label in kept]
    found = [span for span in found if span.label in kept]
    for name in class_names:
        own = [span for span in true if span.label == name]
        said = [span for span in found if span.label == name]
        right, _, late = _matched(own, said, F1_OVERLAP)
        hits += int(right.sum())
        delays += late
        total = len(own) + len(said)
        per_class.append(
            EventClass(
                name=name,
                count=len(own),
                found=len(said),
                average_precision=(
                    {f"{t:g}": average_precision(own, said, t) for t in OVERLAPS} if own else None
                ),
                f1=2 * int(right.sum()) / total if total else None,
                delay_seconds=float(np.median(late)) if late else None,
            )
        )
    by_overlap = {}
    for t in OVERLAPS:
        values = [c.average_precision[f"{t:g}"] for c in per_class if c.average_precision]
        by_overlap[f"{t:g}"] = float(np.mean(values)) if values else 0.0
    return EventMetrics(
        num_files=num_files,
        num_events=len(true),
        num_found=len(found),
        map_by_overlap=by_overlap,
        mean_map=float(np.mean(list(by_overlap.values()))),
        f1=2 * hits / max(1, len(true) + len(found)),
        precision=hits / max(1, len(found)),
        recall=hits / max(1, len(true)),
        delay_seconds=float(np.median(delays)) if delays else None,
        absolute_delay_seconds=float(np.median(np.abs(delays))) if delays else None,
        per_class=tuple(per_class),
    )


def average_precision(true: Sequence[Span], found: Sequence[Span], overlap: float) -> float:
    """Average precision of one class, see the module.

    Args:
        true: Events of the class, at least one.
        found: Found events of the class.
        overlap: From which one is right, in (0, 1].
    """
    right, _, _ = _matched(true, found, overlap)
    order = _by_score(found)
    hits = np.cumsum(right[order])
    if not len(hits):
        return 0.0
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / len(true)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def unmatched(true: Sequence[Span], found: Sequence[Span]) -> tuple[list[Span], list[Span]]:
    """Events of all classes that have no partner at an overlap of 0.5.

    Returns:
        True ones that were missed, and found ones that are wrong, each in the order given.
    """
    missed: set[int] = set()
    wrong: set[int] = set()
    for name in {span.label for span in (*true, *found)}:
        own = [i for i, span in enumerate(true) if span.label == name]
        said = [i for i, span in enumerate(found) if span.label == name]
        right, taken, _ = _matched([true[i] for i in own], [found[i] for i in said], F1_OVERLAP)
        missed |= {i for k, i in enumerate(own) if k not in taken}
        wrong |= {i for i, hit in zip(said, right.tolist(), strict=True) if not hit}
    return [true[i] for i in sorted(missed)], [found[i] for i in sorted(wrong)]


def _by_score(found: Sequence[Span]) -> np.ndarray:
    return np.argsort([-span.score for span in found], kind="stable").astype(np.int64)


def _matched(
    true: Sequence[Span], found: Sequence[Span], overlap: float
) -> tuple[np.ndarray, set[int], list[float]]:
    """Which found events of one class are right, the true ones they take, and their delays."""
    by_file: dict[str, list[int]] = {}
    for place, span in enumerate(true):
        by_file.setdefault(span.file, []).append(place)
    right = np.zeros(len(found), dtype=np.int64)
    taken: set[int] = set()
    late = []
    for i in _by_score(found).tolist():
        span = found[i]
        rated = [(overlap_of(span, true[k]), -k) for k in by_file.get(span.file, ())]
        for value, negative in sorted(rated, reverse=True):
            if value < overlap:
                break
            if -negative not in taken:
                taken.add(-negative)
                right[i] = 1
                late.append(span.start_seconds - true[-negative].start_seconds)
                break
    return right, taken, late


def overlap_of(one: Span, other: Span) -> float:
    """Intersection over union of two stretches of time."""
    both = min(one.end_seconds, other.end_seconds) - max(one.start_seconds, other.start_seconds)
    if both <= 0:
        return 0.0
    lengths = one.end_seconds - one.start_seconds + other.end_seconds - other.start_seconds
    return both / (lengths - both)


def best_thresholds(
    scored: Mapping[str, Sequence[tuple[float, Sequence[Span]]]], true: Sequence[Span]
) -> dict[str, float]:
    """The threshold of each class that gives the best F1 at an overlap of 0.5.

    Args:
        scored: By class, thresholds and what is found with each.
        true: The true events.

    Returns:
        Thresholds of the classes that have true events; of equal ones the lowest.
    """
    chosen = {}
    for name, tried in scored.items():
        own = [span for span in true if span.label == name]
        if not own:
            continue

        def f1(found: Sequence[Span], own: Sequence[Span] = own) -> float:
            right, _, _ = _matched(own, found, F1_OVERLAP)
            return 2 * int(right.sum()) / (len(own) + len(found))

        best = max(f1(found) for _, found in tried)
        chosen[name] = min(threshold for threshold, found in tried if f1(found) == best)
    return chosen

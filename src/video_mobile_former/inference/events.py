"""From scores over time to events: what begins and ends when.

The scores of each class are smoothed; a class is on from the moment its score reaches the `on`
threshold until it falls below the `off` threshold. Stretches that are divided by short gaps are
merged, events that are too short are dropped, and after an event its class may rest for a while.

A window of video stands for the time around its middle: from halfway to the window before to
halfway to the next. What is found does not depend on how the input is cut, and events of a class
never overlap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np

from ..errors import UserError, known_names
from ..ranges import Checked, Positive, Range, Share

Seconds = Annotated[float, Range(0, 86400)]


@dataclass(frozen=True)
class EventSettings(Checked):
    """How events are made of scores.

    Raises:
        UserError: If a field has another type or is out of range, or ``off`` is above ``on``.
    """

    section: ClassVar[str] = ""

    on: Share = 0.5
    """Score from which a class is on, where it has no threshold of its own."""
    off: Share | None = None
    """Score below which it is off again, at most `on`; default: 0.8 of `on`."""
    smoothing: Literal["exponential", "median", "none"] = "exponential"
    """Of scores: exponential has no delay, median has half of smooth_seconds and finds sharper
    ends."""
    smooth_seconds: Seconds = 0.5
    """Time constant of the exponential mean, or length of the median."""
    min_seconds: Seconds = 0.0
    """Shorter events are dropped."""
    merge_seconds: Seconds = 0.5
    """Gaps within an event, at most."""
    cooldown_seconds: Seconds = 0.0
    """Time after an event in which no other of its class begins."""
    update_seconds: Positive = 1.0
    """Time between two updates of an event that goes on."""
    background: str = "background"
    """Class that is never an event, if the model has it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("off", self.off is None or self.off <= self.on, f"at most on ({self.on:g})")

    @property
    def off_share(self) -> float:
        """Threshold to go off as a share of that to go on."""
        if self.off is None:
            return _OFF_SHARE
        return self.off / self.on if self.on else 1.0


_OFF_SHARE = 0.8


class Thresholds(NamedTuple):
    """Of one class."""

    on: float
    off: float


@dataclass(frozen=True)
class Event:
    """What is known of an event at one moment."""

    type: Literal["start", "update", "end"]
    """``"start"`` comes once it is long enough, ``"end"`` once no gap can be merged any more."""
    class_index: int
    """Position among the scores."""
    start_seconds: float
    end_seconds: float
    """End, or how far it goes by now."""
    score: float
    """Mean of its smoothed scores while it was on, in [0, 1]."""


class _Smoothed(NamedTuple):
    start: float
    time: float
    end: float
    scores: np.ndarray


@dataclass
class _Open:
    """An event that may go on."""

    start: float
    total: float = 0.0
    count: int = 0
    off_at: float | None = None
    """Where the gap began that the event is in."""
    is_told: bool = False
    reported: float = 0.0


class EventDetector:
    """Finds the events of one stream while its scores come in.

    Args:
        num_classes: Scores per window.
        settings: See there.
        class_names: Of the scores; needed for a background class and for thresholds.
        thresholds: Of some classes, by name, in place of those of the settings.

    Raises:
        UserError: If there are thresholds of classes that the model does not have, or a threshold
            is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        settings: EventSettings | None = None,
        *,
        class_names: Sequence[str] | None = None,
        thresholds: Mapping[str, tuple[float, float]] | None = None,
    ):
        self.settings = settings = settings or EventSettings()
        on, off = settings.on, settings.on * settings.off_share
        self._on, self._off = np.full(num_classes, on), np.full(num_classes, off)
        names = tuple(class_names or ())
        if names and len(names) != num_classes:
            raise UserError(f"{len(names)} names of classes for {num_classes} scores")
        for name, (on, off) in check_thresholds(thresholds or {}, names).items():
            self._on[names.index(name)], self._off[names.index(name)] = on, off
        self._is_event = np.array([name != settings.background for name in names] or [True])
        self._smooth = _Smoothing(settings)
        self._open: dict[int, _Open] = {}
        self._ended: dict[int, float] = {}
        self._last: _Smoothed | None = None
        self._last_time: float | None = None

    def update(
        self, start_seconds: float, end_seconds: float, scores: np.ndarray | Sequence[float]
    ) -> list[Event]:
        """Take the scores of the next window.

        Args:
            start_seconds: Begin of the window; that of one frame is its end as well.
            end_seconds: End of the window.
            scores: ``(K,)`` in [0, 1].

        Returns:
            What is known now and was not before, by class; often nothing.

        Raises:
            UserError: If the middle of the window is not later than that of the one before, or
                scores are not finite or of another number.
        """
        time = (start_seconds + end_seconds) / 2
        if self._last_time is not None and time <= self._last_time:
            raise UserError(f"scores at {time:g} s do not come after those at {self._last_time:g}")
        row = np.asarray(scores, dtype=np.float64)
        if row.shape != self._on.shape or not np.isfinite(row).all() or end_seconds < start_seconds:
            raise UserError(f"the scores at {time:g} s must be {len(self._on)} finite numbers")
        self._last_time = time
        found: list[Event] = []
        for smoothed in self._smooth.push(_Smoothed(start_seconds, time, end_seconds, row)):
            found += self._step(smoothed)
        return found

    def finish(self) -> list[Event]:
        """Close what is open at the end of the last window; a new stream may follow."""
        found: list[Event] = []
        for smoothed in self._smooth.finish():
            found += self._step(smoothed)
        last = self._last
        for index in sorted(self._open):
            event = self._open[index]
            end = event.off_at
            if end is None:
                end = max(event.start, last.end if last else event.start)
                found += self._tell(index, event, end)
            found += self._close(index, event, end)
        self._open.clear()
        self._ended.clear()
        self._last = self._last_time = None
        self._smooth = _Smoothing(self.settings)
        return found

    def _step(self, now: _Smoothed) -> list[Event]:
        last, self._last = self._last, now
        begin = now.start if last is None else (last.time + now.time) / 2
        scores = now.scores
        rises = (scores >= self._on) & self._is_event
        found: list[Event] = []
        for index in sorted({*self._open, *np.flatnonzero(rises).tolist()}):
            event, score = self._open.get(index), float(scores[index])
            if event is not None and event.off_at is None and score < self._off[index]:
                event.off_at = begin
                found += self._tell(index, event, begin)
            elif event is not None and event.off_at is not None and rises[index]:
                if begin - event.off_at > self.settings.merge_seconds:
                    found += self._close(index, event, event.off_at)
                    event = self._open[index] = _Open(begin)
                event.off_at = None
            elif event is None:
                event = self._open[index] = _Open(begin)
            if event.off_at is None:
                event.total, event.count = event.total + score, event.count + 1
                found += self._tell(index, event, max(now.time, event.start))
            elif now.time - event.off_at >= self.settings.merge_seconds:
                found += self._close(index, event, event.off_at)
        return found

    def _tell(self, index: int, event: _Open, known_until: float) -> list[Event]:
        """Start or update, where one is due."""
        if event.is_told:
            if (
                known_until - event.reported < self.settings.update_seconds
                or event.off_at is not None
            ):
                return []
            event.reported = known_until
            return [self._event("update", index, event, known_until)]
        ended = self._ended.get(index)
        rests = ended is not None and event.start - ended < self.settings.cooldown_seconds
        # A length of nothing is no event.
        length = known_until - event.start
        if rests or length < self.settings.min_seconds or not length:
            return []
        event.is_told, event.reported = True, known_until
        return [self._event("start", index, event, known_until)]

    def _close(self, index: int, event: _Open, end: float) -> list[Event]:
        self._open.pop(index, None)
        if not event.is_told:
            return []
        self._ended[index] = end
        return [self._event("end", index, event, end)]

    @staticmethod
    def _event(
        kind: Literal["start", "update", "end"], index: int, event: _Open, end: float
    ) -> Event:
        return Event(kind, index, event.start, end, min(1.0, event.total / event.count))


class _Smoothing:
    """Smooths scores, of which those of a median come later."""

    def __init__(self, settings: EventSettings):
        seconds = settings.smooth_seconds
        self._constant = seconds if settings.smoothing == "exponential" else 0.0
        self._half = seconds / 2 if settings.smoothing == "median" else 0.0
        self._mean: _Smoothed | None = None
        self._kept: deque[_Smoothed] = deque()
        self._done = 0
        """How many of those kept were given out."""

    def push(self, new: _Smoothed) -> Iterator[_Smoothed]:
        if self._half:
            self._kept.append(new)
            while new.time - self._kept[self._done].time >= self._half:
                yield self._median()
            return
        if self._constant and self._mean is not None:
            weight = -np.expm1((self._mean.time - new.time) / self._constant)
            mean = self._mean.scores + weight * (new.scores - self._mean.scores)
            new = new._replace(scores=mean)
        self._mean = new
        yield new

    def finish(self) -> Iterator[_Smoothed]:
        while self._done < len(self._kept):
            yield self._median()

    def _median(self) -> _Smoothed:
        """That around the next one, of those that are there."""
        at = self._kept[self._done]
        while at.time - self._kept[0].time > self._half:
            self._kept.popleft()
            self._done -= 1
        near = [one.scores for one in self._kept if one.time - at.time <= self._half]
        self._done += 1
        return at._replace(scores=np.median(near, axis=0))


def check_thresholds(
    thresholds: Mapping[str, tuple[float, float]], class_names: Sequence[str], place: str = ""
) -> dict[str, Thresholds]:
    """Thresholds of classes by name, held against the classes of a model.

    Args:
        thresholds: To go on and to go off.
        class_names: Of the model.
        place: Where they were found, for messages.

    Raises:
        UserError: If a class is unknown, or a threshold is out of range.
    """
    known, found = set(class_names), {}
    begin = f"{place}: " if place else ""
    for name, (on, off) in thresholds.items():
        if name not in known:
            raise UserError(
                f"{begin}threshold of {name!r}, which is no class of the model"
                f"{known_names(name, class_names) if class_names else ''}"
            )
        if not 0 <= off <= on <= 1:
            raise UserError(
                f"{begin}thresholds of {name!r} must be 0 <= off <= on <= 1, not {on!r}, {off!r}"
            )
        found[name] = Thresholds(float(on), float(off))
    return found


def whole_events(events: Iterable[Event]) -> list[Event]:
    """Only the ends, which say all of an event, sorted by start and class."""
    ends = [event for event in events if event.type == "end"]
    return sorted(ends, key=lambda event: (event.start_seconds, event.class_index))

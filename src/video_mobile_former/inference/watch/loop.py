"""Watching: sources, one model, events, and where they go.

Each source is read in a thread of its own; this loop takes what came, scores a batch in which each
source has its turn, and passes on what begins, goes on and ends. Nothing in it waits for a source
or a receiver.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol

import numpy as np

from ...data.video.live import LiveSource
from ...text import encodable
from ..events import Event, EventDetector
from ..stream import Slot, Stream, StreamPredictor, StreamScores
from .overlay import Shown, ShownPerson
from .reader import Arrival, Chooser, SourceReader
from .saved_video import SavedVideo

_KEPT_WINDOWS = 2
"""Length of the queue of a live source, in windows."""
_LEAST_KEPT_SECONDS = 1.0
_CLOSING_SECONDS = 5.0


class Receiver(Protocol):
    """Where events go; see :class:`~.webhook.Webhook` and :class:`~.mqtt.Mqtt`."""

    def send(self, event: dict[str, Any]) -> None:
        """Take an event; it is safe when this returns."""
        ...

    def close(self, seconds: float) -> int:
        """Deliver what waits, for so long; gives how many events still wait."""
        ...


@dataclass
class SourceStatus:
    """How a source is doing, for people and for ``--json``."""

    name: str
    phase: str
    """``opening``, ``playing``, ``waiting`` to be tried again, ``ended`` or ``lost``."""
    reason: str
    label: str
    """Of the class with the highest score; empty before the first."""
    score: float
    events: tuple[str, ...]
    """Labels of the events that go on, and since when."""
    since_seconds: float
    """How long the first of them goes on."""
    rate: float
    """Pictures per second."""
    lag_seconds: float | None
    """From the arrival of the last frame of a window to its scores, and what the decoder was late
    before that; None where the source waits for the model."""
    worst_lag_seconds: float
    passed_over: int
    """Frames the model would have seen, had there been time."""
    windows: int
    """Windows scored."""
    reconnects: int
    silent_seconds: float
    """Since the last picture."""


@dataclass(eq=False)
class _Act:
    """What goes on in one source, or what one person in it does."""

    stream: Stream
    detector: EventDetector
    going_on: dict[int, Event] = field(default_factory=dict)
    ids: dict[int, str] = field(default_factory=dict)
    label: str = ""
    score: float = 0.0
    box: tuple[float, float, float, float] | None = None
    parts: deque[str] = field(default_factory=deque)
    part: str = ""
    is_last: bool = False
    """The person is gone."""

    @property
    def track(self) -> int | None:
        return self.stream.track


@dataclass(eq=False)
class _Feed:
    """One source on its way through the loop."""

    reader: SourceReader
    acts: dict[int | None, _Act] = field(default_factory=dict)
    """By the number of the person; one without a number where nobody is followed."""
    windows: int = 0
    passed_over: int = 0
    """Windows of persons who are gone that were not scored."""
    lag: float | None = None
    worst_lag: float = 0.0
    came: dict[float, float] = field(default_factory=dict)
    clock_offset: float = 0.0
    seconds: float = 0.0
    is_over: bool = True
    """Nothing is to be ended: the source gives nothing, and its events are closed."""
    phase: str = "opening"

    @property
    def source(self) -> LiveSource:
        return self.reader.source

    @property
    def name(self) -> str:
        return self.source.address.name

    @property
    def best(self) -> _Act | None:
        """That with the highest score."""
        acts = [act for act in self.acts.values() if act.label]
        return max(acts, key=lambda act: act.score, default=None)


class Watch:
    """Runs until all sources have ended, or it is told to stop.

    Args:
        predictor: Scores; no stream was added to it.
        sources: Opened or not, with distinct names.
        detector: Makes the detector of one source, or of one person.
        on_event: Is called with each event, JSON data, before the receivers.
        receivers: Where events go.
        saved: Videos that are saved, by the name of the source.
        on_scores: Is called with the scores of each window.
        on_available: Is called with a name, and whether that source gives pictures now, at each
            change of its phase.
        chooser: Makes what picks the frames of one source; None takes that of the predictor. Where
            its slots have numbers of persons, each person has events of its own.
    """

    def __init__(
        self,
        predictor: StreamPredictor,
        sources: Sequence[LiveSource],
        *,
        detector: Callable[[], EventDetector],
        on_event: Callable[[dict[str, Any]], None],
        receivers: Sequence[Receiver] = (),
        saved: dict[str, SavedVideo] | None = None,
        on_scores: Callable[[StreamScores], None] | None = None,
        on_available: Callable[[str, bool], None] | None = None,
        chooser: Callable[[], Chooser] | None = None,
    ):
        self.predictor = predictor
        self._new_detector, self._on_event, self._receivers = detector, on_event, receivers
        self._on_scores, self._on_available = on_scores, on_available
        self._wake = threading.Event()
        keep = max(_LEAST_KEPT_SECONDS, _KEPT_WINDOWS * predictor.window_seconds)
        self._feeds = [
            _Feed(
                reader=SourceReader(
                    source,
                    predictor.chooser() if chooser is None else chooser(),
                    keep_seconds=keep,
                    wake=self._wake.set,
                    saved=(saved or {}).get(source.address.name),
                ),
            )
            for source in sources
        ]
        if chooser is None:
            for feed in self._feeds:
                self._act(feed, None)
        self._by_name = {feed.name: feed for feed in self._feeds}

    def run(
        self,
        stop: threading.Event,
        *,
        tick: Callable[[], None] = lambda: None,
        tick_seconds: float = 0.5,
        duration_seconds: float | None = None,
    ) -> None:
        """Watch.

        Args:
            stop: Ends it when set, as Ctrl-C does.
            tick: Is called every ``tick_seconds``.
            tick_seconds: See there.
            duration_seconds: Ends it after so long.
        """
        begin = time.monotonic()
        next_tick = begin
        try:
            for feed in self._feeds:
                feed.reader.start()
            while not stop.is_set() and not all(self._is_finished(feed) for feed in self._feeds):
                now = time.monotonic()
                if duration_seconds is not None and now - begin >= duration_seconds:
                    break
                if now >= next_tick:
                    tick()
                    next_tick = now + tick_seconds
                if not self._turn():
                    self._wake.wait(0.05)
                    self._wake.clear()
            tick()
        finally:
            self._finish()

    def status(self) -> list[SourceStatus]:
        """How each source is doing, in the order they were given."""
        return [self._status(feed) for feed in self._feeds]

    @property
    def errors(self) -> list[str]:
        """Why sources were given up, and how many files of folders could not be read."""
        found = [feed.reader.error for feed in self._feeds if feed.reader.error]
        for feed in self._feeds:
            count = feed.source.state.failed
            if count:
                files = f"{count} file{'s' * (count > 1)}"
                found.append(f"{feed.source.address.shown}: {files} could not be read")
        return found

    # One turn

    def _turn(self) -> bool:
        """Take what came and score a batch; False if there was nothing to do."""
        busy = False
        for feed in self._feeds:
            for arrival in feed.reader.take():
                self._take(feed, arrival)
                busy = True
        for scores in self.predictor.score():
            self._scored(self._by_name[scores.stream], scores)
            busy = True
        for feed in self._feeds:
            self._look_after(feed)
        return busy

    def _act(self, feed: _Feed, track: int | None) -> _Act:
        act = feed.acts.get(track)
        if act is None:
            is_live = feed.source.is_live
            stream = self.predictor.add(feed.name, newest=is_live, track=track)
            act = feed.acts[track] = _Act(stream, self._new_detector())
        return act

    def _take(self, feed: _Feed, arrival: Arrival) -> None:
        for slot in arrival.slots:
            if slot.is_last and slot.track not in feed.acts:
                continue
            act = self._act(feed, slot.track)
            if slot.is_last:
                act.is_last = True
            else:
                if slot.restart:
                    act.parts.append(arrival.part)
                feed.came[slot.seconds] = arrival.came - arrival.lag_seconds
                act.box = slot.box
            act.stream.push([slot])
        while len(feed.came) > 4096:
            del feed.came[next(iter(feed.came))]
        feed.clock_offset = arrival.arrived - arrival.seconds
        feed.seconds, feed.is_over = arrival.seconds, False
        self._place(feed, arrival.slots)

    def _scored(self, feed: _Feed, scores: StreamScores) -> None:
        act = feed.acts[scores.track]
        if scores.restart:
            self._end_events(feed, act)
            act.part = act.parts.popleft() if act.parts else ""
        best = int(scores.probabilities.argmax())
        act.label, act.score = self.predictor.label(best), float(scores.probabilities[best])
        feed.windows += 1
        if feed.source.is_live and scores.end_seconds in feed.came:
            feed.lag = time.monotonic() - feed.came[scores.end_seconds]
            feed.worst_lag = max(feed.worst_lag, feed.lag)
        if self._on_scores is not None:
            self._on_scores(scores)
        for event in act.detector.update(
            scores.start_seconds, scores.end_seconds, scores.probabilities
        ):
            self._emit(feed, act, event)
        self._show(feed, scores.end_seconds)

    def _look_after(self, feed: _Feed) -> None:
        """Say that a source is there or gone, and end what goes on where it is gone."""
        state = feed.source.state
        # A file is read before all of it was scored.
        phase = "playing" if state.phase == "ended" and not feed.is_over else state.phase
        if phase != feed.phase:
            feed.phase = phase
            if self._on_available is not None:
                self._on_available(feed.name, phase == "playing")
        gone = state.phase in ("waiting", "lost", "ended") or feed.reader.is_done
        if gone and not feed.is_over and not feed.reader.is_waiting:
            for act in feed.acts.values():
                act.stream.end()
                act.is_last = act.track is not None
                if not act.stream.due:
                    self._end_events(feed, act)
            feed.is_over = not any(act.stream.due for act in feed.acts.values())
        for act in list(feed.acts.values()):
            if act.is_last and not act.stream.due:
                self._end_events(feed, act)
                self._forget(feed, act)
        saved = feed.reader.saved
        if saved is not None:
            due = [act.stream.due[0] for act in feed.acts.values() if act.stream.due]
            reader = feed.reader
            known = feed.seconds if reader.is_waiting else reader.seen_seconds
            saved.advance(min((window.slots[0].seconds for window in due), default=known))

    def _forget(self, feed: _Feed, act: _Act) -> None:
        self.predictor.remove(act.stream)
        feed.passed_over += act.stream.passed_over
        del feed.acts[act.track]

    def _is_finished(self, feed: _Feed) -> bool:
        return feed.reader.is_done and feed.is_over

    def _finish(self) -> None:
        """End what goes on, and let everything be delivered and written."""
        for feed in self._feeds:
            feed.reader.source.close()
        problem: BaseException | None = None
        for feed in self._feeds:
            try:
                for act in feed.acts.values():
                    self._end_events(feed, act)
            except BaseException as error:  # noqa: BLE001 - raised below, when all else is closed
                problem = error
        for feed in self._feeds:
            feed.reader.close()
            if feed.reader.saved is not None:
                feed.reader.saved.close()
        for receiver in self._receivers:
            receiver.close(_CLOSING_SECONDS)
        if problem is not None:
            raise problem

    # Events

    def _end_events(self, feed: _Feed, act: _Act) -> None:
        for event in act.detector.finish():
            self._emit(feed, act, event)
        act.detector = self._new_detector()
        act.going_on.clear()
        act.ids.clear()

    def _emit(self, feed: _Feed, act: _Act, event: Event) -> None:
        if event.type == "start":
            act.ids[event.class_index] = uuid.uuid4().hex
        if event.type == "end":
            act.going_on.pop(event.class_index, None)
        else:
            act.going_on[event.class_index] = event
        record = self._record(feed, act, event)
        for receiver in self._receivers:
            receiver.send(record)
        self._on_event(record)

    def _record(self, feed: _Feed, act: _Act, event: Event) -> dict[str, Any]:
        record: dict[str, Any] = {
            "type": event.type,
            "id": uuid.uuid4().hex,
            "event": act.ids.setdefault(event.class_index, uuid.uuid4().hex),
            "source": encodable(feed.name),
            "label": encodable(self.predictor.label(event.class_index)),
            "class": event.class_index,
            "score": round(event.score, 6),
            "start_seconds": round(event.start_seconds, 3),
            "end_seconds": round(event.end_seconds, 3),
        }
        if act.track is not None:
            record["track"] = act.track
        if act.box is not None:
            record["box"] = [round(side, 4) for side in act.box]
        if act.part:
            record["file"] = encodable(act.part)
        if feed.source.is_live:
            for name in ("start", "end"):
                at = feed.clock_offset + record[f"{name}_seconds"]
                moment = datetime.fromtimestamp(at, timezone.utc)
                record[f"{name}_time"] = moment.isoformat(timespec="milliseconds")
        return record

    def _show(self, feed: _Feed, seconds: float) -> None:
        best = feed.best
        if feed.reader.saved is not None and best is not None:
            events = tuple(
                (number, self._named(act, number))
                for act in feed.acts.values()
                for number in act.going_on
            )
            label = best.label if best.track is None else f"{best.label} #{best.track}"
            feed.reader.saved.know(Shown(seconds, label, best.score, events))

    def _place(self, feed: _Feed, slots: Sequence[Slot]) -> None:
        """Say where persons are in the video that is saved."""
        if feed.reader.saved is None:
            return
        for slot in slots:
            if slot.track is not None:
                act = feed.acts.get(slot.track)
                label = act.label if act is not None else ""
                score = act.score if act is not None else 0.0
                person = ShownPerson(slot.seconds, slot.track, slot.box, label, score)
                feed.reader.saved.place(person)

    def _named(self, act: _Act, number: int) -> str:
        label = self.predictor.label(number)
        return label if act.track is None else f"{label} #{act.track}"

    def _status(self, feed: _Feed) -> SourceStatus:
        state, best = feed.source.state, feed.best
        hop = self.predictor.hop_frames
        acts = list(feed.acts.values())
        events = [self._named(act, number) for act in acts for number in act.going_on]
        starts = [event.start_seconds for act in acts for event in act.going_on.values()]
        given_up = feed.passed_over + sum(act.stream.passed_over for act in acts)
        last = state.last_picture
        return SourceStatus(
            name=feed.name,
            phase=state.phase,
            reason=state.reason or feed.reader.error or "",
            label=best.label if best is not None else "",
            score=best.score if best is not None and np.isfinite(best.score) else 0.0,
            events=tuple(events),
            since_seconds=feed.seconds - min(starts) if starts else 0.0,
            rate=feed.reader.rate,
            lag_seconds=feed.lag,
            worst_lag_seconds=feed.worst_lag,
            passed_over=feed.reader.passed_over + given_up * hop + state.passed_over,
            windows=feed.windows,
            reconnects=state.reconnects,
            silent_seconds=0.0 if last is None else time.monotonic() - last,
        )

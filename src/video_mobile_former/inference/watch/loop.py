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
from ..stream import StreamPredictor, StreamScores
from .overlay import Shown
from .reader import Arrival, SourceReader
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
class _Feed:
    """One source on its way through the loop."""

    reader: SourceReader
    stream: Any
    detector: EventDetector
    going_on: dict[int, Event] = field(default_factory=dict)
    ids: dict[int, str] = field(default_factory=dict)
    label: str = ""
    score: float = 0.0
    windows: int = 0
    lag: float | None = None
    worst_lag: float = 0.0
    came: dict[float, float] = field(default_factory=dict)
    clock_offset: float = 0.0
    seconds: float = 0.0
    parts: deque[str] = field(default_factory=deque)
    part: str = ""
    is_over: bool = True
    """Nothing is to be ended: the source gives nothing, and its events are closed."""
    phase: str = "opening"

    @property
    def source(self) -> LiveSource:
        return self.reader.source

    @property
    def name(self) -> str:
        return self.source.address.name


class Watch:
    """Runs until all sources have ended, or it is told to stop.

    Args:
        predictor: Scores; no stream was added to it.
        sources: Opened or not, with distinct names.
        detector: Makes the detector of one source.
        on_event: Is called with each event, JSON data, before the receivers.
        receivers: Where events go.
        saved: Videos that are saved, by the name of the source.
        on_scores: Is called with the scores of each window.
        on_available: Is called with a name, and whether that source gives pictures now, at each
            change of its phase.
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
                    predictor.chooser(),
                    keep_seconds=keep,
                    wake=self._wake.set,
                    saved=(saved or {}).get(source.address.name),
                ),
                stream=predictor.add(source.address.name, newest=source.is_live),
                detector=detector(),
            )
            for source in sources
        ]
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

    def _take(self, feed: _Feed, arrival: Arrival) -> None:
        for slot in arrival.slots:
            if slot.restart:
                feed.parts.append(arrival.part)
            feed.came[slot.seconds] = arrival.came - arrival.lag_seconds
        while len(feed.came) > 4096:
            del feed.came[next(iter(feed.came))]
        feed.stream.push(arrival.slots)
        feed.clock_offset = arrival.arrived - arrival.seconds
        feed.seconds, feed.is_over = arrival.seconds, False

    def _scored(self, feed: _Feed, scores: StreamScores) -> None:
        if scores.restart:
            self._end_events(feed)
            feed.part = feed.parts.popleft() if feed.parts else ""
        best = int(scores.probabilities.argmax())
        feed.label, feed.score = self.predictor.label(best), float(scores.probabilities[best])
        feed.windows += 1
        if feed.source.is_live and scores.end_seconds in feed.came:
            feed.lag = time.monotonic() - feed.came[scores.end_seconds]
            feed.worst_lag = max(feed.worst_lag, feed.lag)
        if self._on_scores is not None:
            self._on_scores(scores)
        for event in feed.detector.update(
            scores.start_seconds, scores.end_seconds, scores.probabilities
        ):
            self._emit(feed, event)
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
            feed.stream.end()
            if not feed.stream.due:
                self._end_events(feed)
                feed.is_over = True
        saved = feed.reader.saved
        if saved is not None:
            due, reader = feed.stream.due, feed.reader
            known = feed.seconds if reader.is_waiting else reader.seen_seconds
            saved.advance(due[0].slots[0].seconds if due else known)

    def _is_finished(self, feed: _Feed) -> bool:
        return feed.reader.is_done and feed.is_over

    def _finish(self) -> None:
        """End what goes on, and let everything be delivered and written."""
        for feed in self._feeds:
            feed.reader.source.close()
        problem: BaseException | None = None
        for feed in self._feeds:
            try:
                self._end_events(feed)
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

    def _end_events(self, feed: _Feed) -> None:
        for event in feed.detector.finish():
            self._emit(feed, event)
        feed.detector = self._new_detector()
        feed.going_on.clear()
        feed.ids.clear()

    def _emit(self, feed: _Feed, event: Event) -> None:
        if event.type == "start":
            feed.ids[event.class_index] = uuid.uuid4().hex
        if event.type == "end":
            feed.going_on.pop(event.class_index, None)
        else:
            feed.going_on[event.class_index] = event
        record = self._record(feed, event)
        for receiver in self._receivers:
            receiver.send(record)
        self._on_event(record)

    def _record(self, feed: _Feed, event: Event) -> dict[str, Any]:
        record: dict[str, Any] = {
            "type": event.type,
            "id": uuid.uuid4().hex,
            "event": feed.ids.setdefault(event.class_index, uuid.uuid4().hex),
            "source": encodable(feed.name),
            "label": encodable(self.predictor.label(event.class_index)),
            "class": event.class_index,
            "score": round(event.score, 6),
            "start_seconds": round(event.start_seconds, 3),
            "end_seconds": round(event.end_seconds, 3),
        }
        if feed.part:
            record["file"] = encodable(feed.part)
        if feed.source.is_live:
            for name in ("start", "end"):
                at = feed.clock_offset + record[f"{name}_seconds"]
                moment = datetime.fromtimestamp(at, timezone.utc)
                record[f"{name}_time"] = moment.isoformat(timespec="milliseconds")
        return record

    def _show(self, feed: _Feed, seconds: float) -> None:
        if feed.reader.saved is not None:
            events = tuple((number, self.predictor.label(number)) for number in feed.going_on)
            feed.reader.saved.know(Shown(seconds, feed.label, feed.score, events))

    def _status(self, feed: _Feed) -> SourceStatus:
        state, stream = feed.source.state, feed.stream
        hop = self.predictor.hop_frames
        events = [self.predictor.label(number) for number in feed.going_on]
        starts = [event.start_seconds for event in feed.going_on.values()]
        last = state.last_picture
        return SourceStatus(
            name=feed.name,
            phase=state.phase,
            reason=state.reason or feed.reader.error or "",
            label=feed.label,
            score=feed.score if np.isfinite(feed.score) else 0.0,
            events=tuple(events),
            since_seconds=feed.seconds - min(starts) if starts else 0.0,
            rate=feed.reader.rate,
            lag_seconds=feed.lag,
            worst_lag_seconds=feed.worst_lag,
            passed_over=feed.reader.passed_over + stream.passed_over * hop + state.passed_over,
            windows=feed.windows,
            reconnects=state.reconnects,
            silent_seconds=0.0 if last is None else time.monotonic() - last,
        )

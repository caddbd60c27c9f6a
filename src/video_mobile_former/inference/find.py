"""Finding what happens when in a video file of any length."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.video.backend import Reading
from ..data.video.from_begin import duration_of, frames_from_begin
from ..errors import CheckpointError, VideoError
from ..text import encodable
from .events import Event, EventDetector, EventSettings, Thresholds, check_thresholds, whole_events
from .persons.follow import Looker, person_chooser, person_scores
from .stream import StreamPredictor, StreamScores

THRESHOLDS = "thresholds"
"""Key in the configuration of a checkpoint: by class, the scores to go on and off."""


@dataclass(frozen=True)
class FoundEvent:
    """An event in a file."""

    start_seconds: float
    """On the clock of the file."""
    end_seconds: float
    label: str
    score: float
    """Mean of its scores, in [0, 1]."""
    track: int | None = None
    """Number of the person in this file, where persons are followed."""

    @property
    def name(self) -> str:
        """The label, and who it is."""
        return self.label if self.track is None else f"{self.label} #{self.track}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; times to milliseconds, scores to six decimals."""
        return {
            "start_seconds": round(self.start_seconds, 3),
            "end_seconds": round(self.end_seconds, 3),
            "label": encodable(self.label),
            "score": round(self.score, 6),
            **({} if self.track is None else {"track": self.track}),
        }


@dataclass(frozen=True)
class FileEvents:
    """What was found in one file, or why it cannot be read."""

    path: str
    """As it was given."""
    duration_seconds: float = 0.0
    events: tuple[FoundEvent, ...] = ()
    """By start."""
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; times to milliseconds, scores to six decimals."""
        if self.error is not None:
            return {"path": encodable(self.path), "error": encodable(self.error)}
        events = [event.to_dict() for event in self.events]
        duration = round(self.duration_seconds, 3)
        return {"path": encodable(self.path), "duration_seconds": duration, "events": events}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], path: str) -> FileEvents:
        """What :meth:`to_dict` gave, of this path.

        Raises:
            KeyError, TypeError, ValueError: If it is of another form.
        """
        if "error" in value:
            return cls(path, error=str(value["error"]))
        events = tuple(
            FoundEvent(
                float(event["start_seconds"]),
                float(event["end_seconds"]),
                str(event["label"]),
                float(event["score"]),
                int(event["track"]) if "track" in event else None,
            )
            for event in value["events"]
        )
        return cls(path, float(value["duration_seconds"]), events)


class EventFinder:
    """Finds the events of files, one after another.

    Args:
        predictor: Scores windows.
        settings: How events are made of scores.
        thresholds: By class, in place of those of the settings.
        reading: How files are decoded.
        persons: Says who is where in a file; each person then has events of its own.

    Raises:
        UserError: If there are thresholds of classes that the model does not have.
    """

    def __init__(
        self,
        predictor: StreamPredictor,
        settings: EventSettings | None = None,
        *,
        thresholds: Mapping[str, tuple[float, float]] | None = None,
        reading: Reading | None = None,
        persons: Callable[[str], Looker] | None = None,
    ):
        self.predictor = predictor
        self.settings = settings or EventSettings()
        self.thresholds = dict(thresholds or {})
        self._reading, self._persons = reading, persons
        self.names = predictor.class_names

    def find(
        self, path: str | Path, *, progress: Callable[[float, float], None] | None = None
    ) -> FileEvents:
        """The events of one file; what cannot be read becomes a result with an error.

        Args:
            path: See :func:`~..data.video.from_begin.frames_from_begin`.
            progress: Is called with the seconds done and those of the whole file.
        """
        try:
            return self._find(path, progress or (lambda done, of: None))
        except VideoError as error:
            return FileEvents(str(path), error=error.reason)

    def _find(self, path: str | Path, progress: Callable[[float, float], None]) -> FileEvents:
        duration = duration_of(path, self._reading)
        collector = self.collector()
        frames = frames_from_begin(path, self._reading)
        if self._persons is None:
            windows = self.predictor.predict(frames)
        else:
            choose = person_chooser(self.predictor, self._persons(str(path)))
            windows = person_scores(self.predictor, frames, choose)
        for scores in windows:
            collector.add(scores)
            progress(scores.end_seconds, duration)
        return FileEvents(str(path), duration, collector.finish())

    def collector(self) -> EventCollector:
        """What makes events of the scores of one file, where another reads and scores it."""
        return EventCollector(self.predictor, self.settings, self.thresholds)


class EventCollector:
    """Makes the events of one file from the scores of its windows.

    Args:
        predictor: Whose scores they are.
        settings: How events are made of scores.
        thresholds: By class, in place of those of the settings.
    """

    def __init__(
        self,
        predictor: StreamPredictor,
        settings: EventSettings,
        thresholds: Mapping[str, tuple[float, float]],
    ):
        self._predictor, self._settings, self._thresholds = predictor, settings, thresholds
        self._detectors: dict[int | None, EventDetector] = {}
        self._events: list[tuple[int | None, Event]] = []

    def add(self, scores: StreamScores) -> None:
        """Take the scores of the next window; those of each person follow one another."""
        track = scores.track
        detector = self._detectors.get(track)
        if detector is None:
            detector = self._detectors[track] = EventDetector(
                len(scores.probabilities),
                self._settings,
                class_names=self._predictor.class_names,
                thresholds=self._thresholds,
            )
        elif scores.restart:
            self._keep(track, detector.finish())
        self._keep(
            track, detector.update(scores.start_seconds, scores.end_seconds, scores.probabilities)
        )

    def finish(self) -> tuple[FoundEvent, ...]:
        """All events, by start; no window follows."""
        for track, detector in self._detectors.items():
            self._keep(track, detector.finish())
        self._events.sort(key=lambda one: (one[1].start_seconds, one[1].class_index, one[0] or 0))
        return tuple(
            FoundEvent(
                event.start_seconds,
                event.end_seconds,
                self._predictor.label(event.class_index),
                event.score,
                track,
            )
            for track, event in self._events
        )

    def _keep(self, track: int | None, events: list[Event]) -> None:
        self._events += [(track, event) for event in whole_events(events)]


def thresholds_of(info: Mapping[str, Any] | None, class_names: Any, place: str) -> Any:
    """The thresholds that a checkpoint brings along.

    Args:
        info: ``model.info``.
        class_names: Of the model.
        place: The checkpoint, for messages.

    Returns:
        By class; empty where it has none.

    Raises:
        UserError: If they are of other classes, or no thresholds.
    """
    stored = ((info or {}).get("events") or {}).get(THRESHOLDS) or {}
    try:
        pairs = {str(name): (float(on), float(off)) for name, (on, off) in stored.items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{place}: its {THRESHOLDS} are no pairs of numbers") from error
    return check_thresholds(pairs, class_names or (), place)


def settings_dict(finder: EventFinder) -> dict[str, Any]:
    """What a result depends on, for a run that goes on later."""
    predictor = finder.predictor
    pairs = {name: list(Thresholds(*pair)) for name, pair in sorted(finder.thresholds.items())}
    return {
        "window_seconds": round(predictor.window_seconds, 6),
        "stride_seconds": round(predictor.stride_seconds, 6),
        **dataclasses.asdict(finder.settings),
        THRESHOLDS: pairs,
    }

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
        events = [
            {
                "start_seconds": round(event.start_seconds, 3),
                "end_seconds": round(event.end_seconds, 3),
                "label": encodable(event.label),
                "score": round(event.score, 6),
            }
            for event in self.events
        ]
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
    ):
        self.predictor = predictor
        self.settings = settings or EventSettings()
        self.thresholds = dict(thresholds or {})
        self._reading = reading
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
        for scores in self.predictor.predict(frames_from_begin(path, self._reading)):
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
        self._detector: EventDetector | None = None
        self._events: list[Event] = []

    def add(self, scores: StreamScores) -> None:
        """Take the scores of the next window."""
        if self._detector is None:
            self._detector = EventDetector(
                len(scores.probabilities),
                self._settings,
                class_names=self._predictor.class_names,
                thresholds=self._thresholds,
            )
        elif scores.restart:
            self._events += whole_events(self._detector.finish())
        self._events += whole_events(
            self._detector.update(scores.start_seconds, scores.end_seconds, scores.probabilities)
        )

    def finish(self) -> tuple[FoundEvent, ...]:
        """All events, by start; no window follows."""
        if self._detector is not None:
            self._events += whole_events(self._detector.finish())
        return tuple(
            FoundEvent(
                event.start_seconds,
                event.end_seconds,
                self._predictor.label(event.class_index),
                event.score,
            )
            for event in whole_events(self._events)
        )


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

"""Following persons while pictures come: each is cut out steadily and is a stream of its own.

What :mod:`.recognise` does with a whole file, this does without knowing what comes later, so that
it serves cameras and recordings of any length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import torch

from ...clip_spec import ClipSpec
from ...data.transforms import EvalTransform
from ...errors import UserError
from ..stream import FrameChooser, Picture, Slot, Stream, StreamPredictor, StreamScores
from .boxes import LEAST_SECONDS, UNTRACKED, Boxes
from .crops import MARGIN, cut_out
from .detector import Detector
from .tracking import LOST_SECONDS, Tracker

MOST_PERSONS = 32
"""Followed at once; others are left out until one of these is gone."""
_SHORT_SIDE = 480
"""Pixels of the pictures in which persons are looked for and from which they are cut."""
_CENTRE_SECONDS = 0.15
_SIDE_SECONDS = 1.0
"""Time constants of the exponential means of centre and side of a square."""
_NO_FRAME = np.empty((0, 0, 3), np.uint8)


class Look(NamedTuple):
    """The N persons in a picture."""

    tracks: np.ndarray
    """``(N,)`` int64 numbers of persons."""
    corners: np.ndarray
    """``(N, 4)`` float64 left, top, right, bottom as shares of width and height."""


class Looker(Protocol):
    """Says who is where in a picture."""

    def look(self, seconds: float, picture: Callable[[], np.ndarray]) -> Look | None:
        """Look at a picture, which is converted only when it is called; None where nobody looks."""
        ...

    def restart(self) -> None:
        """What comes does not follow on what came; nobody is known any more."""
        ...


class DetectingLooker:
    """Finds persons with a detector and follows them.

    Args:
        detector: Run on the pictures that are looked at.
        rate: Pictures per second that are looked at, at most.

    Raises:
        UserError: If the rate is not above 0, or trackforge is not installed.
    """

    def __init__(self, detector: Detector, rate: float = 10.0):
        self._detector, self._rate = detector, rate
        self._tracker = Tracker(rate)
        self._due = -math.inf
        self._before = self._highest = 0

    def look(self, seconds: float, picture: Callable[[], np.ndarray]) -> Look | None:
        """See :class:`Looker`."""
        step = 1 / self._rate
        if seconds < self._due - 0.01 * step:
            return None
        late = seconds - self._due > step
        self._due = seconds + step if late else self._due + step
        pixels = picture()
        found = self._detector(pixels)
        tracks = self._tracker.update(found.corners, found.scores)
        known = tracks != UNTRACKED
        tracks = tracks[known] + self._before
        self._highest = max([self._highest, *tracks.tolist()])
        height, width = pixels.shape[:2]
        return Look(tracks, found.corners[known] / [width, height, width, height])

    def restart(self) -> None:
        """See :class:`Looker`; numbers go on, so that none stands for two persons."""
        self._tracker, self._due = Tracker(self._rate), -math.inf
        self._before = self._highest


class ListedLooker:
    """Persons of a list of boxes of one file.

    Args:
        boxes: Tracked, in the pixels of the video.
        width: Of the video, in pixels.
        height: Of the video.

    Raises:
        UserError: If boxes have no tracks.
    """

    def __init__(self, boxes: Boxes, width: int, height: int):
        if not boxes.tracked:
            raise UserError("boxes without tracks cannot be followed")
        order = np.argsort(boxes.seconds, kind="stable")
        self._seconds, self._tracks = boxes.seconds[order], boxes.tracks[order]
        self._corners = boxes.corners[order] / [width, height, width, height]

    def look(self, seconds: float, picture: Callable[[], np.ndarray]) -> Look | None:
        """See :class:`Looker`."""
        first, last = np.searchsorted(self._seconds, [seconds - 1e-6, seconds + 1e-6])
        return Look(self._tracks[first:last], self._corners[first:last]) if last > first else None

    def restart(self) -> None:
        """See :class:`Looker`."""


@dataclass
class _Followed:
    """One person, as known by now."""

    choose: FrameChooser
    corners: np.ndarray
    """The last box, as shares."""
    square: np.ndarray
    """Smoothed centre x, centre y and side: shares of width, height and the longer of them."""
    seen: float
    """Time of the last box."""
    held: list[Slot] = field(default_factory=list)
    """Since then: they count once the person is seen again, and not if the person is gone."""


class PersonChooser:
    """Picks the frames that a model sees of each person in one stream of pictures.

    It stands in the place of a :class:`~..stream.FrameChooser`; its slots carry the number and the
    box of the person, and the last of a person says that it is the last.

    Args:
        clip: Size of a frame.
        frame_seconds: Time between two frames that the model sees.
        gap_seconds: Longest time for which a frame stands.
        looker: Says who is where.
        margin: Around a person, as a share of the side of the box.

    Raises:
        UserError: If the margin is negative.
    """

    def __init__(
        self,
        clip: ClipSpec,
        frame_seconds: float,
        gap_seconds: float,
        looker: Looker,
        *,
        margin: float = MARGIN,
    ):
        if not margin >= 0:
            raise UserError(f"margin must be at least 0, not {margin}")
        self._clip, self._frame_seconds, self._gap = clip, frame_seconds, gap_seconds
        self._looker, self._margin = looker, margin
        # The model's own transform cuts its square out of the middle of a larger one.
        self._wider = EvalTransform(clip).decode_size / clip.crop_size
        self._persons: dict[int, _Followed] = {}
        self._last: float | None = None

    def __call__(
        self, seconds: float, picture: np.ndarray | Picture, *, restart: bool = False
    ) -> list[Slot]:
        """The slots that are known now, person by person.

        Args:
            seconds: Time stamp; a picture whose time does not rise is passed over.
            picture: ``(H, W, 3)`` uint8 of any size, or what gives it.
            restart: It does not follow on what came before.
        """
        found: list[Slot] = []
        last = self._last
        if last is not None and seconds <= last and not restart:
            return []
        if last is not None and (restart or seconds - last > self._gap):
            self._looker.restart()
            found += [self._gone(track) for track in list(self._persons)]
        self._last = seconds
        pixels = _Once(picture)
        looked = self._looker.look(seconds, pixels)
        if looked is not None:
            self._see(seconds, looked, pixels)
        for track, person in list(self._persons.items()):
            if seconds - person.seen > LOST_SECONDS:
                found.append(self._gone(track))
                continue
            crop = _Crop(pixels, person.square, (1 + 2 * self._margin) * self._wider)
            x1, y1, x2, y2 = person.corners.tolist()
            person.held += [
                slot._replace(track=track, box=(x1, y1, x2, y2))
                for slot in person.choose(seconds, crop)
            ]
            if person.seen == seconds:
                found += person.held
                person.held = []
        return found

    def _see(self, seconds: float, looked: Look, pixels: _Once) -> None:
        height, width = pixels().shape[:2]
        longer = max(height, width)
        for track, corners in zip(looked.tracks.tolist(), looked.corners, strict=True):
            size = (corners[2:] - corners[:2]) * [width, height]
            square = np.array([*(corners[:2] + corners[2:]) / 2, size.max() / longer])
            person = self._persons.get(track)
            if person is None:
                if len(self._persons) < MOST_PERSONS:
                    choose = FrameChooser(self._clip, self._frame_seconds, self._gap)
                    self._persons[track] = _Followed(choose, corners, square, seconds)
                continue
            constants = np.array([_CENTRE_SECONDS, _CENTRE_SECONDS, _SIDE_SECONDS])
            weights = -np.expm1((person.seen - seconds) / constants)
            person.square = person.square + weights * (square - person.square)
            person.corners, person.seen = corners, seconds

    def _gone(self, track: int) -> Slot:
        person = self._persons.pop(track)
        return Slot(person.seen, _NO_FRAME, restart=False, track=track, is_last=True)


class _Once:
    """A picture that is converted at most once."""

    def __init__(self, picture: np.ndarray | Picture):
        self._picture = picture
        self._pixels: np.ndarray | None = None

    def __call__(self) -> np.ndarray:
        """``(H, W, 3)`` uint8."""
        if self._pixels is None:
            given = self._picture
            self._pixels = given.rgb(_SHORT_SIDE) if isinstance(given, Picture) else given
        return self._pixels


class _Crop:
    """The square around a person in a picture; a :class:`~..stream.Picture`."""

    def __init__(self, pixels: _Once, square: np.ndarray, wider: float):
        self._pixels, self._square, self._wider = pixels, square, wider

    def rgb(self, short_side: int) -> np.ndarray:
        """``(S, S, 3)`` uint8."""
        pixels = self._pixels()
        height, width = pixels.shape[:2]
        x, y, side = self._square
        square = np.array([[x * width, y * height, side * max(height, width) * self._wider]])
        # A copy: a decoder's frame may not be written to, of which torch warns.
        frame = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
        return cut_out(frame, square, short_side)[0].permute(1, 2, 0).numpy()


def person_chooser(predictor: StreamPredictor, looker: Looker) -> PersonChooser:
    """What picks the frames of each person in one stream for a predictor."""
    times = predictor.frame_seconds, predictor.gap_seconds
    return PersonChooser(predictor.clip, *times, looker)


def person_scores(
    predictor: StreamPredictor,
    frames: Iterable[tuple[float, np.ndarray | Picture]],
    choose: PersonChooser,
    *,
    name: str = "",
) -> Iterator[StreamScores]:
    """Score all windows of each person in one stream, such as a file, in memory that does not grow.

    Args:
        predictor: The model.
        frames: Rising times in seconds and pictures.
        choose: Of this stream.
        name: In the scores.

    Yields:
        Windows, those of one person in order. A person who is there for less than a window is
        padded with the last frame; one who is there for less than 0.4 s is left out.
    """
    streams: dict[int | None, Stream] = {}
    early: dict[int | None, list[Slot]] = {}
    try:
        for seconds, picture in frames:
            for slot in choose(seconds, picture):
                stream = streams.get(slot.track)
                if stream is None and slot.is_last:
                    early.pop(slot.track, None)
                elif stream is None:
                    slots = early.setdefault(slot.track, [])
                    slots.append(slot)
                    if slot.seconds - slots[0].seconds >= LEAST_SECONDS:
                        stream = streams[slot.track] = predictor.add(name, track=slot.track)
                        stream.push(early.pop(slot.track))
                else:
                    stream.push([slot])
                    if slot.is_last:
                        while stream.due:
                            yield from predictor.score()
                        predictor.remove(streams.pop(slot.track))
            while sum(len(stream.due) for stream in streams.values()) >= predictor.batch_size:
                yield from predictor.score()
        for stream in streams.values():
            stream.end()
        while any(stream.due for stream in streams.values()):
            yield from predictor.score()
    finally:
        for stream in streams.values():
            predictor.remove(stream)

"""A video of what was watched, with what the model said of it, complete however the watch ends."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error
import numpy as np

from ...errors import UserError
from ...files import atomic_path
from ...text import printable
from .overlay import Overlay, Shown, ShownPerson, load_font

SHORT_SIDES = (240, 480)
"""Pixels of the short side of saved pictures, at least and at most."""
_TICKS = 1000
_BOX_SECONDS = 0.5
"""For how long a box stays where nothing newer is known of a person."""
_MOST_WAITING = 90
"""Pictures that wait to be drawn, at most: 80 MB of 480 lines in 16:9."""


class _Picture(NamedTuple):
    seconds: float
    pixels: np.ndarray
    clock: str


class SavedVideo:
    """Draws and encodes in a thread of its own, so that the model does not wait for it.

    H.264, yuv420p, MP4 with its index in front; times are those of the pictures. It is written
    under a temporary name and gets its own when it is closed.

    Args:
        path: The file.
        name: Of the source.
        rate: Pictures per second, at most.
        waits: A full queue makes the source wait; otherwise its oldest pictures are left out.
        threshold: Score from which an event begins.
        font: File of a font; None takes Pillow's own.
        report: Is told one line when it cannot be written.

    Raises:
        UserError: If Pillow is missing or the font cannot be read.
    """

    def __init__(
        self,
        path: str | Path,
        name: str,
        *,
        rate: float,
        waits: bool,
        threshold: float | None,
        font: str | Path | None,
        report: Callable[[str], None],
    ):
        load_font(font, 12)
        self.path = Path(path)
        self.left_out = 0
        """Pictures for which there was no time."""
        self.written = 0
        self._name, self._threshold, self._font = name, threshold, font
        self._step, self._waits, self._report = 1 / rate, waits, report
        self._due = float("-inf")
        self._pictures: deque[_Picture] = deque()
        self._known: deque[Shown] = deque()
        self._placed: deque[ShownPerson] = deque()
        self._until = float("-inf")
        self._closing = self._failed = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"save {name}", daemon=True)
        self._thread.start()

    def wants(self, seconds: float) -> bool:
        """Whether a picture of this time is to be saved; asked once for each."""
        if self._failed or seconds < self._due - 0.01 * self._step:
            return False
        is_late = seconds - self._due > self._step
        self._due = seconds + self._step if is_late else self._due + self._step
        return True

    def add(self, seconds: float, pixels: np.ndarray, clock: str) -> None:
        """Take a picture; by the thread that reads the source.

        Args:
            seconds: Its time.
            pixels: ``(H, W, 3)`` uint8.
            clock: The time as it is written in the picture.
        """
        with self._change:
            if self._waits:
                self._change.wait_for(
                    lambda: len(self._pictures) < _MOST_WAITING or self._closing or self._failed
                )
            elif len(self._pictures) >= _MOST_WAITING:
                self._pictures.popleft()
                self.left_out += 1
            self._pictures.append(_Picture(seconds, pixels, clock))
            self._change.notify_all()

    def know(self, shown: Shown) -> None:
        """What is said from an instant on."""
        with self._change:
            self._known.append(shown)

    def place(self, person: ShownPerson) -> None:
        """Where a person is at an instant, in the order of time."""
        with self._change:
            self._placed.append(person)

    def advance(self, seconds: float) -> None:
        """All is known that will be said of pictures up to this time: they can be drawn."""
        with self._change:
            self._until = seconds
            self._change.notify_all()

    def close(self) -> None:
        """Write what waits, and put the file in its place."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._write()
        except (UserError, OSError, av.error.FFmpegError) as error:
            reason = getattr(error, "strerror", None) or error
            self._report(f"{printable(str(self.path))}: no longer saved: {reason}")
        finally:
            with self._change:
                self._failed = True
                self._pictures.clear()
                self._change.notify_all()

    def _write(self) -> None:
        first = self._next()
        if first is None:
            return
        with atomic_path(self.path) as temporary, contextlib.ExitStack() as stack:
            container = stack.enter_context(
                av.open(str(temporary), "w", container_options={"movflags": "+faststart"})
            )
            picture: _Picture | None = first
            height, width = (side // 2 * 2 for side in first.pixels.shape[:2])
            overlay = Overlay(width, self._name, self._threshold, self._font)
            stream = self._stream(container, width, height + overlay.height)
            last = -1
            persons: dict[int, ShownPerson] = {}
            while picture is not None:
                for shown in self._known_until(picture.seconds):
                    overlay.add(shown)
                strip = overlay.strip(picture.seconds, picture.clock)
                self._place_until(picture.seconds, persons)
                pixels = fitted(picture.pixels, width, height)
                if persons:
                    pixels = overlay.framed(pixels, persons.values())
                pixels = np.concatenate([pixels, strip])
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                last = ticks = max(round(picture.seconds * _TICKS), last + 1)
                frame.pts, frame.time_base = ticks, Fraction(1, _TICKS)
                container.mux(stream.encode(frame))
                self.written += 1
                picture = self._next()
            container.mux(stream.encode(None))

    def _stream(self, container: Any, width: int, height: int) -> Any:
        stream = container.add_stream("libx264", rate=max(1, round(1 / self._step)))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        stream.options = {"preset": "veryfast", "crf": "23", "threads": "1"}
        return stream

    def _next(self) -> _Picture | None:
        """The next picture of which all is known; None at the end."""
        with self._change:
            while True:
                if self._pictures and (self._closing or self._pictures[0].seconds <= self._until):
                    break
                if self._closing:
                    return None
                self._change.wait()
            self._change.notify_all()
            return self._pictures.popleft()

    def _place_until(self, seconds: float, persons: dict[int, ShownPerson]) -> None:
        """Bring to an instant where everybody is."""
        with self._change:
            while self._placed and self._placed[0].seconds <= seconds + 0.5 * self._step:
                person = self._placed.popleft()
                persons[person.track] = person
        for track, person in list(persons.items()):
            if seconds - person.seconds > _BOX_SECONDS or seconds < person.seconds - _BOX_SECONDS:
                del persons[track]

    def _known_until(self, seconds: float) -> list[Shown]:
        with self._change:
            found = []
            while self._known and self._known[0].seconds <= seconds:
                found.append(self._known.popleft())
            return found


def fitted(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture in the middle of one of another size, scaled, with its proportions.

    Args:
        pixels: ``(H, W, 3)`` uint8.
        width: Of the result.
        height: Of the result.
    """
    h, w = pixels.shape[:2]
    if (w - width, h - height) in ((0, 0), (1, 0), (0, 1), (1, 1)):
        return pixels[:height, :width]
    scale = min(width / w, height / h)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    small = frame.reformat(width=size[0], height=size[1], format="rgb24").to_ndarray()
    out = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    out[top : top + size[1], left : left + size[0]] = small
    return out

"""A strip under the pictures of a video: label, score and what happened in the last minute."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...optional import require
from ...text import printable

TIMELINE_SECONDS = 60.0
_BACK, _TEXT, _FAINT, _TRACK = (24, 26, 30), (240, 240, 240), (150, 154, 162), (52, 56, 64)
_ON = (64, 190, 130)
_OFF = (90, 132, 196)
_COLOURS = (
    (64, 190, 130),
    (240, 160, 60),
    (200, 110, 220),
    (235, 100, 95),
    (80, 170, 230),
    (220, 205, 80),
    (150, 200, 70),
    (230, 130, 170),
)
"""Of events, by their class."""


@dataclass(frozen=True)
class Shown:
    """What is known of a stream from one instant on."""

    seconds: float
    label: str
    """Of the class with the highest score."""
    score: float
    """0 to 1."""
    events: tuple[tuple[int, str], ...] = ()
    """Class and label of the events that go on."""


@dataclass(frozen=True)
class ShownPerson:
    """Where a person is, and what is known of what they do."""

    seconds: float
    track: int
    box: tuple[float, float, float, float] | None
    """Left, top, right, bottom as shares of the picture."""
    label: str
    """Empty before the first scores."""
    score: float


def load_font(path: str | Path | None, size: int) -> Any:
    """A font of so many pixels; None takes Pillow's own, which knows Latin letters.

    Raises:
        UserError: If Pillow is missing or the file is no font.
    """
    fonts = require("PIL.ImageFont", extra="live", purpose="--save_video")
    try:
        return fonts.truetype(str(path), size) if path else fonts.load_default(size)
    except OSError as error:
        raise UserError(f"--font {printable(str(path))}: no font that can be read") from error


class Overlay:
    """Draws the strip of one source.

    Args:
        width: Pixels, even.
        name: Of the source.
        threshold: Score from which an event begins, marked on the bar; None marks none.
        font: File of a font; None takes Pillow's own.
    """

    def __init__(
        self, width: int, name: str, threshold: float | None = None, font: str | Path | None = None
    ):
        self._image = require("PIL.Image", extra="live", purpose="--save_video")
        self._draw = require("PIL.ImageDraw", extra="live", purpose="--save_video")
        scale = min(2.5, max(0.75, width / 640))
        self.width, self.height = width, round(42 * scale) * 2
        self._name, self._threshold, self._scale = printable(name), threshold, scale
        self._large = load_font(font, round(24 * scale))
        self._small = load_font(font, round(13 * scale))
        self._past: deque[Shown] = deque()

    def add(self, shown: Shown) -> None:
        """Know what is said from an instant on."""
        if self._past and shown.seconds < self._past[-1].seconds:
            self._past.clear()
        self._past.append(shown)
        while len(self._past) > 1 and self._past[1].seconds < shown.seconds - TIMELINE_SECONDS:
            self._past.popleft()

    def strip(self, seconds: float, clock: str) -> np.ndarray:
        """The strip at an instant.

        Args:
            seconds: Time of the picture above it.
            clock: The time as it is written.

        Returns:
            ``(height, width, 3)`` uint8.
        """
        image = self._image.new("RGB", (self.width, self.height), _BACK)
        draw = self._draw.Draw(image)
        known = [shown for shown in self._past if shown.seconds <= seconds]
        now = known[-1] if known else None
        margin, line = round(10 * self._scale), self.height // 3
        half = self.width // 2
        self._text(draw, (margin, line // 2), self._name, self._small, half, _FAINT)
        draw.text(
            (self.width - margin, line // 2), clock, font=self._small, fill=_FAINT, anchor="rm"
        )
        label = printable(now.label) if now else "…"
        is_on = bool(now and now.events)
        self._text(
            draw, (margin, line + line // 2 - 2), label, self._large, half - 2 * margin, _TEXT
        )
        bar = (half, line + line // 4, self.width - margin - round(52 * self._scale))
        self._bar(draw, bar, line // 2, now.score if now else 0.0, is_on)
        value = f"{now.score:.2f}" if now else ""
        draw.text(
            (self.width - margin, line + line // 2 - 1),
            value,
            font=self._small,
            fill=_TEXT,
            anchor="rm",
        )
        box = (margin, 2 * line + line // 6, self.width - margin, self.height - line // 4)
        self._timeline(draw, box, seconds, known)
        return np.asarray(image)

    def framed(self, pixels: np.ndarray, persons: Iterable[ShownPerson]) -> np.ndarray:
        """A picture with a box around each person, and number, label and score at it.

        Args:
            pixels: ``(H, W, 3)`` uint8; not changed.
            persons: Those in it.
        """
        image = self._image.fromarray(pixels)
        draw = self._draw.Draw(image)
        height, width = pixels.shape[:2]
        line = max(2, round(2 * self._scale))
        for person in persons:
            if person.box is None:
                continue
            left, top, right, bottom = (
                round(min(1.0, max(0.0, share)) * (side - 1))
                for share, side in zip(person.box, (width, height, width, height), strict=True)
            )
            colour = _COLOURS[person.track % len(_COLOURS)]
            draw.rectangle(
                (left, top, max(left, right), max(top, bottom)), outline=colour, width=line
            )
            text = f"#{person.track}"
            if person.label:
                text += f" {printable(person.label)} {person.score:.2f}"
            high = round(16 * self._scale)
            wide = round(draw.textlength(text, font=self._small)) + 2 * line + 4
            # Above the box where there is room, else inside it.
            top = top - high if top >= high else top
            left = max(0, min(left, width - wide))
            draw.rectangle((left, top, left + wide, top + high), fill=colour)
            at = (left + line + 2, top + high // 2)
            draw.text(at, text, font=self._small, fill=_BACK, anchor="lm")
        return np.asarray(image)

    def _text(
        self, draw: Any, at: tuple[int, int], text: str, font: Any, room: int, fill: Any
    ) -> None:
        while text and draw.textlength(text, font=font) > room:
            text = text[:-2].rstrip("…") + "…" if len(text) > 2 else ""
        draw.text(at, text, font=font, fill=fill, anchor="lm")

    def _bar(
        self, draw: Any, at: tuple[int, int, int], height: int, score: float, is_on: bool
    ) -> None:
        left, top, right = at
        draw.rectangle((left, top, right, top + height), fill=_TRACK)
        score = score if math.isfinite(score) else 0.0
        end = left + round((right - left) * min(1.0, max(0.0, score)))
        if end > left:
            draw.rectangle((left, top, end, top + height), fill=_ON if is_on else _OFF)
        if self._threshold is not None:
            x = left + round((right - left) * self._threshold)
            draw.line((x, top - 3, x, top + height + 3), fill=_TEXT, width=2)

    def _timeline(
        self, draw: Any, box: tuple[int, int, int, int], seconds: float, known: list[Shown]
    ) -> None:
        left, top, right, bottom = box
        draw.rectangle(box, fill=_TRACK)
        begin = seconds - TIMELINE_SECONDS

        def place(at: float) -> int:
            return left + round((right - left) * max(0.0, at - begin) / TIMELINE_SECONDS)

        ends = [*(shown.seconds for shown in known[1:]), *([seconds] if known else [])]
        for shown, end in zip(known, ends, strict=True):
            if end < begin:
                continue
            first, last = place(shown.seconds), place(end)
            for number, _ in shown.events[:1]:
                colour = _COLOURS[number % len(_COLOURS)]
                draw.rectangle((first, top, last, bottom), fill=colour)
            score = shown.score if math.isfinite(shown.score) else 0.0
            level = bottom - round((bottom - top) * min(1.0, max(0.0, score)))
            draw.line((first, level, last, level), fill=_TEXT, width=1)

"""How live sources are opened, paced and opened again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from ....ranges import Checked, FrameRate, NotNegative, Range

Seconds = Annotated[float, Range(0.1, 3600)]
_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")


@dataclass(frozen=True)
class LiveSettings(Checked):
    """The same for all sources of a command."""

    open_seconds: Seconds = 10.0
    """Longest wait for a source to open."""
    read_seconds: Seconds = 10.0
    """Longest wait for the next picture; then the source is opened again."""
    retries: Annotated[int, Range(0, 1_000_000)] | None = None
    """Attempts in a row to open a source again before it is given up; null: no end."""
    start_anyway: bool = False
    """Sources that cannot be opened at the start are tried again like those that break off."""
    realtime: bool = False
    """Files play at their own speed, and what the model has no time for is passed over."""
    transport: Literal["tcp", "udp"] = "tcp"
    """What RTSP carries its pictures over."""
    capture_size: str | None = None
    """Width and height that a camera or the screen is asked for, such as 1280x720."""
    capture_rate: FrameRate | None = None
    """Frames per second that a camera or the screen is asked for; a screen gives 15 by default."""
    raw_size: str | None = None
    """Width and height of a pipe of bare pixels, such as 640x480; without it, a pipe is a file."""
    raw_format: str = "rgb24"
    """Pixels of such a pipe, as FFmpeg names them."""
    raw_rate: FrameRate = 30.0
    """Frames per second of such a pipe, where it is not live."""
    existing: bool = False
    """A watched folder gives the files that are already there as well."""
    settle_seconds: Annotated[NotNegative, Range(0, 3600)] = 2.0
    """A file in a watched folder is complete when it has not grown for so long."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("capture_size", "raw_size"):
            value = getattr(self, name)
            self.check(
                name,
                value is None or _SIZE.fullmatch(value),
                "width and height such as 640x480",
            )
        self.check("raw_format", re.fullmatch(r"[a-z0-9_]{1,32}", self.raw_format), "a name")

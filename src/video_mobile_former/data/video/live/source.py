"""A source that goes on: pictures with times, over outages, and never a message with a password."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from av.video.frame import VideoFrame

from ....errors import UserError
from ..media import pixel_shape
from ..picture import Converter
from .address import Address, read_addresses
from .clock import FileClock, LiveClock
from .connection import Connection, Skipping
from .folder import new_files
from .settings import LiveSettings

Phase = Literal["opening", "playing", "waiting", "ended", "lost"]

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0
_BEHIND: tuple[tuple[float, Skipping], ...] = ((2.0, "NONKEY"), (1.0, "NONREF"))
"""Lag in seconds from which a decoder leaves pictures out."""
_CAUGHT_UP_SECONDS = 0.3
_END_SECONDS = 1.0
"""A connection that ends so near to the length it announced has ended; others broke off."""


class SourceLostError(UserError):
    """A source is given up after as many attempts as were allowed."""


class Sizes:
    """Converters of the pictures of one source, by their sizes."""

    def __init__(self, pixel_shape: float):
        self._pixel_shape = pixel_shape
        self._converters: dict[tuple[object, ...], Converter] = {}

    def rgb(self, frame: VideoFrame, short_side: int | None) -> np.ndarray:
        """``(H, W, 3)`` uint8 of a frame, upright."""
        key = (short_side, frame.width, frame.height, frame.format.name)
        convert = self._converters.get(key)
        if convert is None:
            if len(self._converters) > 8:
                self._converters.clear()
            convert = self._converters[key] = Converter(short_side)
            convert.pixel_shape = self._pixel_shape
        return convert(frame)


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """One picture of a source."""

    seconds: float
    """Since the first picture of the source, or of its file."""
    arrived: float
    """Seconds of :func:`time.time` when it was decoded."""
    restart: bool
    """It does not follow on the one before: the first one, or after an outage."""
    part: str = ""
    """Of a watched folder, the name of the file."""
    lag_seconds: float = 0.0
    """How late it came from the decoder, see :meth:`.LiveClock.lag`."""
    _frame: VideoFrame = field(repr=False, kw_only=True)
    _sizes: Sizes = field(repr=False, kw_only=True)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels as they are stored."""
        return self._frame.width, self._frame.height

    def rgb(self, short_side: int | None = None) -> np.ndarray:
        """``(H, W, 3)`` uint8, upright; to be called in the thread that reads the source.

        Args:
            short_side: In pixels; None leaves the size.
        """
        return np.ascontiguousarray(self._sizes.rgb(self._frame, short_side))


@dataclass
class SourceState:
    """How a source is doing; written by the thread that reads it."""

    phase: Phase = "opening"
    reason: str = ""
    """Why it waits or was lost: one line without credentials."""
    frames: int = 0
    """Pictures that were decoded."""
    passed_over: int = 0
    """Pictures that were not, as the decoder was late."""
    reconnects: int = 0
    """Times it was opened again."""
    failed: int = 0
    """Files of a watched folder that could not be read."""
    last_picture: float | None = None
    """Seconds of :func:`time.monotonic`."""


class LiveSource:
    """Pictures of one source as they come.

    A source that breaks off or falls silent is opened again after pauses of 1, 2, 4 … 60 seconds,
    for as long as it takes unless ``settings.retries`` says otherwise. Only files, and servers that
    announced a length, have an end.

    Args:
        address: As a user types it, see :func:`.read_addresses`, or what that gave.
        settings: See there; None takes the defaults.
        report: Is told one line, without credentials, when the source breaks off or is back.
    """

    def __init__(
        self,
        address: Address | str,
        settings: LiveSettings | None = None,
        *,
        report: Callable[[str], None] | None = None,
    ):
        self.address = read_addresses([address])[0] if isinstance(address, str) else address
        self.settings = settings or LiveSettings()
        self.state = SourceState()
        self.stop = threading.Event()
        self._report = report or (lambda text: None)
        self._connection: Connection | None = None
        self._clock = LiveClock(time.monotonic)

    @property
    def is_live(self) -> bool:
        """Whether it goes on by itself, however long the model takes."""
        return self.address.is_live or (self.settings.realtime and self.address.kind == "file")

    def open(self) -> None:
        """Connect, so that a wrong address is known before anything else begins.

        Raises:
            UserError: If it cannot be opened; one line, without credentials.
        """
        if self.address.kind != "folder" and self._connection is None:
            self._connection = Connection(self.address, self.settings, self.stop)

    def close(self) -> None:
        """End the source; a read that waits in another thread ends as well."""
        self.stop.set()
        connection = self._connection
        if connection is not None:
            connection.interrupt()

    def frames(self, short_side: int | None = None) -> Iterator[tuple[float, np.ndarray]]:
        """Times in seconds and pictures ``(H, W, 3)`` uint8; see :meth:`pictures`."""
        for picture in self.pictures():
            yield picture.seconds, picture.rgb(short_side)

    def pictures(self) -> Iterator[LiveFrame]:
        """Pictures one by one, converted when they are asked for pixels.

        Raises:
            UserError: If the first connection cannot be made.
            SourceLostError: If it is given up.
        """
        if self.address.kind == "folder":
            yield from self._of_folder()
        elif self.address.kind == "file":
            self.open()
            assert self._connection is not None
            yield from self._of_file(self._connection)
        else:
            yield from self._of_connections()
        self.state.phase = "ended"

    # Files

    def _of_file(self, connection: Connection, part: str = "") -> Iterator[LiveFrame]:
        clock = FileClock(connection.origin, connection.frame_seconds)
        begin: float | None = None
        self.state.phase = "playing"
        sizes = Sizes(pixel_shape(connection.stream))
        try:
            for frame, stamp in connection.pictures():
                read, lag = clock.read(stamp), 0.0
                if read is None:
                    continue
                if connection.ahead_seconds is not None:
                    begin = time.monotonic() - read.seconds if begin is None else begin
                    if self.stop.wait(max(0.0, begin + read.seconds - time.monotonic())):
                        return
                    lag = max(0.0, time.monotonic() - begin - read.seconds)
                yield self._noted(frame, sizes, read.seconds, read.restart, lag, part)
        finally:
            connection.close()

    def _of_folder(self) -> Iterator[LiveFrame]:
        settings = self.settings
        files = new_files(
            Path(self.address.target),
            self.stop,
            existing=settings.existing,
            settle_seconds=settings.settle_seconds,
        )
        self.state.phase = "playing"
        for path in files:
            file = dataclasses.replace(self.address, kind="file", target=str(path))
            try:
                self._connection = Connection(file, settings, self.stop)
                yield from self._of_file(self._connection, path.name)
            except UserError as error:
                self.state.failed += 1
                self._report(str(error))

    # What goes on by itself

    def _of_connections(self) -> Iterator[LiveFrame]:
        failures, first = 0, True
        while not self.stop.is_set():
            frames, reason = self.state.frames, "the connection was closed"
            try:
                if self._connection is None:
                    self._connection = Connection(self.address, self.settings, self.stop)
                ended = yield from self._of_connection(self._connection)
                if ended:
                    return
            except UserError as error:
                if first and self._connection is None and not self.settings.start_anyway:
                    raise
                reason = str(error).removeprefix(f"{self.address.shown}: ")
            finally:
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
            first = False
            failures = 0 if self.state.frames > frames else failures + 1
            if self.stop.is_set() or not self._wait(failures, reason):
                return

    def _of_connection(self, connection: Connection) -> Generator[LiveFrame, None, bool]:
        """Pictures until it breaks off; gives whether it has come to its end."""
        clock = self._clock
        sizes = Sizes(pixel_shape(connection.stream))
        clock.connected(use_stamps=connection.use_stamps)
        ahead, seen, begin, last = connection.ahead_seconds, 0, 0.0, 0.0
        for frame, stamp in connection.pictures():
            if not seen:
                begin = stamp or 0.0
                self._is_back()
            seen, last = seen + 1, (stamp or last)
            read = clock.read(stamp)
            if read is None:
                continue
            if ahead is not None and self.stop.wait(max(0.0, clock.due(read.seconds) - ahead)):
                return True
            lag = clock.lag(read.seconds) if ahead is None else max(0.0, -clock.due(read.seconds))
            self._keep_up(connection, lag)
            yield self._noted(frame, sizes, read.seconds, read.restart, lag)
        if self.address.kind == "pipe":
            return True
        length = connection.duration
        return bool(seen and length and last - begin >= length - _END_SECONDS)

    def _keep_up(self, connection: Connection, lag: float) -> None:
        """Let the decoder leave pictures out while it is late."""
        self.state.passed_over += connection.passed_over
        connection.passed_over = 0
        if lag < _CAUGHT_UP_SECONDS:
            connection.skipping = "DEFAULT"
        for limit, skipping in _BEHIND:
            if lag > limit:
                connection.skipping = skipping
                break

    def _is_back(self) -> None:
        if self.state.phase == "waiting":
            self.state.reconnects += 1
            self._report(f"{self.address.shown}: is back")
        self.state.phase, self.state.reason = "playing", ""

    def _wait(self, failures: int, reason: str) -> bool:
        """Pause before the next attempt; False if asked to stop meanwhile."""
        retries = self.settings.retries
        if retries is not None and failures >= retries:
            self.state.phase, self.state.reason = "lost", reason
            after = f" after {failures} attempt{'s' * (failures != 1)}" if failures else ""
            raise SourceLostError(f"{self.address.shown}: given up{after}: {reason}")
        if self.state.phase != "waiting":
            self._report(f"{self.address.shown}: {reason}; it is tried again")
        self.state.phase, self.state.reason = "waiting", reason
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** max(0, failures - 1))
        # Cameras that went together need not come back in the same moment.
        return not self.stop.wait(pause * random.uniform(0.8, 1.2))

    def _noted(
        self,
        frame: VideoFrame,
        sizes: Sizes,
        seconds: float,
        restart: bool,
        lag: float,
        part: str = "",
    ) -> LiveFrame:
        self.state.frames += 1
        self.state.last_picture = time.monotonic()
        return LiveFrame(seconds, time.time(), restart, part, lag, _frame=frame, _sizes=sizes)

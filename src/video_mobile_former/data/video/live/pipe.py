"""Reading a pipe that may stall or never end."""

from __future__ import annotations

import os
import select
import sys
import threading
import time

from ..first_bytes import HEAD_BYTES


class StoppedError(OSError):
    """The reader was asked to stop."""


class PipeReader:
    """A file descriptor as FFmpeg reads it: it waits for bytes, but not for ever.

    Args:
        descriptor: Of a pipe or file.
        stop: Set when nobody reads on.
        seconds: Longest wait for bytes; None waits for as long as it takes.
    """

    name = "stdin"

    def __init__(self, descriptor: int, stop: threading.Event, seconds: float | None):
        self._descriptor, self._stop = descriptor, stop
        self.seconds = seconds
        self.head = bytearray()
        """The first bytes, for messages."""

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; none at the end.

        Raises:
            TimeoutError: If none came in time.
            StoppedError: If asked to stop.
        """
        # Only sockets can be waited for on Windows: there a read waits for as long as it takes.
        begin = time.monotonic()
        while sys.platform != "win32":
            if self._stop.is_set():
                raise StoppedError("stopped")
            if select.select([self._descriptor], [], [], 0.2)[0]:
                break
            if self.seconds is not None and time.monotonic() > begin + self.seconds:
                raise TimeoutError(f"nothing came for {self.seconds:g} s")
        found = os.read(self._descriptor, size)
        if len(self.head) < HEAD_BYTES:
            self.head += found[: HEAD_BYTES - len(self.head)]
        return found

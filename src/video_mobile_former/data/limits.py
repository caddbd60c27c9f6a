"""Limits on the reading of one clip: its time, its memory and, in a worker, the process's life.

Soft limits end a read with a :class:`VideoError` and hold in any process: the clock is looked at
between packets and pictures, and the system (Linux) refuses memory beyond the limit, which the
libraries report. The hard limit holds in worker processes only: a timer of the system ends one that
is still in the same call well after its time, whatever holds the interpreter, and what the worker
was reading stands in memory it shares with the main process (see ``worker_watch.py``).
"""

from __future__ import annotations

import contextlib
import errno
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av.error
import numpy as np

from ..errors import VideoError
from ..memory import give_back_memory

if sys.platform == "linux":
    import resource

_MB = 2**20


@dataclass(frozen=True)
class Limits:
    """What reading one clip may take."""

    seconds: float = 30.0
    """Longest time, above 0."""
    memory_mb: float = 2048.0
    """Most memory beyond what the process holds before, in MiB, above 0; on Linux only."""
    pixels: int | None = None
    """Most pixels of one picture; None for any."""

    @property
    def hard_seconds(self) -> float:
        """When a worker process is ended that does not stop by itself."""
        return self.seconds * 7 / 6 + 1


class Slot:
    """What a worker process is at, in a row of numbers that the main process reads.

    Args:
        numbers: ``(4,)`` int64 in shared memory.
    """

    SIZE = 4

    def __init__(self, numbers: np.ndarray):
        self._numbers = numbers

    @property
    def at(self) -> tuple[int, int] | None:
        """Epoch and clip that is being read now."""
        epoch, clip = (int(value) for value in self._numbers[:2])
        return (epoch, clip - 1) if clip else None

    @property
    def reads(self) -> int:
        """Clips read so far."""
        return int(self._numbers[2])

    @property
    def failures(self) -> int:
        """Clips so far that could not be read."""
        return int(self._numbers[3])

    def begin(self, epoch: int, clip: int) -> None:
        """Note that a clip is being read."""
        self._numbers[0] = epoch
        self._numbers[1] = clip + 1

    def end(self, ok: bool) -> None:
        """Note that it is read, or cannot be."""
        self._numbers[1] = 0
        self._numbers[2 if ok else 3] += 1


_TIDY_EVERY = 16
"""Reads after which a worker process gives freed memory back; that costs next to nothing."""
_slot: Slot | None = None
"""Of this process, where it is a worker."""


def watch(slot: Slot) -> None:
    """Put this process under the hard limit, and let it note what it reads.

    Only for the main thread of a process that does nothing but read clips.
    """
    global _slot
    _slot = slot
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])


@dataclass
class _Reading:
    path: str
    limits: Limits
    deadline: float


_now = threading.local()
"""``.reading``: the read under way in this thread."""


@contextlib.contextmanager
def limited(path: str, limits: Limits, *, epoch: int = 0, clip: int = 0) -> Iterator[None]:
    """Hold the limits within the block, in which one clip is read.

    Args:
        path: The file, for messages.
        limits: Time and memory.
        epoch: Of the read, for the note of a worker process.
        clip: Position in the index, for the same.

    Raises:
        VideoError: If the block runs out of time or memory.
    """
    _now.reading = _Reading(path, limits, time.monotonic() + limits.seconds)
    ok = False
    _arm(limits, epoch, clip)
    try:
        with _memory.limited(limits.memory_mb):
            yield
        ok = True
    except Exception as error:  # refused memory comes as many kinds of error, see below
        if not _is_out_of_memory(error):
            raise
        raise VideoError(path, _too_much(limits)) from error
    finally:
        _disarm(ok)
        _now.reading = None


def check_time() -> None:
    """Give up the read under way if its time is over; called between packets and pictures.

    Raises:
        VideoError: If so.
    """
    reading: _Reading | None = getattr(_now, "reading", None)
    if reading is not None and time.monotonic() > reading.deadline:
        raise VideoError(reading.path, f"took longer than {reading.limits.seconds:g} s")


def check_memory(num_bytes: int, what: str) -> None:
    """Give up the read under way if it has no room for so much more memory.

    Decoders that are refused memory often call the file damaged; asked for the size of a picture
    when decoding fails, this tells the one from the other.

    Args:
        num_bytes: Memory needed.
        what: What for, for example ``"pictures of 16384×16384"``.

    Raises:
        VideoError: If there is not.
    """
    reading: _Reading | None = getattr(_now, "reading", None)
    if reading is not None and num_bytes > min(_memory.room(), reading.limits.memory_mb * _MB):
        raise VideoError(reading.path, f"{_too_much(reading.limits)} ({what})")


def most_pixels() -> int | None:
    """Pixels that a picture of the read under way may have; None for any."""
    reading: _Reading | None = getattr(_now, "reading", None)
    return None if reading is None else reading.limits.pixels


def check_pixels(width: int, height: int) -> None:
    """Give up the read under way if its pictures are too large.

    Raises:
        VideoError: If so.
    """
    reading: _Reading | None = getattr(_now, "reading", None)
    most = most_pixels()
    if reading is not None and most is not None and width * height > most:
        text = f"pictures of {width}×{height} are too large: at most {most} pixels"
        raise VideoError(reading.path, text)


def _too_much(limits: Limits) -> str:
    return f"needs more than {limits.memory_mb:g} MB of memory"


def _arm(limits: Limits, epoch: int, clip: int) -> None:
    if _slot is not None:
        _slot.begin(epoch, clip)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, limits.hard_seconds)


def _disarm(ok: bool) -> None:
    if _slot is not None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        _slot.end(ok)
        if (_slot.reads + _slot.failures) % _TIDY_EVERY == 0:
            give_back_memory()


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Tell how Python, NumPy, PyTorch, FFmpeg and the system say that memory was refused."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, (OSError, av.error.FFmpegError)) and error.errno == errno.ENOMEM:
            return True
        if isinstance(error, RuntimeError):
            text = str(error)
            if any(s in text for s in ("can't allocate memory", "not enough memory", "bad_alloc")):
                return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


class _Memory:
    """The system's limit on the data of this process, shared by all threads that read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._before: tuple[int, int] | None = None

    @contextlib.contextmanager
    def limited(self, megabytes: float) -> Iterator[None]:
        if sys.platform != "linux":
            yield
            return
        with self._lock:
            soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
            if not self._readers:
                self._before = (soft, hard)
            self._readers += 1
            wanted = _data_bytes() + int(megabytes * _MB)
            # A second reader moves the limit on: it is there to stop a file, not to count bytes.
            if self._readers > 1 and soft != resource.RLIM_INFINITY:
                wanted = max(wanted, soft)
            assert self._before is not None
            for bound in (*self._before, hard):
                if bound != resource.RLIM_INFINITY:
                    wanted = min(wanted, bound)
            resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                if not self._readers:
                    resource.setrlimit(resource.RLIMIT_DATA, self._before)

    def room(self) -> float:
        """Bytes left."""
        if sys.platform != "linux":
            return float("inf")
        soft = resource.getrlimit(resource.RLIMIT_DATA)[0]
        return float("inf") if soft == resource.RLIM_INFINITY else soft - _data_bytes()


_memory = _Memory()

if sys.platform == "linux":
    _PAGE = resource.getpagesize()


def _data_bytes() -> int:
    """Private writable memory of this process: what the limit is counted in."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * _PAGE

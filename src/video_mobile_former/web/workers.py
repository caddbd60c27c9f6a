"""Processes that read what callers send, and may die of it.

A worker gets a function of :mod:`.reading` and its arguments, and answers with parts: plain data
and arrays of bytes. What comes back is never unpickled: a worker that a hostile file has taken over
can send wrong pictures, and no more.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ..data.processes import cause_of_death, init_process, process_context
from ..errors import UserError, VideoError
from .failures import CancelledError, StoppedError, WorkerDiedError

_LOG = logging.getLogger(__name__)
_START_SECONDS = 120.0
_MOST_BYTES = 2**31
"""Of one array or text that a worker sends."""

PRELOADED = f"{__package__}.reading"


def prepare() -> None:
    """Let what workers need be imported, in another process, while this one goes on."""
    process_context(PRELOADED)


@dataclass(frozen=True)
class Part:
    """A part of what a worker found."""

    facts: dict[str, Any] = field(default_factory=dict)
    """Plain data."""
    arrays: tuple[np.ndarray, ...] = ()
    """uint8, of any shape."""


class Worker:
    """One process; used by one thread at a time."""

    def __init__(self) -> None:
        context = process_context(PRELOADED)
        self._connection, theirs = context.Pipe()
        self._process = context.Process(  # pyright: ignore[reportAttributeAccessIssue]
            target=_serve, args=(theirs,), daemon=True
        )
        self._process.start()
        theirs.close()  # so that its death is the end of the pipe
        self._fresh = True
        self.healthy = True

    @property
    def pid(self) -> int:
        """Of the process."""
        return int(self._process.pid or 0)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def ask(
        self,
        function: Callable[..., Iterator[Part]],
        arguments: tuple[Any, ...],
        *,
        seconds: float,
        cancelled: threading.Event | None = None,
    ) -> Iterator[Part]:
        """What a function yields there.

        Args:
            function: Importable.
            arguments: Picklable.
            seconds: Until the last part; the process is then ended.
            cancelled: Ends the work, and the process, when it is set.

        Raises:
            VideoError: With an empty path, if the function raises one; other errors that a user can
                act on likewise.
            WorkerDiedError: If the process ends before, or is ended as its time is over.
            CancelledError: If ``cancelled`` is set.
            RuntimeError: If the function has a fault.
        """
        deadline = time.monotonic() + seconds + (_START_SECONDS if self._fresh else 0)
        self.healthy = False  # until it has answered in full
        try:
            self._connection.send((function, arguments))
            while True:
                kind, facts, arrays = self._receive(deadline, cancelled)
                if kind == "part":
                    yield Part(facts, arrays)
                    continue
                self._fresh, self.healthy = False, True
                if kind == "done":
                    return
                if kind == "refused":
                    raise VideoError("", facts["reason"])
                raise RuntimeError(facts["reason"])
        except (EOFError, OSError) as error:
            raise WorkerDiedError(cause_of_death(self._process)) from error

    def _receive(
        self, deadline: float, cancelled: threading.Event | None
    ) -> tuple[str, dict[str, Any], tuple[np.ndarray, ...]]:
        while True:  # asked for before every part: one that never lets up is ended as well
            if cancelled is not None and cancelled.is_set():
                raise CancelledError
            if time.monotonic() >= deadline:
                raise WorkerDiedError("reading it took too long", timed_out=True)
            if self._connection.poll(min(0.2, max(0.0, deadline - time.monotonic()))):
                break
        head = json.loads(self._connection.recv_bytes(_MOST_BYTES))
        arrays = []
        for shape in head["shapes"]:
            content = self._connection.recv_bytes(_MOST_BYTES)
            arrays.append(np.frombuffer(content, np.uint8).reshape(shape))
        return str(head["kind"]), dict(head["facts"]), tuple(arrays)

    def kill(self) -> None:
        """For any thread: who asks it finds that its pipe has ended."""
        self._process.kill()  # a hung decoder does not hear anything milder

    def end(self) -> None:
        """Kill it and close the pipe; for the thread that uses it."""
        self.kill()
        self._process.join(5)
        self._connection.close()


class WorkerPool:
    """Workers that answer requests, started when they are needed and again when they died.

    Args:
        count: Processes, at least 1.
        on_death: Is called for each that died or was ended.
    """

    def __init__(self, count: int, on_death: Callable[[], None] | None = None):
        self.count = count
        self._on_death = on_death or (lambda: None)
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="vmf-reading")
        self._closed = False

    def start(self) -> None:
        """Start all processes now, so that the first requests need not wait for that."""
        found = [self._take() for _ in range(self.count)]
        for worker in found:
            self._put(worker)

    def submit(
        self, function: Callable[..., Iterator[Part]], *arguments: Any, seconds: float
    ) -> Future[tuple[list[Part], float, float]]:
        """Let a worker do something, as soon as one is free.

        A worker that dies is replaced and asked once more: what ended it may have had nothing to do
        with this request.

        Returns:
            Becomes the parts, and the times of the monotonic clock at which the work began and
            ended; or the exceptions of :meth:`Worker.ask`.
        """
        return self._threads.submit(self._all_parts, function, arguments, seconds)

    def _all_parts(
        self, function: Callable[..., Iterator[Part]], arguments: tuple[Any, ...], seconds: float
    ) -> tuple[list[Part], float, float]:
        begun = time.monotonic()
        for last_try in (False, True):
            left = seconds - (time.monotonic() - begun)
            try:
                parts = list(self.stream(function, *arguments, seconds=left))
                return parts, begun, time.monotonic()
            except WorkerDiedError as error:
                if last_try or error.timed_out or time.monotonic() - begun > seconds / 2:
                    raise
        raise AssertionError("the last try returns or raises")

    def stream(
        self,
        function: Callable[..., Iterator[Part]],
        *arguments: Any,
        seconds: float,
        cancelled: threading.Event | None = None,
    ) -> Iterator[Part]:
        """What a function yields in a worker, part by part; for a thread of the caller."""
        worker = self._take()
        try:
            with contextlib.closing(
                worker.ask(function, arguments, seconds=seconds, cancelled=cancelled)  # type: ignore[type-var]
            ) as parts:
                yield from parts
        finally:
            self._put(worker)

    def processes(self) -> list[int]:
        """Their numbers."""
        with self._lock:
            return [worker.pid for worker in self._all]

    def close(self) -> None:
        """End all of them; work under way fails."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = self._all.difference(idle)
            self._all.clear()
        for worker in busy:
            worker.kill()  # the thread that uses it closes its pipe
        for worker in idle:
            worker.end()

    def _take(self) -> Worker:
        with self._lock:
            if self._closed:
                raise StoppedError("the service is ending")
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive:
                    return worker
                self._all.discard(worker)
                worker.end()
                self._on_death()
        worker = Worker()
        with self._lock:
            if not self._closed:
                self._all.add(worker)
                return worker
        worker.end()  # the pool was closed while it started
        raise StoppedError("the service is ending")

    def _put(self, worker: Worker) -> None:
        with self._lock:
            if worker.healthy and not self._closed:
                self._idle.append(worker)
                return
            self._all.discard(worker)
        worker.end()
        if not self._closed:
            _LOG.warning("a process that read a video was ended and is replaced")
            self._on_death()


def _serve(connection: Connection) -> None:
    """Answer until the pipe ends; the main function of a worker process."""
    init_process()
    # A service manager may send it to all processes; what runs is to finish.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _no_core_dumps()
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            for part in function(*arguments):
                _send(connection, "part", part.facts, part.arrays)
            _send(connection, "done")
        except VideoError as error:
            _send(connection, "refused", {"reason": error.reason})
        except UserError as error:
            _send(connection, "refused", {"reason": str(error)})
        except MemoryError:
            _send(connection, "refused", {"reason": "there is not enough memory for it"})
        except BrokenPipeError:
            return
        except Exception as error:  # noqa: BLE001 - the main process logs it, and others go on
            _send(connection, "failed", {"reason": f"{type(error).__name__}: {error}"})


def _send(
    connection: Connection,
    kind: str,
    facts: dict[str, Any] | None = None,
    arrays: tuple[np.ndarray, ...] = (),
) -> None:
    shapes = [array.shape for array in arrays]
    connection.send_bytes(
        json.dumps({"kind": kind, "facts": facts or {}, "shapes": shapes}).encode()
    )
    for array in arrays:
        connection.send_bytes(np.ascontiguousarray(array).reshape(-1).data)


def _no_core_dumps() -> None:
    """What a caller sent is not written to disk where a decoder crashes."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

"""Processes that read video beside the main one: how they start, and that they end with it."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar

from ..errors import UserError, VideoError
from ..memory import keep_freed_memory

_UNHEARD = tuple(getattr(signal, name) for name in ("SIGINT", "SIGUSR1") if hasattr(signal, name))
_KEPT_BYTES = 32 << 20
"""A worker keeps this much for the next clip: else an eighth of the time of a prepared clip goes
to giving it back."""
PRELOADED = f"{__package__}.loading.loader"
"""What all workers need; a name that does not exist would be passed over in silence."""


def process_context(*preload: str) -> BaseContext:
    """How worker processes start.

    Args:
        *preload: Modules that all workers need beside those that read clips; heeded by the first
            call in a process.

    Not by a fork of this process: it has threads (OpenMP, loggers, progress bars), whose locks a
    fork copies in whatever state they are. The fork server has none; it imports torch once, so
    that workers start in milliseconds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver  # not on every system

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED, *preload])
    # Ctrl-C reaches all processes of a terminal. The server and its workers inherit that they do
    # not hear it, so that none prints a traceback; the main process says so and ends them.
    # So do signals that SLURM sends to all processes of a job, such as SIGUSR1.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _UNHEARD)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def init_process() -> None:
    """Let a worker end with the main process, and without a word when that is interrupted.

    A batch on its way when the main process ends finds nobody to take it, which a thread of
    ``multiprocessing`` would print as a traceback. Errors of the data set itself reach the main
    process another way.
    """
    keep_freed_memory(_KEPT_BYTES)
    for number in _UNHEARD:  # where the server was running before, or spawn
        signal.signal(number, signal.SIG_IGN)
    report = sys.excepthook

    def report_others(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if not issubclass(kind, (EOFError, ConnectionError)):
            report(kind, error, traceback)

    sys.excepthook = report_others
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """Wait until the main process is gone, killed perhaps, and go too.

    PyTorch's workers look at their parent for that, but here it is the fork server, which itself
    stays for as long as a worker does.
    """
    wait([sentinel])
    os._exit(1)


T = TypeVar("T")
R = TypeVar("R")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""System errors that every other task would meet too."""
_START_SECONDS = 120.0
"""Importing torch from a slow disk, beside others that do the same."""


@dataclass(frozen=True)
class TaskFailure:
    """Stands for the result of a task that failed."""

    reason: str
    """One phrase."""
    kind: Literal["failed", "died", "hung"] = "failed"
    """It raised an error, its process died, or it was stopped as it did not get on."""


@dataclass
class _Worker(Generic[T]):
    process: BaseProcess
    connection: Connection
    task: T | None = None
    seen: float = 0.0
    """When it last gave a sign of life, by the monotonic clock."""
    started: bool = False
    """It has given one: until then it may take the time that a process needs to start."""

    def deadline(self, timeout: float) -> float:
        """When it is to be given up."""
        return self.seen + timeout + (0 if self.started else _START_SECONDS)


def run_tasks(
    function: Callable[[T, Callable[[], None]], R],
    tasks: Iterable[T],
    *,
    num_workers: int,
    timeout_seconds: float,
) -> Generator[tuple[T, R | TaskFailure], None, None]:
    """Yield every task with its result, in the order in which they are done.

    Args:
        function: Called in a worker process as ``function(task, alive)``; it calls ``alive()``
            whenever it has got on. It must be importable, tasks and results picklable.
        tasks: Taken one by one.
        num_workers: Processes, at least 1.
        timeout_seconds: Longest time without a sign of life.

    Raises:
        UserError: If the disk is full or may not be written; the other tasks would fail too.
    """
    queue = iter(tasks)
    workers: list[_Worker[T]] = []
    try:
        for task in queue:
            idle = next((worker for worker in workers if worker.task is None), None)
            if idle is None:
                idle = _start(function)
                workers.append(idle)
            _give(idle, task)
            while len(workers) == num_workers and all(w.task is not None for w in workers):
                yield from _collect(workers, timeout_seconds)
        while any(worker.task is not None for worker in workers):
            yield from _collect(workers, timeout_seconds)
    finally:
        for worker in workers:
            _stop(worker)


def usable_cores() -> int:
    """Cores that this process may run on, which in a container are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start(function: Callable[..., Any]) -> _Worker[Any]:
    context = process_context()
    ours, theirs = context.Pipe()
    process: BaseProcess = context.Process(  # pyright: ignore[reportAttributeAccessIssue]
        target=_serve, args=(function, theirs), daemon=True
    )
    process.start()
    theirs.close()  # so that its death is the end of the pipe
    return _Worker(process, ours)


def _give(worker: _Worker[T], task: T) -> None:
    worker.task, worker.seen = task, time.monotonic()
    with contextlib.suppress(ConnectionError):  # it died while idle: found and said by _collect
        worker.connection.send(task)


def _collect(workers: list[_Worker[T]], timeout: float) -> Iterator[tuple[T, Any]]:
    """Wait for something to happen; yield what is done, and drop workers that are gone."""
    busy = [worker for worker in workers if worker.task is not None]
    first = min(worker.deadline(timeout) for worker in busy)
    left = max(0.0, first - time.monotonic())
    ready = wait([worker.connection for worker in busy], timeout=left)
    for worker in busy:
        task = worker.task
        assert task is not None
        if worker.connection in ready:
            try:
                kind, value = worker.connection.recv()
            except (EOFError, OSError):
                kind, value = "died", None
            worker.seen, worker.started = time.monotonic(), True
            if kind == "alive":
                continue
            if kind == "fatal":
                raise UserError(value)
            result = value if kind == "done" else TaskFailure(str(value))
            if kind == "died":
                result = TaskFailure(cause_of_death(worker.process), "died")
        elif time.monotonic() >= worker.deadline(timeout):
            kind = "died"
            text = f"stopped: it did not get on for {timeout:g} seconds"
            result = TaskFailure(text, "hung")
        else:
            continue
        worker.task = None
        if kind == "died":
            _stop(worker)
            workers.remove(worker)
        yield task, result


def cause_of_death(process: BaseProcess) -> str:
    """How a process ended, in a phrase; waits up to 5 s for its end."""
    process.join(5)
    code = process.exitcode
    if code is not None and code < 0:
        return f"the process that worked on it was ended by signal {-code}" + (
            " (out of memory?)" if code == -9 else ""
        )
    return f"the process that worked on it ended with status {code}"


def _stop(worker: _Worker[Any]) -> None:
    worker.process.kill()  # a hung decoder does not hear anything milder
    worker.process.join()
    worker.connection.close()


def _serve(function: Callable[..., Any], connection: Connection) -> None:
    """Run tasks until the pipe ends; the main function of a worker process."""
    init_process()

    def alive() -> None:
        connection.send(("alive", None))

    alive()
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(_answer(function, task, alive))


def _answer(function: Callable[..., Any], task: Any, alive: Callable[[], None]) -> tuple[str, Any]:
    try:
        return "done", function(task, alive)
    except VideoError as error:
        return "failed", error.reason
    except UserError as error:
        return "failed", str(error)
    except MemoryError:
        return "failed", "not enough memory for it"
    except OSError as error:
        if error.errno in _FULL:
            where = f" {error.filename}" if error.filename else ""
            reason = error.strerror or str(error)
            return "fatal", f"cannot write{where}: {reason}; the same command goes on"
        return "failed", f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - whatever a bad file does, the others go on
        return "failed", f"{type(error).__name__}: {error}"

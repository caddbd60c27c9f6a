"""The worker processes of a loader: what each is reading, and why one ended."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.queues import Queue
from typing import Any, NamedTuple

import torch

from ..limits import Slot, watch
from ..processes import init_process

_LOST_BATCH = 75
"""Exit status of a worker that could not hand over a batch."""

_CRASHES = ("SIGSEGV", "SIGILL", "SIGFPE", "SIGABRT", "SIGSYS", "SIGTRAP")


class Death(NamedTuple):
    """The unexpected end of one worker process."""

    clip: int | None
    """Position in the index of what it was reading; None where it read nothing."""
    reason: str
    """One phrase."""
    certain: bool
    """The clip it was reading is the cause."""
    can_go_on: bool
    """New processes may succeed."""


class WorkerWatch:
    """Notes of the worker processes of one loader in memory that they share with this process.

    Args:
        num_workers: How many there are, at least 1.
    """

    def __init__(self, num_workers: int):
        self._notes = torch.zeros((num_workers, Slot.SIZE), dtype=torch.int64).share_memory_()

    def init(self) -> Callable[[int], None]:
        """What a worker process is to call first, with its number."""
        return functools.partial(_init_worker, self._notes)

    def clear(self) -> None:
        """Forget everything, for new processes."""
        self._notes.zero_()

    @property
    def slots(self) -> list[Slot]:
        """What each worker is reading."""
        return [Slot(row) for row in self._notes.numpy()]

    def deaths(self, processes: list[Any], seconds: float, limit_seconds: float) -> list[Death]:
        """Find out which workers ended, and why.

        Args:
            processes: The worker processes in order.
            seconds: How long to wait for the first one: the sign of a death may come before it.
            limit_seconds: Time that a clip may take, for the reason.

        Returns:
            One for each dead process.
        """
        wait([process.sentinel for process in processes], timeout=seconds)
        return [
            _death(slot, process.exitcode, limit_seconds)
            for slot, process in zip(self.slots, processes, strict=True)
            if not process.is_alive()
        ]


def _death(slot: Slot, status: int, limit_seconds: float) -> Death:
    at = slot.at
    clip = None if at is None else at[1]
    name = signal.Signals(-status).name if status < 0 else ""
    if name == "SIGALRM":
        return Death(clip, f"took longer than {limit_seconds:g} s", clip is not None, True)
    if name == "SIGKILL":
        return Death(clip, "killed, as the system does when memory runs out", False, True)
    if name == "SIGBUS":
        return Death(clip, "bus error, as when the shared memory (/dev/shm) is full", False, True)
    if name in _CRASHES:
        return Death(clip, f"crashed the decoder ({name})", clip is not None, clip is not None)
    if status == _LOST_BATCH:
        return Death(None, "a batch could not be handed over", False, True)
    return Death(clip, f"exit status {status}", False, False)


def stop_workers(batches: Any, watch: WorkerWatch) -> None:
    """End the worker processes of an iterator over batches, also those that hang.

    Args:
        batches: PyTorch's iterator with several processes.
        watch: Their notes.
    """
    for slot, process in zip(watch.slots, batches._workers, strict=False):
        # One that is waiting for work may hold a lock, and ends when asked to; one in the
        # middle of a clip holds none, but may take its time.
        if slot.at is not None:
            process.kill()
    batches._shutdown_workers()


def _init_worker(notes: torch.Tensor, worker: int) -> None:
    init_process()
    watch(Slot(notes[worker].numpy()))
    # PyTorch prints a line of its own at this signal; the main process says more.
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    # The thread that sends batches would drop one that it has no memory to send, and the main
    # process would wait for it for ever; the end of a process it notices.
    Queue._on_queue_feeder_error = staticmethod(_give_up)  # type: ignore[attr-defined]


def _give_up(error: BaseException, _: object) -> None:
    os._exit(_LOST_BATCH)

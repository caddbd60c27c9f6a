"""Processes that read video beside the main one: how they start, and that they end with it."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from types import TracebackType

_UNHEARD = tuple(getattr(signal, name) for name in ("SIGINT", "SIGUSR1") if hasattr(signal, name))
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_KEPT_BYTES = 32 << 20


def process_context() -> BaseContext:
    """How worker processes start.

    Not by a fork of this process: it has threads (OpenMP, loggers, progress bars), whose locks a
    fork copies in whatever state they are. The fork server has none; it imports torch once, so
    that workers start in milliseconds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver  # not on every system

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{__package__}.loader"])
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
    keep_freed_memory()
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


def keep_freed_memory() -> None:
    """Let this process keep up to 32 MB of what it frees, for the next clip.

    Otherwise the C library gives the memory of each clip back to the system, which hands it out
    again page by page, each set to zero before: an eighth of the time of a prepared clip.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library than glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def give_back_memory() -> None:
    """Give the free pages of the heap back to the system, those of holes as well.

    Clips of many sizes leave holes between what stays, and the resident memory of a worker would
    creep up by a tenth over thousands of reads although what is in use stays the same.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


def _end_with(sentinel: int) -> None:
    """Wait until the main process is gone, killed perhaps, and go too.

    PyTorch's workers look at their parent for that, but here it is the fork server, which itself
    stays for as long as a worker does.
    """
    wait([sentinel])
    os._exit(1)

"""How many batches may be in flight: what shared memory and file handles allow."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from ...console import say
from ...errors import UserError

if sys.platform != "win32":
    import resource

PREFETCH = 2
"""Batches ahead of each worker, where there is room."""
_USABLE = 0.9
"""Share of the free shared memory that batches may take."""
_HANDLES_OF_WORKER = 10
_HANDLES_OF_BATCH = 10
"""Of tensors that are handed over, each a file."""
_HANDLES_OF_REST = 32
_MB = 2**20


def shared_memory() -> float:
    """Bytes that are free in the memory by which processes hand over batches."""
    try:
        status = os.statvfs("/dev/shm")
    except (OSError, AttributeError):  # not on this system
        return float("inf")
    return float(status.f_bavail * status.f_frsize)


def file_handles(wanted: int) -> float:
    """Files that this process may still open, after asking the system for ``wanted``."""
    if sys.platform == "win32":
        return float("inf")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        opened = len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        opened = 64
    wanted += opened
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
            soft = max(soft, most)
    return float("inf") if soft == resource.RLIM_INFINITY else float(soft - opened)


def fitting(num_workers: int, batch_bytes: int, *, processes: int = 1) -> tuple[int, int]:
    """Find how many workers, and batches ahead of each, there is room for.

    Args:
        num_workers: Workers asked for, at least 1.
        batch_bytes: Of one batch.
        processes: Training processes that share this machine.

    Returns:
        Workers and batches ahead; fewer than asked for give a note.

    Raises:
        UserError: If not even one worker with one batch ahead fits; says what to change.
    """
    memory = _USABLE * shared_memory() / processes
    handles = file_handles(_handles(num_workers, PREFETCH))
    choices = [(num_workers, PREFETCH), *((n, 1) for n in range(num_workers, 0, -1))]
    for workers, ahead in choices:
        # One more is in use, or about to be.
        enough = (workers * ahead + 1) * batch_bytes <= memory
        if enough and _handles(workers, ahead) <= handles:
            if (workers, ahead) != choices[0]:
                say(
                    f"{workers} workers with {ahead} batch ahead each, not {num_workers} with "
                    f"{PREFETCH}: "
                    + _shortage(batch_bytes, memory, handles, _handles(num_workers, PREFETCH))
                )
            return workers, ahead
    raise UserError(
        "no room to hand over batches from worker processes: "
        + _shortage(batch_bytes, memory, handles, _handles(1, 1))
        + ", or set num_workers 0 or a smaller batch size"
    )


def _handles(workers: int, ahead: int) -> int:
    return _HANDLES_OF_REST + workers * (_HANDLES_OF_WORKER + ahead * _HANDLES_OF_BATCH)


def _shortage(batch_bytes: int, memory: float, handles: float, needed: int) -> str:
    if handles < needed:
        return f"only {handles:.0f} more files can be opened (raise it with ulimit -n)"
    return (
        f"a batch takes {batch_bytes / _MB:.1f} MB and /dev/shm has {memory / _MB:.1f} MB for "
        "them (Docker: raise it with --shm-size)"
    )

"""What the C library does with memory that is freed: keep it for what comes next, or give it back.

glibc asks the system for every block of more than 32 MB and gives it back as soon as it is freed,
and the system sets each page to zero again before it hands it out. Tensors of networks on a CPU are
of that size and live for milliseconds: see ``benchmarks/page_faults.py`` for what it costs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # from malloc.h
_MOST_BYTES = 2**31 - 1
"""Largest value of an int, which ``mallopt`` takes."""
_SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_")


def keep_freed_memory(most_bytes: int) -> bool:
    """Let this process keep freed blocks of up to so many bytes, and so many at the heap's end.

    Args:
        most_bytes: At most 2**31 - 1.

    Returns:
        Whether the C library took it; others than glibc do not.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        # Before glibc 2.35 a threshold of more than 32 MB was refused: then no block is mapped.
        blocks = mallopt(_M_MMAP_THRESHOLD, most_bytes) or mallopt(_M_MMAP_MAX, 0)
        return bool(blocks and mallopt(_M_TRIM_THRESHOLD, most_bytes))
    return False


def keep_memory_of_tensors() -> bool:
    """Let a process in which a network runs on the CPU keep the memory of its tensors.

    The peak grows (``benchmarks/page_faults.py`` says by how much) and is not given back between
    two batches. Nothing is changed where the environment sets glibc's own variables
    (``MALLOC_TRIM_THRESHOLD_`` and others, or ``glibc.malloc`` in ``GLIBC_TUNABLES``).

    Returns:
        Whether it does now.
    """
    own = any(name in os.environ for name in _SETTINGS)
    if own or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    return keep_freed_memory(_MOST_BYTES)


def give_back_memory() -> None:
    """Give the free pages of the heap back to the system, those of holes as well.

    Clips of many sizes leave holes between what stays, and the resident memory of a worker would
    creep up by a tenth over thousands of reads although what is in use stays the same.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))

"""Memory needed to load and run a model.

Resident memory is what counts against a device's limit. A process never fully releases memory, so
each contestant is measured in a fresh one. The figure is the growth since just before the model
(and its runtime) is loaded: the interpreter and torch are already loaded and not counted.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .child import in_child

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class MemoryUse:
    """Growth of resident memory in bytes."""

    loaded: int | None
    """After loading, before the first run; None where the system reports only the peak."""
    peak: int
    """Peak of loading and running."""
    peak_running: int | None
    """Peak of running alone; None where the system does not report it."""


def memory_of(
    make: Callable[..., Callable[[], object]],
    *args: Any,
    calls: int = 3,
    what: str,
    libraries: Sequence[str] = (),
) -> MemoryUse | None:
    """Measure the memory of a contestant in a fresh process.

    Args:
        make: A function of a module that loads the contestant and returns the call to measure.
        args: Its arguments, plain data.
        calls: How often the call is made.
        what: Names the contestant in an error.
        libraries: Modules to import before measuring starts, so that they are not counted.

    Returns:
        The growth, or None on a system that does not report it.

    Raises:
        UserError: If the process died, or ``make`` raised one.
    """
    return in_child(_measure, make, args, calls, tuple(libraries), what=what)


def _measure(
    make: Callable[..., Callable[[], object]],
    args: tuple[Any, ...],
    calls: int,
    libraries: tuple[str, ...],
) -> MemoryUse | None:
    import importlib

    for name in libraries:
        importlib.import_module(name)
    gc.collect()
    _restart_peak()
    before = resident_bytes()
    start = before if before is not None else peak_bytes()
    if start is None:
        return None
    run = make(*args)
    gc.collect()
    loaded, peak_loading = resident_bytes(), peak_bytes()
    restarted = _restart_peak()
    for _ in range(calls):
        run()
    peak_running = peak_bytes()
    assert peak_loading is not None
    assert peak_running is not None
    return MemoryUse(
        loaded=None if loaded is None else loaded - start,
        peak=max(peak_loading, peak_running) - start,
        peak_running=peak_running - start if restarted else None,
    )


def resident_bytes() -> int | None:
    """Resident memory of this process now; None where the system does not report it."""
    return _status_bytes("VmRSS")


def peak_bytes() -> int | None:
    """Peak memory of this process; None where the system does not report it."""
    found = _status_bytes("VmHWM")
    if found is not None:
        return found
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _restart_peak() -> bool:
    """Reset the peak; only Linux can, and some containers forbid it."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")
        return True
    return False


def _status_bytes(key: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name == key:
                return int(value.split()[0]) * 1024
    return None

"""The machine that a figure was measured on."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from pathlib import Path

from ..data.processes import usable_cores


def processor_name() -> str:
    """Name of the processor, as the system reports it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or os.name


def describe_machine() -> str:
    """Processor, cores and system in one line, to go with every figure."""
    cores = usable_cores()
    return (
        f"{processor_name()}, {cores} core{'s' if cores > 1 else ''}, "
        f"{platform.system()} {platform.machine()}"
    )


def busy_seconds() -> float | None:
    """Processor time used by all programs, on all cores, since the system started.

    Returns:
        Seconds, including time stolen by the host of a virtual machine; None where the system does
        not report it (only Linux does).
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        with Path("/proc/stat").open(encoding="ascii") as stream:
            name, *ticks = stream.readline().split()
        user, nice, system, _idle, _waiting, *others = (int(tick) for tick in ticks[:8])
        if name == "cpu":
            return (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")
    return None


def library_version(distribution: str) -> str | None:
    """Version of an installed package, None where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None

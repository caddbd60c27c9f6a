"""Measuring contestants: time in turn, memory in one process each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ..console import progress_bar, say
from ..data.processes import usable_cores
from ..errors import UserError
from ..export.targets.table import get_target
from ..profiling.child import in_child
from ..profiling.latency import MIN_ROUNDS, Timing, speed, time_in_turn
from ..profiling.machine import busy_seconds, describe_machine, library_version
from ..profiling.memory import MemoryUse, memory_of
from .contestants import EAGER, Contestant, load_contestant

_QUIET = 0.2
"""Cores that other programs may use before a warning."""


def time_contestants(
    contestants: Sequence[Contestant],
    *,
    threads: Sequence[int] = (1,),
    rounds: int = 15,
    seconds: float = 10.0,
    memory: bool = True,
) -> list[dict[str, Any]]:
    """Time contestants, all of one thread count in turn in one fresh process.

    Args:
        contestants: What to measure.
        threads: Thread counts; each gets its own process.
        rounds: Most timed calls of each, at least 3.
        seconds: Time for the rounds of each; slow ones get fewer rounds.
        memory: Also measure memory, in one more process for each contestant and thread count.

    Returns:
        A row of plain data for each contestant and thread count: ``model``, ``runtime``,
        ``runtime_version``, ``form``, ``precision``, ``layout`` of the input, ``threads``,
        ``batch``, ``num_frames``, ``size``, ``streams`` (whether a clip is one step of a stream),
        ``ms_per_frame``, the values of :func:`.latency.speed` (``latency_ms``
        of a call, ``ms_per_clip``, ``macs`` of one clip, …), ``size_mb`` of the artefact,
        ``max_difference`` from eager,
        ``peak_memory_mb`` and ``loaded_memory_mb``, ``busy`` (processor time over wall-clock time,
        above 1 with several threads), ``other_load`` (cores that other programs used during the
        run) and ``machine``.

    Raises:
        UserError: If a contestant cannot be loaded or run.
    """
    check_options(threads, rounds, seconds)
    rows = []
    for count in threads:
        what = f"timing with {count} thread{'s' if count > 1 else ''}"
        timings, others = in_child(
            _time_all, tuple(contestants), count, rounds, seconds, what, what=what
        )
        _tell_of_others(others, what)
        for contestant, timing in zip(contestants, timings, strict=True):
            use = _memory(contestant, count) if memory else None
            row = _row(contestant, count, timing, use)
            rows.append({**row, "other_load": others, "machine": describe_machine()})
    return rows


def check_options(threads: Sequence[int], rounds: int, seconds: float) -> None:
    """Check the options of :func:`measure` before anything is exported.

    Raises:
        UserError: If a number is out of range.
    """
    for count in threads:
        if count < 1:
            raise UserError(f"threads must be at least 1, not {count}")
    if rounds < MIN_ROUNDS:
        raise UserError(f"rounds must be at least {MIN_ROUNDS}, not {rounds}")
    if seconds < 0:
        raise UserError(f"seconds must be at least 0, not {seconds}")


def _time_all(
    contestants: tuple[Contestant, ...], num_threads: int, rounds: int, seconds: float, what: str
) -> tuple[list[Timing], float | None]:
    """Timings, and how many cores other programs used during them."""
    runs = {
        str(number): load_contestant(contestant, num_threads)
        for number, contestant in enumerate(contestants)
    }
    start, busy, own = time.perf_counter(), busy_seconds(), time.process_time()
    with progress_bar(what) as step:
        timings = time_in_turn(runs, rounds=rounds, seconds=seconds, step=step)
    end = busy_seconds()
    others = None
    if busy is not None and end is not None:
        spent = end - busy - (time.process_time() - own)
        others = round(max(0.0, spent) / (time.perf_counter() - start), 2)
    return list(timings.values()), others


def _memory(contestant: Contestant, num_threads: int) -> MemoryUse | None:
    return memory_of(
        load_contestant,
        contestant,
        num_threads,
        what=f"memory of {contestant.label}",
        libraries=_runtime_modules(contestant),
    )


def _runtime_modules(contestant: Contestant) -> tuple[str, ...]:
    """What is imported before memory is measured, as torch is."""
    module = None if contestant.runtime == EAGER else get_target(contestant.runtime).runtime_module
    return () if module is None else (module,)


def _runtime_package(contestant: Contestant) -> str:
    """Distribution whose version is reported with a measurement."""
    if contestant.runtime == EAGER:
        return "torch"
    return get_target(contestant.runtime).runtime_package


def _row(
    contestant: Contestant, num_threads: int, timing: Timing, use: MemoryUse | None
) -> dict[str, Any]:
    num_frames, size = contestant.clip
    found = speed(timing, num_threads=num_threads, batch=contestant.batch, macs=contestant.macs)
    return {
        "model": contestant.choice.label,
        "runtime": contestant.runtime,
        "runtime_version": library_version(_runtime_package(contestant)),
        "form": contestant.form,
        "precision": contestant.precision,
        "layout": contestant.layout,
        "fused": contestant.fused,
        "threads": num_threads,
        "batch": contestant.batch,
        "num_frames": num_frames,
        "size": size,
        "streams": contestant.streams,
        **found,
        "ms_per_frame": round(found["ms_per_clip"] / num_frames, 4),
        "size_mb": _megabytes(contestant.size_bytes),
        "max_difference": contestant.max_difference,
        "peak_memory_mb": _megabytes(use.peak if use else None),
        "loaded_memory_mb": _megabytes(use.loaded if use else None),
        "busy": round(timing.busy, 3),
    }


def _megabytes(count: int | None) -> float | None:
    return None if count is None else round(count / 1e6, 3)


def _tell_of_others(others: float | None, what: str) -> None:
    if others is not None and others > _QUIET:
        say(
            f"{what}: other programs used {others:.1f} of {usable_cores()} cores; ratios within "
            "the run hold, but times may be too high"
        )

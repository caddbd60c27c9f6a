"""Timing two or more ways of doing the same thing as a ratio, on a machine that others share."""

from __future__ import annotations

import datetime
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from video_mobile_former.profiling.latency import MIN_ROUNDS, clock_of, time_in_turn
from video_mobile_former.profiling.machine import processor_name

RESULTS = Path(__file__).parent / "results"


def interleave(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each callable, measured in turn so that load falls on all alike.

    On a CPU with one thread this is processor time, which other programs do not stretch; else it
    is wall-clock time.
    """
    clock = clock_of(torch.get_num_threads())
    timings = time_in_turn(
        runs, rounds=max(rounds, MIN_ROUNDS), min_rounds=max(rounds, 1), warm_up=1, settle=0
    )
    return {name: timing.seconds(clock).median for name, timing in timings.items()}


def describe_run() -> dict[str, Any]:
    """Device and versions, to stand beside every figure."""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": processor_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def write_result(name: str, rows: list[dict[str, Any]], *, about: str = "", **extra: Any) -> None:
    """Store rows with the machine and the command in ``benchmarks/results``.

    Args:
        name: The script's, without ``.py``.
        rows: One dictionary each.
        about: Tells runs of one day apart, in the file's name.
        extra: What else the file is to say.
    """
    record = {
        **describe_run(),
        "command": "python " + " ".join([f"benchmarks/{name}.py", *sys.argv[1:]]),
        **extra,
        "rows": rows,
    }
    path = RESULTS / f"{name}{about and '-'}{about}-{record['date']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"written: {path.relative_to(RESULTS.parents[1])}", file=sys.stderr)

"""Timing two or more ways of doing the same thing as a ratio, on a machine that others share."""

from __future__ import annotations

import datetime
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def interleave(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each callable, measured in turn so that load falls on all alike.

    On a CPU with one thread this is processor time, which other programs do not stretch; else it
    is wall-clock time.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # warm-up: allocations and kernel choices
    for _ in range(rounds):
        for name, run in runs.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def describe_machine() -> dict[str, Any]:
    """Device and versions, to stand beside every figure."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def write_result(name: str, rows: list[dict[str, Any]], **extra: Any) -> None:
    """Store rows with the machine and the command in ``benchmarks/results``."""
    record = {
        **describe_machine(),
        "command": "python " + " ".join([f"benchmarks/{name}.py", *sys.argv[1:]]),
        **extra,
        "rows": rows,
    }
    path = RESULTS / f"{name}-{record['date']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"written: {path.relative_to(RESULTS.parents[1])}", file=sys.stderr)

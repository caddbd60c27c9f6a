"""Results as lines of JSON, one a run, written as each run ends."""

from __future__ import annotations

import datetime
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from video_mobile_former.console import say
from video_mobile_former.profiling.machine import processor_name

RESULTS = Path(__file__).parent / "results"
KEY = ("row", "data", "seed", "epochs", "clips", "device", "generator", "lr")
"""What tells runs apart; a run that is there already is not repeated."""


def read(path: Path) -> list[dict[str, Any]]:
    """All runs of a file; a last line that a kill cut off is excluded and reported."""
    runs = []
    if not path.exists():
        return runs
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            runs.append(json.loads(line))
        except json.JSONDecodeError:
            say(f"{path}, line {number}: cut off, excluded")
    return runs


def key_of(run: dict[str, Any]) -> tuple[Any, ...]:
    # The list of real clips says how many are tested; of procedural ones the command does.
    tested = run["test_clips"] if run.get("clips") is not None else None
    return (*(run.get(name) for name in KEY), tested)


def add(path: Path, run: dict[str, Any]) -> None:
    """Add a run with what it was made on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cuda = run["device"] != "cpu"
    about = {
        "date": datetime.date.today().isoformat(),
        "processor": torch.cuda.get_device_name() if cuda else processor_name(),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "command": "python "
        + " ".join([f"benchmarks/accuracy/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
    }
    text = json.dumps({**run, **about}) + "\n"
    if path.exists() and path.read_bytes()[-1:] not in (b"", b"\n"):
        text = "\n" + text  # a killed run left half a line
    # A line of one write at the end: several processes may share the file.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)

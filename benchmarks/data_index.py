"""Sections ``index`` and ``memory`` of ``data.py``: what it takes before the first clip."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import string
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch

_CHILD = """
import json, sys, time, torch
sys.path.insert(0, {here!r})
from data_index import start_up
print(json.dumps(start_up(sys.argv[1])))
"""
_BARE = "import sys, torch; print(torch.__version__, flush=True); sys.stdin.read()"


def write_list(folder: Path, lines: int) -> Path:
    """A list as of a large set: 400 classes, files named as in Kinetics, each of them there."""
    listing = folder / f"clips-{lines}.csv"
    if listing.exists():
        return listing
    rng = random.Random(0)
    classes = [f"{a}ing {b} number {i}" for i in range(4) for a in _SYLLABLES for b in _SYLLABLES]
    rows = ["path,label,split\n"]
    for i in range(lines):
        name = classes[i % 400]
        split = "val" if i % 20 == 0 else "train"
        video = "".join(rng.choices(string.ascii_letters + string.digits + "-_", k=11))
        path = f"{split}/{name.replace(' ', '_')}/{video}_{i % 300:06d}_{i % 300 + 10:06d}.mp4"
        file = folder / path
        if i < 8000:
            file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY))
        rows.append(f"{path},{name},{split}\n")
    listing.write_text("".join(rows))
    return listing


_SYLLABLES = ["walk", "throw", "jump", "rid", "catch", "cook", "push", "hold", "turn", "clean"]


def measure_index(folder: Path, lines: int, rounds: int) -> dict[str, Any]:
    """Fresh processes, torch imported, then: import the package, read the list, make the loader."""
    listing = write_list(folder, lines)
    runs = [_in_child(listing) for _ in range(rounds)]
    middle = sorted(runs, key=lambda run: run["processor_seconds"])[len(runs) // 2]
    return {"section": "index", "lines": lines, **middle}


def _in_child(listing: Path) -> dict[str, Any]:
    code = _CHILD.format(here=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code, str(listing)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def start_up(listing: str) -> dict[str, Any]:
    """Time and memory of this process from the import of the package to a loader."""
    resident = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    wall, processor = time.perf_counter(), time.process_time()
    from video_mobile_former.clip_spec import ClipSpec
    from video_mobile_former.data.index.index import load_index
    from video_mobile_former.data.loading.dataset import ClipDataset
    from video_mobile_former.data.loading.loader import make_loader

    imported = time.process_time()
    index = load_index(listing)
    read = time.process_time()
    train = index.split("train")
    make_loader(ClipDataset(train, ClipSpec(), train=True), batch_size=8, num_workers=0)
    return {
        "seconds": round(time.perf_counter() - wall, 3),
        "processor_seconds": round(time.process_time() - processor, 3),
        "of_it_importing": round(imported - processor, 3),
        "of_it_reading": round(read - imported, 3),
        "peak_mb": round(_status("VmHWM") - resident, 1),
        "resident_mb": round(_status("VmRSS") - resident, 1),
    }


def measure_memory(dataset: Any, batch_size: int) -> dict[str, Any]:
    """What two workers of a loader take, beyond an interpreter that imported torch.

    ``private`` is memory that ends with the process (USS); ``batches`` are finished batches on
    their way, which the main process maps (clips × 2.4 MB × (prefetch + 1) at most).
    """
    from video_mobile_former.data.loading.loader import make_loader

    with subprocess.Popen(
        [sys.executable, "-c", _BARE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as bare:
        assert bare.stdout is not None
        bare.stdout.readline()
        loader = make_loader(dataset, batch_size=batch_size, num_workers=2)
        batches = iter(loader)
        for _ in islice(batches, 6):
            pass
        time.sleep(1.0)
        before = _memory(bare.pid)
        workers = [_memory(pid) for pid in _worker_pids(loader)]
        bare.communicate()
    for _ in batches:
        pass
    worker = {key: max(w[key] for w in workers) for key in workers[0]}
    return {
        "section": "memory",
        "batch_size": batch_size,
        "private_mb": round(worker["private"] - before["private"], 1),
        "proportional_mb": round(worker["proportional"] - before["proportional"], 1),
        "batches_mb": round(worker["shared_memory"], 1),
        "interpreter_private_mb": round(before["private"], 1),
        "worker_private_mb": round(worker["private"], 1),
        "worker_resident_mb": round(worker["resident"], 1),
    }


def _worker_pids(loader: Any) -> list[int]:
    workers = getattr(loader._iterator, "_workers", None) or multiprocessing.active_children()
    return [worker.pid for worker in workers if worker.pid]


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def _memory(pid: int) -> dict[str, float]:
    """MB of a process: private to it, its part of what several share, of that tmpfs, all."""
    values: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, amount = line.split()[:2]
        values[name.rstrip(":")] = int(amount) / 1024
    return {
        "private": values["Private_Clean"] + values["Private_Dirty"],
        "proportional": values["Pss"],
        "shared_memory": values.get("Pss_Shmem", 0.0),
        "resident": values["Rss"],
    }


def measure_device(loader_rates: dict[str, float], steps: int) -> dict[str, Any]:
    """Clips per second that a training step of vmf_500m takes on this device."""
    from video_mobile_former import create_model

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = 32 if device == "cuda" else 4
    model = create_model("vmf_500m", 400).to(device)
    optimizer = torch.optim.AdamW(model.parameters())
    clips = torch.randn(size, 3, 16, 224, 224, device=device)
    labels = torch.arange(size, device=device)
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(clips), labels).backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    rate = size / sorted(seconds[1:])[steps // 2]
    return {
        "section": "device",
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu, one thread",
        "model": "vmf_500m",
        "step_clips_per_second": round(rate, 2),
        "loader_clips_per_second_per_worker": loader_rates,
    }

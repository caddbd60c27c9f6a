"""What a network on the CPU pays for memory that the C library gives back after every tensor.

Each row is a child process, with the memory kept (as training and scoring do by themselves) and
given back (glibc's own way), in turn. Figures are medians over rounds, per clip.

    python benchmarks/page_faults.py [--smoke]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from timing import write_result

from video_mobile_former import create_model
from video_mobile_former.memory import keep_memory_of_tensors

WORK = [
    ("train", "vmf_500m", 64, 16),
    ("train", "vmf_500m", 112, 16),
    ("train", "vmf_500m", 224, 16),
    ("score", "vmf_500m", 112, 16),
    ("score", "vmf_500m", 224, 1),
    ("score", "vmf_500m", 224, 8),
    ("score", "vmf_6g", 224, 1),
]
SMOKE = [("train", "vmf_500m", 64, 2), ("score", "vmf_500m", 64, 2)]
GIVEN_BACK = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=7"}
"""A default of glibc said aloud, and one that leaves its thresholds as they are: where the
environment speaks of ``glibc.malloc``, nothing is changed."""


def child(kind: str, name: str, size: int, batch: int, threads: int) -> dict[str, float]:
    """One measurement, in this process."""
    torch.set_num_threads(threads)
    keep_memory_of_tensors()
    model = create_model(name).train(kind == "train")
    frames = model.clip.num_frames
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)

    def step() -> None:
        clips = torch.randn(batch, 3, frames, size, size)
        if kind == "score":
            with torch.inference_mode():
                model(clips)
            return
        loss = model(clips).logsumexp(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(2):
        step()
    times = 3 if kind == "train" else max(3, 16 // batch)
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(times):
        step()
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    clips = times * batch
    return {
        "wall_ms": 1000 * seconds / clips,
        "user_ms": 1000 * (after.ru_utime - before.ru_utime) / clips,
        "kernel_ms": 1000 * (after.ru_stime - before.ru_stime) / clips,
        "page_faults": (after.ru_minflt - before.ru_minflt) / clips,
        "peak_mb": after.ru_maxrss / 1024,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="tiny, and nothing is stored")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        kind, name, size, batch = args.child
        print(json.dumps(child(kind, name, int(size), int(batch), args.threads)))
        return 0
    rows: list[dict[str, Any]] = []
    for work in SMOKE if args.smoke else WORK:
        command = [sys.executable, __file__, "--threads", str(args.threads), "--child"]
        command += [str(word) for word in work]
        found: dict[str, list[dict[str, float]]] = {"given back": [], "kept": []}
        for _ in range(1 if args.smoke else args.rounds):
            for way, own in (("given back", GIVEN_BACK), ("kept", {})):
                done = subprocess.run(
                    command, env={**os.environ, **own}, stdout=subprocess.PIPE, check=True
                )
                found[way].append(json.loads(done.stdout))
        kind, name, size, batch = work
        for way, each in found.items():
            middle = {key: round(statistics.median(one[key] for one in each), 2) for key in each[0]}
            row = {"work": kind, "model": name, "size": size, "batch": batch, "memory": way}
            rows.append({**row, **middle})
            print(
                f"{kind} {name} {size}² batch {batch:2} {way:10} "
                f"{middle['wall_ms']:7.1f} ms a clip, "
                f"kernel {middle['kernel_ms']:6.1f} ms, peak {middle['peak_mb']:.0f} MB",
                flush=True,
            )
    if not args.smoke:
        write_result("page_faults", rows, rounds=args.rounds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

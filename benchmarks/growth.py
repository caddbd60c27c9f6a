"""How time and memory grow with the clip: 8 to 256 frames and 112² to 448², on one thread.

    python benchmarks/growth.py [--smoke]

Each row is a child process, so that its peak of memory is its own; sizes are measured in turn. The
slope is that of a straight line through log(cost) over log(T·H·W): 1 is linear. X3D
and a Video-FocalNet of about the same cost stand beside the models.
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

import numpy as np
import torch
from timing import write_result

from video_mobile_former import create_model
from video_mobile_former.memory import keep_memory_of_tensors
from video_mobile_former.profiling.cost import count_macs

FRAMES = (8, 16, 32, 64, 128, 256)
SIZES = (112, 160, 224, 320, 448)
MODELS = ("vmf_500m", "vmf_1g", "x3d_s", "video_focalnet_n16")


def child(name: str, frames: int, size: int) -> dict[str, float]:
    """One measurement, in this process: milliseconds and the peak above the weights."""
    torch.set_num_threads(1)
    keep_memory_of_tensors()
    model = create_model(name).eval()
    with torch.inference_mode():
        model(torch.randn(1, 3, 8, 64, 64))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        clip = torch.randn(1, 3, frames, size, size)
        times = []
        for _ in range(3):
            begun = time.process_time()
            model(clip)
            times.append(1000 * (time.process_time() - begun))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"ms": min(times), "mb": (after - before) / 1024}


def slope(cost: list[float], volume: list[int]) -> float:
    """Exponent of the growth."""
    return float(np.polyfit(np.log(volume), np.log(np.maximum(cost, 1e-3)), 1)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="tiny, and nothing is stored")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        name, frames, size = args.child
        print(json.dumps(child(name, int(frames), int(size))))
        return 0
    shapes = [("frames", frames, 112) for frames in FRAMES]
    shapes += [("size", 8, size) for size in SIZES]
    if args.smoke:
        shapes = [("frames", 8, 64), ("frames", 16, 64), ("size", 8, 64), ("size", 8, 96)]
    found: dict[tuple[str, str, int, int], list[dict[str, float]]] = {}
    for _ in range(1 if args.smoke else args.rounds):
        for name in args.models:
            for axis, frames, size in shapes:
                command = [sys.executable, __file__, "--child", name, str(frames), str(size)]
                own = {**os.environ, "OMP_NUM_THREADS": "1"}
                done = subprocess.run(command, env=own, stdout=subprocess.PIPE, check=True)
                found.setdefault((name, axis, frames, size), []).append(json.loads(done.stdout))
    rows: list[dict[str, Any]] = []
    for (name, axis, frames, size), each in found.items():
        macs = count_macs(create_model(name), (1, 3, frames, size, size))
        row = {"model": name, "axis": axis, "frames": frames, "size": size, "gmacs": macs / 1e9}
        row |= {key: round(min(one[key] for one in each), 2) for key in ("ms", "mb")}
        rows.append(row)
    slopes = []
    for name in args.models:
        for axis in ("frames", "size"):
            own_rows = [r for r in rows if (r["model"], r["axis"]) == (name, axis)]
            volume = [r["frames"] * r["size"] ** 2 for r in own_rows]
            line: dict[str, Any] = {"model": name, "axis": axis}
            for key in ("gmacs", "ms", "mb"):
                line[key] = round(slope([r[key] for r in own_rows], volume), 3)
            line["ms_a_gmac"] = round(statistics.median(r["ms"] / r["gmacs"] for r in own_rows), 1)
            slopes.append(line)
            print(
                f"{name:20} {axis:7} exponents: MACs {line['gmacs']:.2f}, time {line['ms']:.2f}, "
                f"memory {line['mb']:.2f}; {line['ms_a_gmac']} ms a GMAC; {own_rows[0]['ms']:.0f} "
                f"to {own_rows[-1]['ms']:.0f} ms",
                flush=True,
            )
    if not args.smoke:
        write_result("growth", rows, slopes=slopes)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

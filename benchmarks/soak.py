"""Many random clip reads over files good and broken: does a worker hang, leak or die?

    python benchmarks/soak.py ../shared/data/samples --reads 10000 --workers 4

Every file is read over and over, the broken ones too: the quarantine, which would end that after
two failures, is given a name of its own for every read. The resident memory of each worker is
noted every 100 reads; the verdict compares its median over the last tenth of the reads with that
around read 1,000. Writes a JSON file and a plot, and exits with status 1 if a worker died or grew.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from timing import write_result

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.console import track
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.limits import Limits
from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.loading.loader import ClipLoader, make_loader

SETTLED = 1000
"""Reads after which all caches are filled."""


def memory(pid: int) -> dict[str, float]:
    """Memory of a process in MiB: resident, its own share of it, and what nobody shares."""
    values: Counter[str] = Counter()
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, amount = line.split()[:2]
        values[name.rstrip(":")] = int(amount)
    return {
        "rss": values["Rss"] / 1024,
        "pss": values["Pss"] / 1024,
        "uss": (values["Private_Clean"] + values["Private_Dirty"]) / 1024,
    }


def make(files: list[Path], args: argparse.Namespace) -> ClipLoader:
    clips = [
        Clip(str(files[i % len(files)]), (0,), name=f"{files[i % len(files)].name}#{i}")
        for i in range(args.reads)
    ]
    spec = ClipSpec(
        num_frames=args.frames, crop_size=args.size, resize_size=round(args.size * 8 / 7)
    )
    index = ClipIndex(clips, ("any",), str(args.folder))
    limits = Limits(seconds=args.timeout)
    dataset = ClipDataset(index, spec, train=True, seed=args.seed, limits=limits)
    return make_loader(
        dataset, batch_size=args.batch_size, num_workers=args.workers, drop_last=False
    )


def soak(loader: ClipLoader, every: int) -> dict[str, Any]:
    """Read everything once."""
    samples: list[dict[str, Any]] = []
    failures: dict[str, Counter[str]] = {}
    done, longest = 0, 0.0
    assert loader.watch is not None
    pids: set[int] = set()
    began = last = time.monotonic()
    for batch in track(loader, description="reading", total=len(loader)):
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        for failure in batch["failures"]:
            name = failure.path.rpartition("#")[0]
            failures.setdefault(name, Counter())[failure.reason] += 1
        before, done = done, done + len(batch["indices"]) + len(batch["failures"])
        if done // every > before // every:
            # PyTorch tells the processes of its workers nowhere else.
            workers = [process.pid for process in loader._iterator._workers]  # type: ignore[union-attr]
            pids |= set(workers)
            samples.append({"reads": done, "workers": [memory(pid) for pid in workers]})
    return {
        "reads": done,
        "seconds": round(time.monotonic() - began, 1),
        "longest_wait_seconds": round(longest, 2),
        "worker_processes": len(pids),
        "reads_by_worker": [slot.reads + slot.failures for slot in loader.watch.slots],
        "noted_at_reads": [sample["reads"] for sample in samples],
        "failures": {name: dict(reasons) for name, reasons in sorted(failures.items())},
        "memory_mb": samples,
    }


def verdict(samples: list[dict[str, Any]], total: int) -> list[dict[str, float]]:
    """By how much each worker's resident memory changed between read 1,000 and the last."""
    width = max(total // 10, 1)
    out = []
    for worker in range(len(samples[0]["workers"])):
        rss = [(sample["reads"], sample["workers"][worker]["rss"]) for sample in samples]
        start = statistics.median(m for n, m in rss if SETTLED <= n <= SETTLED + width)
        end = statistics.median(m for n, m in rss if n > total - width)
        later = [m for n, m in rss if n >= SETTLED]
        out.append(
            {
                "start_mb": round(start, 1),
                "end_mb": round(end, 1),
                "growth": round(end / start - 1, 4),
                "lowest": round(min(later) / start - 1, 4),
                "highest": round(max(later) / start - 1, 4),
            }
        )
    return out


_IN_ROWS = ("memory_mb", "verdict")


def rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """For each worker its verdict and its memory at every note."""
    out = []
    for worker, found in enumerate(result["verdict"]):
        notes = [sample["workers"][worker] for sample in result["memory_mb"]]
        series = {f"{kind}_mb": [round(note[kind]) for note in notes] for kind in notes[0]}
        out.append({"worker": worker + 1, **found, **series})
    return out


def plot(result: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
    reads = [sample["reads"] for sample in result["memory_mb"]]
    for worker in range(len(result["verdict"])):
        for kind, style in (("rss", "-"), ("uss", ":")):
            values = [sample["workers"][worker][kind] for sample in result["memory_mb"]]
            axes.plot(
                reads,
                values,
                style,
                color=f"C{worker}",
                linewidth=1.2,
                label=f"worker {worker + 1}" if kind == "rss" else None,
            )
    axes.axvline(SETTLED, color="0.6", linewidth=0.8)
    axes.set(
        xlabel="clips read by all workers",
        ylabel="memory of each worker, MiB",
        ylim=(0, None),
        title="resident (lines) and not shared with others (dotted)",
    )
    axes.set_title(axes.get_title(), size=10)
    axes.legend(loc="center right", ncols=2, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reads", type=int, default=10000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--plot", type=Path, help="where to write the plot (PNG)")
    args = parser.parse_args()
    files = sorted(path for path in args.folder.rglob("*") if path.is_file())
    result = soak(make(files, args), args.every)
    result["verdict"] = verdict(result["memory_mb"], args.reads)
    write_result("soak", rows(result), **{k: v for k, v in result.items() if k not in _IN_ROWS})
    if args.plot is not None:
        plot(result, args.plot)
    for worker in result["verdict"]:
        print(worker)
    print({key: result[key] for key in ("reads", "seconds", "longest_wait_seconds", "failures")})
    grew = any(worker["growth"] > 0.05 for worker in result["verdict"])
    return int(grew or result["worker_processes"] > args.workers)


if __name__ == "__main__":
    os.nice(10)
    sys.exit(main())

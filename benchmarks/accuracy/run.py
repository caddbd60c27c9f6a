"""Accuracy of the family against its baselines and with parts left out: same data, epochs, changes.

    python benchmarks/accuracy/run.py compare --data procedural ../shared/data/surv_fight2/clips.csv
    python benchmarks/accuracy/run.py ablate --data procedural --seeds 0 1 2
    python benchmarks/accuracy/summary.py

Every run trains from scratch on one thread and its result is kept as it ends, in
``benchmarks/accuracy/results/*.jsonl``; what is there is not run again, so the command can be
stopped and started, and several may run beside each other. ``--list`` shows the runs and what each
costs. Runs go seed by seed, so that a stop leaves whole comparisons.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import record
import torch
from clip_sets import Task, procedural_task, real_task
from learning import schedule_of, train
from networks import BUDGETS, Entry, ablations

from video_mobile_former.console import say
from video_mobile_former.procedural import GENERATOR

ONE_SIDED = ("tennis_strokes7",)
"""Sets in which left and right tell classes apart."""


def main() -> None:
    args = parse()
    if args.device == "cpu":
        torch.set_num_threads(1)
    chosen = [entry for entry in entries(args) if wanted(entry, args.rows)]
    if not chosen:
        sys.exit(f"no row fits {args.rows}; known: {', '.join(e.row for e in entries(args))}")
    path = record.RESULTS / f"{args.kind}-{args.size}.jsonl"
    done = {record.key_of(run) for run in record.read(path)}
    tasks: dict[str, Task] = {}
    began, longest = time.monotonic(), 0.0
    for seed in args.seeds:
        for data in args.data:
            for entry in chosen:
                about = describe(entry, data, seed, args)
                if record.key_of(about) in done:
                    continue
                if args.list:
                    print(f"{about['data']:22}{entry.row:28}seed {seed}")
                    continue
                if args.minutes and (time.monotonic() - began) / 60 + longest > args.minutes:
                    say(f"{args.minutes:g} minutes are over; the same command goes on")
                    return
                if data not in tasks:
                    tasks[data] = load(data, args)
                start = time.monotonic()
                run_one(path, entry, tasks[data], about, args)
                longest = max(longest, (time.monotonic() - start) / 60)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=("compare", "ablate"))
    parser.add_argument(
        "--data",
        nargs="+",
        default=["procedural"],
        help="'procedural', 'procedural:FAMILY,FAMILY', or CSV files with train and test splits",
    )
    parser.add_argument("--size", type=int, choices=tuple(BUDGETS), default=64)
    parser.add_argument("--budgets", nargs="+", choices=("0.5g", "1g", "2g"), default=["1g"])
    parser.add_argument("--rows", nargs="+", help="only rows that begin with one of these texts")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20, help="on real clips (default: 20)")
    parser.add_argument("--procedural_epochs", type=int, default=6)
    parser.add_argument("--train_clips", type=int, default=2048, help="procedural ones")
    parser.add_argument("--test_clips", type=int, default=768, help="procedural ones")
    parser.add_argument("--lr", type=float, help="in place of the rates of schedule_of, for all")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/accuracy"), help="folder for procedural clips"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, help="begin no run that would end later")
    parser.add_argument("--list", action="store_true", help="show what is left to run")
    return parser.parse_args()


def entries(args: argparse.Namespace) -> list[Entry]:
    if args.kind == "ablate":
        return list(ablations(args.size))
    return [entry for budget in args.budgets for entry in BUDGETS[args.size][budget]]


def wanted(entry: Entry, rows: list[str] | None) -> bool:
    return rows is None or any(entry.row.startswith(text) for text in rows)


def describe(entry: Entry, data: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """What a run is, before it has a result."""
    procedural = data.startswith("procedural")
    return {
        "row": entry.row,
        "data": data.replace(":", "-").replace(",", "-") if procedural else Path(data).parent.name,
        "seed": seed,
        "epochs": args.procedural_epochs if procedural else args.epochs,
        "clips": args.train_clips if procedural else None,
        "test_clips": args.test_clips if procedural else None,
        "generator": GENERATOR if procedural else None,
        "lr": args.lr,
        "model": entry.model,
        "options": entry.options,
        "num_frames": entry.num_frames,
        "size": entry.size,
        "device": args.device,
    }


def load(data: str, args: argparse.Namespace) -> Task:
    if data.startswith("procedural"):
        names = data.partition(":")[2]
        families = tuple(names.split(",")) if names else ()
        return procedural_task(
            args.size,
            args.work,
            families=families,
            num_train=args.train_clips,
            num_test=args.test_clips,
        )
    path = Path(data)
    return real_task(path, args.size, flips=path.parent.name not in ONE_SIDED)


def run_one(
    path: Path, entry: Entry, task: Task, about: dict[str, Any], args: argparse.Namespace
) -> None:
    cost = entry.cost(len(task.class_names))
    schedule = schedule_of(task, about["epochs"], args.lr)
    found = train(entry, task, schedule, about["seed"], args.device)
    record.add(path, {**about, **cost, "views": 1, "test_clips": len(task.test), **found})
    say(
        f"{task.name} · {entry.row} · seed {about['seed']}: top-1 {found['top1']:.1%}, "
        f"{found['minutes']:.1f} min of training, {cost['macs_per_view'] / 1e6:.0f} M MACs × 1 view"
    )


if __name__ == "__main__":
    main()

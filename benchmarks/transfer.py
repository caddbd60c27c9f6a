"""What weights learned from procedural clips are worth on small real sets.

    python benchmarks/transfer.py DATA.csv [DATA.csv …] --start RUN/best --work runs/transfer

For each set, seed and number of clips a class: fine-tune from the weights and train from scratch,
with the same recipe and equal epochs (``--scratch_epochs`` also for so many from scratch, such as
the time of both together allows), take the checkpoint with the best validation accuracy and measure
it on ``--split``. On features of the network as it starts: a linear probe and the nearest
neighbour. ``--start procedural`` takes the weights of the package. Finished rows are kept and
unfinished runs resume: the command can be stopped and started again.

``--tuned train.freeze_epochs=10 …`` are recipe fields of fine-tuning alone. ``--split val`` is for
choosing, and so is ``halves``, which measures on all of train and val, each half after learning
from the other; look at ``test`` once, at the end.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from timing import write_result
from transfer_parts import FULL, features, few, linear_probe, nearest, pairs, write_list

from video_mobile_former import create_model
from video_mobile_former.console import say
from video_mobile_former.data.index.index import load_index
from video_mobile_former.evaluation import evaluate
from video_mobile_former.files import write_json
from video_mobile_former.models.registry import load_checkpoint
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.read import recipe_from_dict


def start_values(start: str, model: str) -> dict[str, Any]:
    """The recipe's ``model`` for a kind of start."""
    if start == "scratch":
        return {"name": model}
    if Path(start).exists():
        return {"name": start}
    return {"name": model, "weights": start}


def tuned(
    data: Path, start: str, clips: int, seed: int, epochs: int, args: argparse.Namespace
) -> dict[str, Any]:
    """Train and measure; a row that is there already is read."""
    kind = "scratch" if start == "scratch" else "procedural"
    name = f"{data.parent.name}-{kind}-{clips or 'all'}-{seed}-{epochs}"
    stored = args.work / name / f"{args.split}.json"
    if stored.exists():
        return json.loads(stored.read_text())
    index, right, total, minutes, cost = load_index(data), 0.0, 0, 0.0, {}
    for i, (train, test) in enumerate(pairs(index, args.split)):
        halves = args.split == "halves"
        out = args.work / name / f"half{i}" if halves else args.work / name
        val = test if halves else index.split("val")
        listing = write_list(
            train, clips, seed, val, args.work / "lists" / f"{out.name}-{name}.tsv"
        )
        result = fit(recipe_from_dict(recipe_of(data, listing, start, seed, epochs, out, args)))
        # Halves have nothing to choose a checkpoint by: the last one counts.
        trained = load_checkpoint(result.last if halves else result.best or result.last)
        if halves:  # in the list its clips are not called those of training
            test = load_index(listing).split("val")
        found = evaluate(trained, test, num_workers=1, model_name=name).to_dict()
        number = found["metrics"]["num_clips"]
        right, total = right + number * found["metrics"]["top1"], total + number
        minutes, cost = minutes + result.seconds / 60, found["cost"]
    row = {
        "data": data.parent.name,
        "method": f"{kind}, {epochs} epochs",
        "clips_per_class": clips or "all",
        "seed": seed,
        "split": args.split,
        "top1": right / total,
        "clips": total,
        "macs_per_view": cost["macs_per_view"],
        "total_macs": cost["total_macs"],
        "training_minutes": round(minutes, 2),
    }
    write_json(stored, row)
    return row


def recipe_of(
    data: Path,
    listing: Path,
    start: str,
    seed: int,
    epochs: int,
    out: Path,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """The recipe of one training."""
    values: dict[str, Any] = {
        "out": str(out),
        "seed": seed,
        "model": start_values(start, args.model),
        "data": {"path": str(listing), "num_workers": 1},
        "clip": {
            "num_frames": args.frames,
            "crop_size": args.size,
            "resize_size": round(args.size * 8 / 7),
        },
        "augment": {"horizontal_flip": data.parent.name not in args.no_flip},
        "optim": {"lr": args.lr, "warmup_epochs": min(3.0, epochs / 4)},
        "train": {"epochs": epochs},
    }
    for field in args.tuned if start != "scratch" else []:
        key, _, value = field.partition("=")
        section, _, name = key.partition(".")
        values.setdefault(section, {})[name] = yaml.safe_load(value)
    return values


def frozen(data: Path, start: str, seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Probe and nearest neighbour, for each number of clips, on features of the start."""
    kind = "scratch" if start == "scratch" else "procedural"
    stored = args.work / f"{data.parent.name}-frozen-{kind}-{seed}-{args.split}.json"
    known: list[dict[str, Any]] = json.loads(stored.read_text()) if stored.exists() else []
    there = {row["clips_per_class"] for row in known}
    missing = [clips for clips in args.clips if (clips or "all") not in there]
    asked = [clips or "all" for clips in args.clips]
    if not missing:
        return [row for row in known if row["clips_per_class"] in asked]
    size = {"num_frames": args.frames, "crop_size": args.size}
    torch.manual_seed(seed)
    if Path(start).exists():
        model = load_checkpoint(start)
        model.clip = type(model.clip)(**size, resize_size=round(args.size * 8 / 7))
    else:
        model = create_model(args.model, weights=None if kind == "scratch" else start, **size)
    sides = [
        (train, *features(model.eval(), train), *features(model, test))
        for train, test in pairs(load_index(data), args.split)
    ]
    for clips in missing:
        for method, answer in (("linear probe", linear_probe), ("nearest neighbour", nearest)):
            right = []
            for train, x, y, test, truth in sides:
                chosen = torch.from_numpy(few(train, clips, seed))
                right.append((answer(x[chosen], y[chosen], test) == truth).float())
            known.append(
                {
                    "data": data.parent.name,
                    "method": f"{kind}, {method}",
                    "clips_per_class": clips or "all",
                    "seed": seed,
                    "split": args.split,
                    "top1": torch.cat(right).mean().item(),
                    "clips": len(torch.cat(right)),
                }
            )
    args.work.mkdir(parents=True, exist_ok=True)
    write_json(stored, known)
    return [row for row in known if row["clips_per_class"] in asked]


def check_settings(args: argparse.Namespace) -> None:
    """Refuse a folder of rows that were made with other settings.

    Raises:
        SystemExit: It names what differs.
    """
    mine = {
        name: getattr(args, name) for name in ("start", "model", "lr", "frames", "size", "tuned")
    }
    path = args.work / "settings.json"
    if path.exists():
        theirs = json.loads(path.read_text())
        other = [f"{name} {theirs.get(name)!r}" for name in mine if mine[name] != theirs.get(name)]
        if other:
            raise SystemExit(f"{args.work} holds rows of {', '.join(other)}; take another --work")
    args.work.mkdir(parents=True, exist_ok=True)
    write_json(path, mine)


def summarise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds, for every set, method and number of clips."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        key = (row["data"], row["clips_per_class"], row["method"])
        groups.setdefault(key, []).append(row["top1"])
    return [
        {
            "data": data,
            "clips_per_class": clips,
            "method": method,
            "mean_top1": statistics.mean(top1),
            "sd": statistics.stdev(top1) if len(top1) > 1 else None,
            "seeds": len(top1),
        }
        for (data, clips, method), top1 in groups.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path, help="CSV files with train/val/test splits")
    parser.add_argument("--start", default="procedural", help="checkpoint folder, or procedural")
    parser.add_argument("--model", default="vmf_500m", help="the network of --start")
    parser.add_argument("--work", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--split", choices=("val", "halves", "test"), default="val")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--clips", nargs="+", type=int, default=[FULL, 5, 10, 20], help="a class; 0 = all"
    )
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument(
        "--scratch_epochs", type=int, default=0, help="also train from scratch for so many"
    )
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument(
        "--tuned", nargs="*", default=[], metavar="FIELD=VALUE", help="recipe of fine-tuning alone"
    )
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--frozen_only", action="store_true", help="no training, features alone")
    parser.add_argument("--no_flip", nargs="*", default=["tennis_strokes7"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    check_settings(args)
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        for data in args.data:
            for start in (args.start, "scratch"):
                rows += frozen(data, start, seed, args)
            for clips in [] if args.frozen_only else args.clips:
                plans = [(args.start, args.epochs), ("scratch", args.epochs)]
                if args.scratch_epochs:
                    plans.append(("scratch", args.scratch_epochs))
                for start, epochs in plans:
                    rows.append(tuned(data, start, clips, seed, epochs, args))
                    say(f"{len(rows)} rows: {rows[-1]}")
    summary = summarise(rows)
    for line in summary:
        spread = "–" if line["sd"] is None else f"{line['sd']:.3f}"
        print(
            f"{line['data']:18}{line['clips_per_class']!s:>5} a class  {line['method']:30}"
            f"{line['mean_top1']:7.3f} ± {spread}  ({line['seeds']} seeds)"
        )
    about = f"{args.model}-{args.split}"
    facts = {"summary": summary, "split": args.split, "epochs": args.epochs, "views": 1}
    write_result("transfer", rows, about=about, **facts)


if __name__ == "__main__":
    sys.exit(main())

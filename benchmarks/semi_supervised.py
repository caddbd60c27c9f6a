"""What clips without labels are worth: plain training against SVFormer and its parts.

    python benchmarks/semi_supervised.py ucf101_8/clips.csv --clips 10 --seeds 0 1 2
    python benchmarks/semi_supervised.py --procedural 40 --clips 4 --weights none

Of the training clips so many of each class keep their label; all the others of the training split
are the clips without. ``plain_long`` is plain training with as many more epochs as make its time
that of the others. Measured on the validation split, or with ``--split test`` on the test split,
with one view. Rows that are there already are read, so an interrupted call goes on. With
``--procedural`` the data are clips of twelve motions that are generated first, so many of each to
learn from; every scene shows all of the motions, so that looks tell nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import torch
from timing import write_result
from transfer import summarise
from transfer_parts import few

from video_mobile_former.console import say
from video_mobile_former.data.index.index import ClipIndex, load_index
from video_mobile_former.evaluation import evaluate
from video_mobile_former.files import write_json
from video_mobile_former.models import load_checkpoint
from video_mobile_former.procedural import ProceduralSpec, write_procedural
from video_mobile_former.procedural.families import TABLE
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.read import recipe_from_dict

MOTIONS = (*TABLE["motion"], "circle_clockwise", "circle_anticlockwise")
LONGER = 3.5
"""A step of SVFormer sees three clips for one and runs the teacher on a fourth."""
PLANS: dict[str, dict[str, Any] | None] = {
    "plain": None,
    "plain_long": None,
    "both": {},
    "unlabelled": {"mixed_weight": 0.0},
    "mixed": {"unlabelled_weight": 0.0},
    "both_no_warp": {"warp": False},
    "both_adaptive": {"threshold": None},
}
"""Fields of ``semi`` by plan; None is plain training."""


def row_of(data: Path, plan: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train and measure; a row that is there already is read."""
    name = f"{data.parent.name}-{plan}-{args.clips}-{seed}"
    stored = args.work / f"{name}-{args.split}.json"
    if stored.exists():
        return json.loads(stored.read_text())
    index = load_index(data)
    train, measured_on = index.split("train"), index.split(args.split)
    listing = args.work / f"{data.parent.name}-{args.clips}-{seed}.csv"
    kept = set(few(train, args.clips, seed).tolist())
    write_list(train, kept, listing)
    semi = PLANS[plan]
    epochs = round(args.epochs * (LONGER if plan == "plain_long" else 1))
    recipe: dict[str, Any] = {
        "out": str(args.work / name),
        "seed": seed,
        "model": {
            "name": args.model,
            "weights": None if args.weights == "none" else args.weights,
        },
        "data": {"num_workers": 1, "val_split": "none", "val_fraction": 0},
        "clip": {"num_frames": args.frames, "crop_size": args.size},
        "optim": {"warmup_epochs": 2.0},
        "train": {"epochs": epochs, "ema_decay": 0.99, "device": "cpu", "page": False},
    }
    recipe["data"]["path"] = str(listing)
    if args.procedural is not None:
        recipe["augment"] = {"horizontal_flip": False}  # left and right are classes
    if semi is None:
        labelled = listing.with_suffix(".labelled.csv")
        write_list(train, kept, labelled, others=False)
        recipe["data"]["path"] = str(labelled)
    else:
        recipe |= {"pretrain": {"task": "svformer"}, "semi": {"tube": 16, **semi}}
    result = fit(recipe_from_dict(recipe))
    trained = load_checkpoint(result.last)
    found = evaluate(trained, measured_on, num_workers=1, model_name=name).to_dict()
    row = {"data": data.parent.name, "method": plan, "seed": seed, "split": args.split}
    row |= {
        "clips_per_class": args.clips,
        "unlabelled": 0 if semi is None else len(train) - len(kept),
    }
    row |= {"top1": found["metrics"]["top1"], "minutes": round(result.seconds / 60, 2)}
    write_json(stored, row)
    return row


def write_list(train: ClipIndex, kept: set[int], path: Path, *, others: bool = True) -> None:
    """A list in which the clips that are not kept have no label, or are absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for number, clip in enumerate(train.clips):
            if number in kept:
                writer.writerow([clip.path, train.class_names[clip.label], "train"])
            elif others:
                writer.writerow([clip.path, "", "train"])


def procedural(args: argparse.Namespace) -> Path:
    """Generate the clips of ``MOTIONS``, or find them there; gives their list."""
    spec = ProceduralSpec(
        families=("motion", "periodic"),
        classes=MOTIONS,
        size=args.size,
        num_frames=args.frames,
    )
    folder = args.work / f"motions_{args.procedural}x{args.frames}x{args.size}"
    return write_procedural(folder, spec, {"train": args.procedural, "val": 20, "test": 20})


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="*", type=Path, help="CSV files with train/val/test splits")
    parser.add_argument("--procedural", type=int, help="generated clips of each motion, as data")
    parser.add_argument("--smoke", action="store_true", help="a minute; nothing is written")
    parser.add_argument("--model", default="vmf_500m")
    parser.add_argument("--weights", default="procedural", help="none: random numbers")
    parser.add_argument("--plans", nargs="+", choices=PLANS, default=list(PLANS))
    parser.add_argument("--work", type=Path, default=Path("runs/semi_supervised"))
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--clips", type=int, default=10, help="labelled ones of each class")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.smoke:
        args.seeds, args.plans, args.epochs = [0], ["plain", "both"], 1
        args.procedural, args.clips, args.frames, args.size = 4, 2, 4, 32
        args.work = args.work / "smoke"
    args.work.mkdir(parents=True, exist_ok=True)
    if args.procedural is not None:
        args.data.append(procedural(args))
    if not args.data:
        parser.error("name CSV files, or --procedural 40")
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        for data in args.data:
            for plan in args.plans:
                rows.append(row_of(data, plan, seed, args))
                say(f"{len(rows)} rows: {rows[-1]}")
    summary = summarise(rows)
    for line in summary:
        spread = "–" if line["sd"] is None else f"{line['sd']:.3f}"
        print(f"{line['data']:18}{line['method']:16}{line['mean_top1']:7.3f} ± {spread}")
    if args.smoke:
        return 0
    facts = {"summary": summary, "epochs": args.epochs, "frames": args.frames, "size": args.size}
    kind = "" if args.procedural is None else "motions-"
    about = f"{kind}{args.model}-{args.split}"
    write_result("semi_supervised", rows, about=about, **facts, views=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Ways to fine-tune a pre-trained network on few labels, measured on clips that train none of it.

    python benchmarks/few_labels.py DATA.csv --clips 10 --seeds 0 1 2 --work runs/few_labels

Every plan trains on so many clips a class and is measured after its last epoch, so that no clips
for validation are needed; ``frozen`` is a linear layer on the features of the start. Finished rows
are kept and unfinished runs resume. ``--split val`` is for choosing; look at ``test`` once.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from pathlib import Path
from typing import Any

import torch
from timing import write_result
from torch import Tensor
from transfer import summarise
from transfer_parts import features, few, linear_probe, write_list

from video_mobile_former import create_model
from video_mobile_former.console import say
from video_mobile_former.data.index.index import load_index
from video_mobile_former.evaluation import evaluate
from video_mobile_former.files import write_json
from video_mobile_former.models.registry import load_checkpoint
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.read import recipe_from_dict

PLANS: dict[str, dict[str, dict[str, Any]]] = {
    "frozen": {},
    "plain": {"optim": {"lr": 1e-3}},
    "plain_low": {"optim": {"lr": 3e-4}},
    "frozen_norms": {"optim": {"lr": 1e-3}, "train": {"freeze_norms": True}},
    "head_first": {"optim": {"lr": 1e-3}, "train": {"freeze_epochs": 0.3}},
    "head_first_low": {"optim": {"lr": 3e-4}, "train": {"freeze_epochs": 0.3}},
    "layer_decay": {"optim": {"lr": 1e-3, "layer_decay": 0.8}},
    "lp_ft": {
        "optim": {"lr": 1e-3, "layer_decay": 0.9},
        "train": {"freeze_epochs": 0.3, "freeze_norms": True},
    },
    "plain_no_tokens": {"optim": {"lr": 1e-3}, "model": {"num_tokens": 0}},
    "layer_decay_no_tokens": {
        "optim": {"lr": 1e-3, "layer_decay": 0.8},
        "model": {"num_tokens": 0},
    },
}
"""Recipe fields by plan; ``freeze_epochs`` as a share of the epochs."""


def row_of(data: Path, plan: str, clips: int, seed: int, args: argparse.Namespace) -> Any:
    """Train and measure; a row that is there already is read."""
    source = data.name if data.is_dir() else data.parent.name
    name = f"{source}-{plan}-{clips or 'all'}-{seed}"
    stored = args.work / f"{name}-{args.split}.json"
    if stored.exists():
        return json.loads(stored.read_text())
    index = load_index(data)
    train, test = index.split("train"), index.split(args.split)
    row: dict[str, Any] = {"data": source, "method": plan, "seed": seed}
    row |= {"clips_per_class": clips or "all", "split": args.split, "clips": len(test)}
    if plan == "frozen":
        start = (args.model, args.weights, args.frames, args.size)
        x, y = start_features(data, "train", *start)
        chosen = torch.from_numpy(few(train, clips, seed))
        found, truth = start_features(data, args.split, *start)
        row["top1"] = (linear_probe(x[chosen], y[chosen], found) == truth).float().mean().item()
    else:
        listing = write_list(train, clips, seed, test, args.work / "lists" / f"{name}.tsv")
        recipe = recipe_of(plan, listing, seed, args.work / name, args)
        result = fit(recipe_from_dict(recipe))
        trained = load_checkpoint(result.last)
        measured = evaluate(trained, test, num_workers=1, model_name=name).to_dict()
        row |= {"top1": measured["metrics"]["top1"], "minutes": round(result.seconds / 60, 2)}
        row["macs_per_view"] = measured["cost"]["macs_per_view"]
    write_json(stored, row)
    return row


@functools.cache
def start_features(
    data: Path, split: str, name: str, weights: str, frames: int, size: int
) -> tuple[Tensor, Tensor]:
    """What the head of the start sees of a split, with its labels; the same for every seed."""
    model = create_model(name, weights=weights, num_frames=frames, crop_size=size).eval()
    return features(model, load_index(data).split(split))


def recipe_of(
    plan: str, listing: Path, seed: int, out: Path, args: argparse.Namespace
) -> dict[str, Any]:
    """The recipe of a plan: no validation, the last checkpoint counts."""
    fields = PLANS[plan]
    train = {"epochs": args.epochs, **fields.get("train", {})}
    if "freeze_epochs" in train:
        train["freeze_epochs"] = round(train["freeze_epochs"] * args.epochs)
    return {
        "out": str(out),
        "seed": seed,
        "model": {"name": args.model, "weights": args.weights, **fields.get("model", {})},
        "data": {"path": str(listing), "num_workers": 1, "val_split": "none", "val_fraction": 0},
        "clip": {
            "num_frames": args.frames,
            "crop_size": args.size,
            "resize_size": round(args.size * 8 / 7),
        },
        "optim": {"warmup_epochs": 2.0, **fields.get("optim", {})},
        "train": train,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "data", nargs="+", type=Path, help="CSV files or prepared folders with splits"
    )
    parser.add_argument("--model", default="vmf_lite0")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--plans", nargs="+", choices=PLANS, default=list(PLANS))
    parser.add_argument("--work", type=Path, default=Path("runs/few_labels"))
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--clips", nargs="+", type=int, default=[10], help="a class; 0 = all")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        for data in args.data:
            for clips in args.clips:
                for plan in args.plans:
                    rows.append(row_of(data, plan, clips, seed, args))
                    say(f"{len(rows)} rows: {rows[-1]}")
    summary = summarise(rows)
    for line in summary:
        spread = "–" if line["sd"] is None else f"{line['sd']:.3f}"
        print(
            f"{line['data']:18}{line['clips_per_class']!s:>5} a class  {line['method']:30}"
            f"{line['mean_top1']:7.3f} ± {spread}  ({line['seeds']} seeds)"
        )
    facts = {"summary": summary, "epochs": args.epochs, "views": 1}
    facts |= {"frames": args.frames, "size": args.size, "weights": args.weights}
    write_result("few_labels", rows, about=f"{args.model}-{args.split}-{args.size}", **facts)


if __name__ == "__main__":
    sys.exit(main())

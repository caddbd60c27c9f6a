"""What weights learned from drawn clips are worth on small real sets.

    python benchmarks/transfer.py DATA.csv [DATA.csv …] --start RUN/best --work runs/transfer

For each set, seed and number of clips a class: fine-tune from the weights and train from scratch,
with the same recipe and equal epochs (``--scratch_epochs`` also for so many from scratch, such as
the time of both together allows), take the checkpoint with the best validation accuracy and measure
it on ``--split``. On features of the network as it starts: a linear probe and the nearest
neighbour. ``--start procedural`` takes the weights of the package. Finished rows are kept and
unfinished runs resume: the command can be stopped and started again.

``--tuned train.freeze_epochs=10 …`` are recipe fields of fine-tuning alone. ``--split val`` is for
choosing; look at ``test`` once, at the end.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from timing import write_result
from torch import Tensor

from video_mobile_former import create_model, load_checkpoint
from video_mobile_former.console import say
from video_mobile_former.data.dataset import ClipDataset
from video_mobile_former.data.index import ClipIndex, load_index
from video_mobile_former.data.loader import make_loader
from video_mobile_former.data.transforms import normalize
from video_mobile_former.evaluation import evaluate
from video_mobile_former.files import write_json
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe import recipe_from_dict

FULL = 0


def few(index: ClipIndex, clips: int, seed: int) -> np.ndarray:
    """Positions of so many clips of each class, fewer where it has no more; ``FULL`` takes all."""
    labels = index.table.label
    if clips == FULL:
        return np.arange(len(labels))
    rng = np.random.default_rng([seed, clips])
    found = [rng.permutation(np.flatnonzero(labels == c))[:clips] for c in np.unique(labels)]
    return np.sort(np.concatenate(found))


def write_list(data: Path, clips: int, seed: int, path: Path) -> Path:
    """A CSV of the chosen training clips and all others of ``data``."""
    index = load_index(data)
    train = index.split("train")
    kept = train.table.take(few(train, clips, seed))
    lines = ["path\tlabel\tsplit"]
    for part, table in (("train", kept), ("val", index.split("val").table)):
        lines += [f"{clip.path}\t{index.class_names[clip.label]}\t{part}" for clip in table]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def start_values(start: str) -> dict[str, Any]:
    """The recipe's ``model`` for a kind of start."""
    if start == "scratch":
        return {"name": "vmf_500m"}
    if Path(start).exists():
        return {"name": start}
    return {"name": "vmf_500m", "weights": start}


def tuned(
    data: Path, start: str, clips: int, seed: int, epochs: int, args: argparse.Namespace
) -> dict[str, Any]:
    """Train once and measure; a row that is there already is read."""
    kind = "scratch" if start == "scratch" else "procedural"
    name = f"{data.parent.name}-{kind}-{clips or 'all'}-{seed}-{epochs}"
    out = args.work / name
    stored = out / f"{args.split}.json"
    if stored.exists():
        return json.loads(stored.read_text())
    values = {
        "out": str(out),
        "seed": seed,
        "model": {**start_values(start), **({"name": args.model} if start == "scratch" else {})},
        "data": {
            "path": str(write_list(data, clips, seed, args.work / "lists" / f"{name}.tsv")),
            "num_workers": 1,
        },
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
        values[section][name] = yaml.safe_load(value)
    result = fit(recipe_from_dict(values))
    checkpoint = result.best or result.last
    trained = load_checkpoint(checkpoint)
    index = load_index(data, class_names=trained.class_names)
    outcome = evaluate(trained, index, split=args.split, num_workers=1, model_name=name).to_dict()
    row = {
        "data": data.parent.name,
        "method": f"{kind}, {epochs} epochs",
        "clips_per_class": clips or "all",
        "seed": seed,
        "split": args.split,
        "top1": outcome["metrics"]["top1"],
        "clips": outcome["metrics"]["num_clips"],
        "macs_per_view": outcome["cost"]["macs_per_view"],
        "total_macs": outcome["cost"]["total_macs"],
        "training_minutes": round(result.seconds / 60, 2),
    }
    write_json(stored, row)
    return row


@torch.no_grad()
def features(model: Any, index: ClipIndex) -> tuple[Tensor, Tensor]:
    """What the classifier sees of one centred view of each clip, (N, C), and the labels (N,)."""
    kept: list[Tensor] = []
    handle = model.classifier.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    labels: list[Tensor] = []
    loader = make_loader(ClipDataset(index, model.clip, train=False), batch_size=8, num_workers=1)
    for batch in loader:
        if len(batch["labels"]):
            model(normalize(batch["clips"][:, 0], model.clip))
            labels.append(batch["labels"])
    handle.remove()
    return torch.cat(kept).float(), torch.cat(labels)


def linear_probe(x: Tensor, y: Tensor, test: Tensor, decay: float = 1e-2) -> Tensor:
    """Classes (M,) by a logistic regression on standardised features, fitted by LBFGS."""
    mean, std = x.mean(0), x.std(0).clamp_min(1e-6)
    x, test = (x - mean) / std / x.shape[1] ** 0.5, (test - mean) / std / x.shape[1] ** 0.5
    layer = torch.nn.Linear(x.shape[1], int(y.max()) + 1)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(x), y) + decay * layer.weight.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)  # pyright: ignore[reportArgumentType] - a Tensor is what it takes
    return layer(test).argmax(1)


def nearest(x: Tensor, y: Tensor, test: Tensor) -> Tensor:
    """Classes (M,) of the nearest neighbours by the cosine of standardised features."""
    mean, std = x.mean(0), x.std(0).clamp_min(1e-6)
    x, test = (F.normalize((v - mean) / std, dim=1) for v in (x, test))
    return y[(test @ x.T).argmax(1)]


def frozen(data: Path, start: str, seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Probe and nearest neighbour, for each number of clips, on features of the start."""
    kind = "scratch" if start == "scratch" else "procedural"
    stored = args.work / f"{data.parent.name}-frozen-{kind}-{seed}-{args.split}.json"
    if stored.exists():
        return json.loads(stored.read_text())
    size = {"num_frames": args.frames, "crop_size": args.size}
    torch.manual_seed(seed)
    if Path(start).exists():
        model = load_checkpoint(start)
        model.clip = type(model.clip)(**size, resize_size=round(args.size * 8 / 7))
    else:
        model = create_model(args.model, weights=None if kind == "scratch" else start, **size)
    index = load_index(data)
    train = index.split("train")
    x, y = features(model.eval(), train)
    test, truth = features(model, index.split(args.split))
    rows = []
    for clips in args.clips:
        chosen = torch.from_numpy(few(train, clips, seed))
        for method, answer in (("linear probe", linear_probe), ("nearest neighbour", nearest)):
            right = (answer(x[chosen], y[chosen], test) == truth).float().mean().item()
            rows.append(
                {
                    "data": data.parent.name,
                    "method": f"{kind}, {method}",
                    "clips_per_class": clips or "all",
                    "seed": seed,
                    "split": args.split,
                    "top1": right,
                    "clips": len(truth),
                }
            )
    args.work.mkdir(parents=True, exist_ok=True)
    write_json(stored, rows)
    return rows


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
            "sd": statistics.stdev(top1) if len(top1) > 1 else 0.0,
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
    parser.add_argument("--split", choices=("val", "test"), default="val")
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
        print(
            f"{line['data']:18}{line['clips_per_class']!s:>5} a class  {line['method']:30}"
            f"{line['mean_top1']:7.3f} ± {line['sd']:.3f}  ({line['seeds']} seeds)"
        )
    write_result("transfer", rows, summary=summary, split=args.split, epochs=args.epochs, views=1)


if __name__ == "__main__":
    sys.exit(main())

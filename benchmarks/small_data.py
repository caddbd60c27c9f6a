"""Video Mobile-Former against the light 3-D CNN alone on small real sets, from scratch.

    python benchmarks/small_data.py DATA.csv [DATA.csv …] --work runs/small_data

For each set, model and seed: train with the same recipe, take the checkpoint with the best
validation accuracy, measure it once on the test split. Runs that are finished are not repeated,
unfinished ones resume, so the command can be stopped and started again. ``num_tokens=0`` is the
light CNN: the same convolutions without tokens, bridges and dynamic ReLU.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from timing import write_result

from video_mobile_former.data.index.index import load_index
from video_mobile_former.evaluation import evaluate
from video_mobile_former.models.registry import load_checkpoint
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.read import recipe_from_dict

MODELS: dict[str, dict[str, Any]] = {
    "vmf_500m": {"name": "vmf_500m"},
    "light CNN (num_tokens=0)": {"name": "vmf_500m", "num_tokens": 0},
}


def run(data: Path, model: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    slug = "vmf" if "CNN" not in model else "cnn"
    out = args.work / f"{data.parent.name}-{slug}-{seed}"
    values = {
        "out": str(out),
        "seed": seed,
        "model": MODELS[model],
        "data": {"path": str(data), "num_workers": 1},
        "clip": {
            "num_frames": args.frames,
            "crop_size": args.size,
            "resize_size": round(args.size * 8 / 7),
        },
        "augment": {"horizontal_flip": data.parent.name not in args.no_flip},
        "train": {"epochs": args.epochs},
    }
    result = fit(recipe_from_dict(values))
    checkpoint = result.best or result.last
    stored = out / "test.json"
    if not stored.exists():
        trained = load_checkpoint(checkpoint)
        index = load_index(data, class_names=trained.class_names)
        outcome = evaluate(trained, index, split="test", num_workers=1, model_name=model)
        stored.write_text(json.dumps(outcome.to_dict()))
    report = json.loads(stored.read_text())
    return {
        "data": data.parent.name,
        "model": model,
        "seed": seed,
        "test_top1": report["metrics"]["top1"],
        "test_clips": report["metrics"]["num_clips"],
        "majority_share": report["metrics"]["majority_share"],
        "macs_per_view": report["cost"]["macs_per_view"],
        "total_macs": report["cost"]["total_macs"],
        "validation": result.best_measured,
        "training_minutes": round(result.seconds / 60, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path, help="CSV files with train/val/test splits")
    parser.add_argument("--work", type=Path, default=Path("runs/small_data"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument(
        "--no_flip",
        nargs="*",
        default=["tennis_strokes7"],
        help="sets (folder names) in which left and right tell classes apart",
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        run(data, model, seed, args)
        for seed in args.seeds
        for data in args.data
        for model in MODELS
    ]
    summary = []
    for data in dict.fromkeys(row["data"] for row in rows):
        for model in MODELS:
            found = [r for r in rows if r["data"] == data and r["model"] == model]
            top1 = [r["test_top1"] for r in found]
            spread = statistics.stdev(top1) if len(top1) > 1 else 0.0
            summary.append(
                {
                    "data": data,
                    "model": model,
                    "mean_test_top1": statistics.mean(top1),
                    "sd": spread,
                    "seeds": len(top1),
                    "macs_per_view": found[0]["macs_per_view"],
                }
            )
            print(
                f"{data:18}{model:28}{statistics.mean(top1):7.3f} ± {spread:.3f}  "
                f"({len(top1)} seeds, {found[0]['macs_per_view'] / 1e6:.0f} M MACs, 1 view)"
            )
    write_result("small_data", rows, summary=summary, epochs=args.epochs, views=1)


if __name__ == "__main__":
    main()

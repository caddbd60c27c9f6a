"""Networks that learned from procedural clips, none of them twice, on clips new to all of them.

    vmf train procedural_500m --out runs/vmf
    vmf train procedural_500m --model.name vmf_500m_cnn --out runs/cnn
    python benchmarks/fresh_clips.py vmf=runs/vmf cnn=runs/cnn --plot docs/pretraining.png

Where every clip is new there is nothing to learn by heart, so this compares what networks can learn
and how soon, and not how they get along with little data; for that see ``benchmarks/accuracy``.
Takes the averaged weights of each run's last step and draws ``--clips`` clips of a seed of their
own at the frames and size of the network, one view each. Accuracies come with 95 % Wilson intervals
and, from ``metrics.csv``, with the validation accuracy on the way.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

import torch
from timing import write_result
from torch import Tensor

from video_mobile_former.console import track
from video_mobile_former.data.transforms import normalize
from video_mobile_former.evaluation.metrics.single_label import wilson_interval
from video_mobile_former.models.registry import load_checkpoint
from video_mobile_former.procedural import ProceduralVideo
from video_mobile_former.profiling.cost import count_macs, count_parameters
from video_mobile_former.training.clips.procedural_clips import ProceduralClips
from video_mobile_former.training.recipe.read import recipe_from_dict

TEST_SEED = 77_000
"""Neither training (a hash of the recipe's seed) nor ``benchmarks/accuracy`` draws from it."""
BATCH = 60


@torch.inference_mode()
def right_ones(model: Any, video: ProceduralVideo, clips: int) -> tuple[Tensor, Tensor]:
    """Whether each clip is recognised, (N,) bool, and its class (N,)."""
    hits, labels = [], []
    batches = range(-(-clips // BATCH))
    for index in track(batches, description="testing", total=len(batches)):
        batch = video.batch(index, BATCH)
        hits.append(model(normalize(batch.clips, model.clip)).argmax(1) == batch.labels)
        labels.append(batch.labels)
    return torch.cat(hits)[:clips], torch.cat(labels)[:clips]


def share(hits: Tensor) -> dict[str, Any]:
    """Top-1 with its interval."""
    low, high = wilson_interval(int(hits.sum()), len(hits))
    return {"top1": float(hits.float().mean()), "low": low, "high": high, "clips": len(hits)}


def test(name: str, run: Path, clips: int) -> dict[str, Any]:
    """One row of the result."""
    model: Any = load_checkpoint(run / "last")
    training = model.info["training"]
    learned = ProceduralClips(recipe_from_dict(training["recipe"]))
    learned.spec = model.clip
    spec = learned.generator_spec
    video = ProceduralVideo(spec, seed=TEST_SEED)
    if model.class_names != video.class_names:
        sys.exit(f"{run}: its classes are not those of the generator")
    hits, labels = right_ones(model.eval(), video, clips)
    owner = [video.class_family[label] for label in labels.tolist()]
    macs = count_macs(model, (1, 3, spec.num_frames, spec.size, spec.size))
    return {
        "name": name,
        "model": training["recipe"]["model"]["name"],
        "clip": f"{spec.num_frames}×{spec.size}²",
        "macs_per_view": macs,
        "views": 1,
        "total_macs": macs,
        "parameters": count_parameters(model),
        "seed": training["recipe"]["seed"],
        "lr": training["recipe"]["optim"]["lr"],
        "clips_learned_from": training["epoch"] * training["clips"],
        "minutes": training["seconds"] / 60,
        **share(hits),
        "families": {
            family: share(hits[torch.tensor([one == family for one in owner])])
            for family in dict.fromkeys(video.class_family)
        },
        "curve": curve(run / "metrics.csv", training["clips"]),
    }


def curve(path: Path, epoch_clips: int) -> list[dict[str, float]]:
    """Validation accuracy and training loss after each epoch."""
    losses: dict[int, float] = {}
    points = []
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            epoch = int(row["epoch"])
            if row["row"] == "train":
                losses[epoch] = float(row["loss"])
            elif row["row"] == "val":
                point = {"clips": epoch * epoch_clips, "val_top1": float(row["top1"])}
                points.append({**point, "train_loss": losses.get(epoch, float("nan"))})
    return points


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Curves on the left, what was learned of each family on the right."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for i, row in enumerate(rows):
        color = plt.colormaps["tab10"](i)
        cost = f"{row['macs_per_view'] / 1e6:.0f} M MACs × 1 view"
        label = f"{row['name']}, {row['clip']}, {cost}"
        clips = [point["clips"] / 1000 for point in row["curve"]]
        top1 = [100 * point["val_top1"] for point in row["curve"]]
        left.plot(clips, top1, color=color, marker=".", label=label)
        names = list(row["families"])
        width = 0.8 / len(rows)
        at = [k + (i + 0.5) * width - 0.4 for k in range(len(names))]
        found = [row["families"][name] for name in names]
        spans = [
            [100 * (one["top1"] - one["low"]) for one in found],
            [100 * (one["high"] - one["top1"]) for one in found],
        ]
        heights = [100 * one["top1"] for one in found]
        right.bar(at, heights, width, yerr=spans, color=color, capsize=2, label=row["name"])
        right.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    left.set_xlabel("thousand clips learned from, each seen once")
    left.set_ylabel("top-1 %, validation")
    left.legend(fontsize=8, loc="lower right")
    right.set_ylabel("top-1 %, 95 % intervals, other clips")
    right.set_ylim(0, 100)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER", help="of vmf train procedural_…")
    parser.add_argument("--clips", type=int, default=6000)
    parser.add_argument("--plot", type=Path, help="also draw the curves and families")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for text in args.runs:
        name, equals, folder = text.partition("=")
        if not equals or not (Path(folder) / "last").is_dir():
            sys.exit(f"{text}: give NAME=FOLDER of a run, which holds a folder 'last'")
        rows.append(test(name, Path(folder), args.clips))
        row = rows[-1]
        print(
            f"{name:16}{row['clip']:>7} {row['macs_per_view'] / 1e6:6.1f} M MACs × 1 view "
            f"{100 * row['top1']:5.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})  "
            + " ".join(f"{k} {100 * v['top1']:.0f}" for k, v in row["families"].items())
        )
    write_result("fresh_clips", rows, views=1, test_seed=TEST_SEED)
    if args.plot:
        draw(rows, args.plot)


if __name__ == "__main__":
    main()

"""Which pre-training on procedural clips transfers: short runs that differ in one thing.

    python benchmarks/variations.py SURV.csv TENNIS.csv --work runs/variations --epochs 8

Every row is a run of a recipe with some of its fields changed. Its worth is measured with frozen
features alone, on validation and training clips of the real sets (``--split halves`` of
``transfer.py``): the test split has no part in it. Runs that are there go on, finished rows are
kept. The validation accuracy on procedural clips is of each row's own classes and settings, and
compares with nothing else. Beside the runs stand random weights, of five seeds, and those of the
package.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from timing import write_result
from transfer import frozen

from video_mobile_former.cli.train import recipe_from_words
from video_mobile_former.console import say
from video_mobile_former.files import write_json
from video_mobile_former.models.registry import load_checkpoint
from video_mobile_former.procedural import FAMILIES
from video_mobile_former.procedural.families import TABLE
from video_mobile_former.training.fit import fit

# Two of every four in a row: opposites stand side by side and stay together.
FEWER = [name for f in FAMILIES for k, name in enumerate(TABLE[f]) if k % 4 < 2]

VARIATIONS: dict[str, tuple[str, ...]] = {
    "as the recipe": (),
    "without dense targets": ("--pretrain.targets_weight", "0"),
    "small bodies": ("--pretrain.procedural", "[body_size=0.3]"),
    "three families": ("--pretrain.families", "[motion, interaction, limbs]"),
    "the other four": ("--pretrain.families", "[camera, periodic, order, long_range]"),
    "fewer classes": ("--pretrain.classes", f"[{', '.join(FEWER)}]"),
    "no change of colours": (
        *("--augment.color_jitter", "0", "--augment.hue", "0"),
        *("--augment.grayscale_probability", "0"),
    ),
    "masked features beside": ("--pretrain.masked_weight", "0.5"),
    "twice as long": (),
}
LONGER = {"twice as long": 2}


def run_of(name: str, args: argparse.Namespace) -> Path:
    """Train one variation, or go on with it; gives the checkpoint of its last step."""
    epochs = args.epochs * LONGER.get(name, 1)
    out = args.work / name.replace(" ", "_")
    words = [args.recipe, *VARIATIONS[name], "--train.epochs", str(epochs), "--out", str(out)]
    return fit(recipe_from_words([*words, "--seed", str(args.seed)])).last


def rows_of(name: str, start: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Probes and neighbours on the features of one start, on every set and number of frames."""
    rows: list[dict[str, Any]] = []
    seeds = [0, 1, 2, 3, 4] if start == "scratch" else [args.seed]
    for frames in args.frames:
        work = args.work / "frozen" / f"{name.replace(' ', '_')}-{args.epochs}-{frames}"
        asked = {"split": "halves", "clips": [0], "frames": frames, "size": args.size}
        options = argparse.Namespace(**asked, model=args.model, work=work)
        for data in args.data:
            for seed in seeds:
                found = frozen(data, start, seed, options)
                rows += [{**row, "variation": name, "frames": frames} for row in found]
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """One line a variation, in percent; of random weights mean ± standard deviation."""
    keys = list(dict.fromkeys((r["data"], _method(r), r["frames"]) for r in rows))
    lines = ["| | " + " | ".join(f"{d}, {m}, {f} frames" for d, m, f in keys) + " |"]
    lines.append("|---" * (len(keys) + 1) + "|")
    for name in dict.fromkeys(r["variation"] for r in rows):
        cells = []
        for key in keys:
            top1 = [
                100 * r["top1"]
                for r in rows
                if r["variation"] == name and (r["data"], _method(r), r["frames"]) == key
            ]
            spread = f" ± {statistics.stdev(top1):.1f}" if len(top1) > 1 else ""
            cells.append(f"{statistics.mean(top1):.1f}{spread}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _method(row: dict[str, Any]) -> str:
    """Without the start, which the row is named for."""
    return row["method"].split(", ")[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path, help="CSV files with train/val splits")
    parser.add_argument("--work", type=Path, default=Path("runs/variations"))
    parser.add_argument("--recipe", default="procedural_500m")
    parser.add_argument("--model", default="vmf_500m", help="the network of the recipe")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", nargs="+", type=int, default=[8, 16], help="of real clips")
    parser.add_argument("--size", type=int, default=64, help="of real clips")
    parser.add_argument("--only", nargs="+", choices=VARIATIONS, default=list(VARIATIONS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = rows_of("random weights", "scratch", args)
    rows += rows_of("as shipped", "procedural", args)
    for name in args.only:
        last = run_of(name, args)
        info = load_checkpoint(last).info
        more = {
            "procedural_top1": info.get("measured", {}).get("validation", {}).get("top1"),
            "training_minutes": round(info["training"]["seconds"] / 60, 1),
        }
        rows += [{**row, **more} for row in rows_of(name, str(last), args)]
        write_json(args.work / "rows.json", rows)
        say(f"{name}: {json.dumps(more)}")
    print(table(rows))
    facts = {"split": "halves", "epochs": args.epochs, "views": 1}
    write_result("variations", rows, about=args.model, **facts)


if __name__ == "__main__":
    sys.exit(main())

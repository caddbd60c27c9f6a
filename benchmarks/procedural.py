"""Rendering procedural clips against a training step on them: processor time a clip.

    python benchmarks/procedural.py                    # two minutes on one core
    python benchmarks/procedural.py --json result.json
    python benchmarks/procedural.py --sheet docs/procedural.jpg   # every class in small, no timing

One thread, rendering and training in turn in one run. The step is that of `vmf_500m`: forward,
backward and AdamW in fp32 on clips that are already there. The figure to read is the ratio; drawing
is fast enough when it is above 3. With `--families` each family is also measured by itself.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from timing import describe_run, interleave, write_result
from torch.nn import functional as F

from video_mobile_former.models import create_model
from video_mobile_former.procedural import FAMILIES, ProceduralSpec, ProceduralVideo
from video_mobile_former.procedural.sheet import sheet

SETTINGS = ((112, 16), (64, 32))
"""Size in pixels and clips a batch."""
_BATCHES = 4


def training_step(size: int, batch: int, classes: int, frames: int) -> Callable[[], None]:
    model = create_model("vmf_500m", num_classes=classes).train()
    optimiser = torch.optim.AdamW(model.parameters())
    clips = torch.randn(batch, 3, frames, size, size)
    labels = torch.arange(batch) % classes

    def step() -> None:
        F.cross_entropy(model(clips), labels).backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def drawing(spec: ProceduralSpec, batch: int) -> Callable[[], None]:
    """Some batches, each a new one; `measure` adds the share of a bank that falls on them."""
    video = ProceduralVideo(spec, seed=0)
    numbers = itertools.count()

    def draw() -> None:
        for _ in range(_BATCHES):
            video.batch(next(numbers) % 32, batch)

    return draw


def banks(spec: ProceduralSpec) -> Callable[[], None]:
    """The first batch of a bank, of one clip."""
    numbers = itertools.count()
    video = ProceduralVideo(spec, seed=0)
    return lambda: video.batch(32 * next(numbers), 1) and None


def measure(size: int, batch: int, frames: int, rounds: int, each: bool) -> list[dict[str, Any]]:
    choices = {"all": FAMILIES} | ({name: (name,) for name in FAMILIES} if each else {})
    specs = {
        name: ProceduralSpec(families=families, num_frames=frames, size=size)
        for name, families in choices.items()
    }
    runs: dict[str, Callable[[], object]] = {
        "step": training_step(size, batch, 60, frames),
        "bank": banks(specs["all"]),
    }
    runs |= {name: drawing(spec, batch) for name, spec in specs.items()}
    seconds = interleave(runs, rounds)
    step = seconds["step"] / batch
    rows = []
    for name in specs:
        clip = (seconds[name] / _BATCHES + seconds["bank"] / 32) / batch
        rows.append(
            {
                "families": name,
                "clip": f"{frames}×{size}²",
                "batch": batch,
                "draw_ms": round(1e3 * clip, 2),
                "step_ms": round(1e3 * step, 2),
                "ratio": round(step / clip, 2),
            }
        )
    return rows


def write_sheet(path: Path) -> None:
    """All classes in small, in two columns."""
    columns = (FAMILIES[:4], FAMILIES[4:])
    pictures = [
        [
            sheet(ProceduralVideo(ProceduralSpec(families=(f,), size=52), seed=7), f)
            for f in families
        ]
        for families in columns
    ]
    width = pictures[0][0].width
    height = max(sum(picture.height for picture in column) for column in pictures)
    page = Image.new("RGB", (width * len(columns), height), "white")
    for number, column in enumerate(pictures):
        top = 0
        for picture in column:
            page.paste(picture, (number * width, top))
            top += picture.height
    page.save(path, quality=50)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--families", action="store_true", help="also each family by itself")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here instead")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="draw all classes, time nothing")
    args = parser.parse_args()
    if args.sheet:
        write_sheet(args.sheet)
        return
    torch.set_num_threads(1)
    rows = []
    for size, batch in SETTINGS:
        for row in measure(size, batch, args.frames, args.rounds, args.families):
            rows.append(row)
            print(
                f"{row['families']:12}{row['clip']:>8}  draw {row['draw_ms']:6.2f} ms  "
                f"step {row['step_ms']:6.2f} ms  ratio {row['ratio']:.2f}",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps({**describe_run(), "rows": rows}, indent=2) + "\n")
    else:
        write_result("procedural", rows, unit="milliseconds of processor time a clip")


if __name__ == "__main__":
    main()

"""The command ``vmf data draw``: parse, call, print."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..console import say
from ..errors import UserError

_SPLITS = {"train": 40, "val": 0, "test": 10}


def add_draw(commands: Any) -> None:
    """Add ``draw`` to the commands of ``vmf data``."""
    summary = "draw clips whose class is in their motion: data without a download"
    parser = commands.add_parser("draw", help=summary, description=summary.capitalize())
    parser.set_defaults(run=_draw)
    parser.add_argument(
        "families", nargs="*", metavar="FAMILY", help="families of classes (default: all seven)"
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=(),
        metavar="CLASS",
        help="only these classes of them (default: all)",
    )
    parser.add_argument(
        "--out",
        required=True,
        help="folder to fill; an unfinished one goes on, clips made there with other options are "
        "replaced",
    )
    for split, count in _SPLITS.items():
        parser.add_argument(
            f"--{split}",
            type=int,
            default=count,
            metavar="N",
            help=f"clips of each class for {split} (default: {count})",
        )
    parser.add_argument(
        "--sheet",
        action="store_true",
        help="also draw a contact sheet of each family; with --train 0 --test 0 nothing else",
    )
    parser.add_argument("--size", type=int, default=112, help="height and width (default: 112)")
    parser.add_argument("--num_frames", type=int, default=16, help="frames a clip (default: 16)")
    parser.add_argument("--fps", type=int, default=12, help="frames a second (default: 12)")
    parser.add_argument(
        "--motion_blur",
        type=float,
        default=0.0,
        help="share of clips with an open shutter, 0 to 1 (default: 0: no frame tells the class)",
    )
    parser.add_argument(
        "--speed", type=float, default=1.0, help="how far things go, 0.25 to 2 (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--json", action="store_true", help="machine-readable output on stdout")


def _draw(args: argparse.Namespace) -> int:
    from ..procedural import FAMILIES, ProceduralSpec, ProceduralVideo, write_procedural
    from ..procedural.sheet import write_sheets
    from ..procedural.spec import FRAMES_OF_EVENTS

    spec = ProceduralSpec(
        families=tuple(args.families) or FAMILIES,
        classes=tuple(args.classes),
        num_frames=args.num_frames,
        size=args.size,
        motion_blur=args.motion_blur,
        speed=args.speed,
    )
    video = ProceduralVideo(spec)
    names = video.class_names
    for family, needed in FRAMES_OF_EVENTS.items():
        if family in video.class_family and spec.num_frames < needed:
            say(
                f"{spec.num_frames} frames are too few to tell all classes of {family} apart: "
                f"{needed} show every event"
            )
    counts = {split: getattr(args, split) for split in _SPLITS}
    if any(count < 0 for count in counts.values()):
        raise UserError(f"clips of a split cannot be fewer than 0: {counts}")
    counts = {split: count for split, count in counts.items() if count}
    if not counts and not args.sheet:
        raise UserError("nothing to draw: give --train, --val or --test, or --sheet")
    index = write_procedural(args.out, spec, counts, args.seed, fps=args.fps) if counts else None
    sheets = write_sheets(Path(args.out), spec, seed=args.seed) if args.sheet else []
    clips = {split: count * len(names) for split, count in counts.items()}
    if args.json:
        result = {
            "index": str(index) if index else None,
            "classes": list(names),
            "clips": clips,
            "sheets": [str(path) for path in sheets],
            "spec": spec.to_dict(),
            "seed": args.seed,
        }
        print(json.dumps(result, indent=2))
        return 0
    if index:
        amounts = ", ".join(f"{count} {split}" for split, count in clips.items())
        print(f"{index}: {len(names)} classes, {amounts} clips of {args.num_frames} frames")
        print(f"vmf train --data {index} --augment.horizontal_flip false --out runs/motions")
    for path in sheets:
        print(path)
    return 0

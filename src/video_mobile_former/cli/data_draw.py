"""The command ``vmf data draw``: parse, call, print."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Annotated, Any

from ..console import say
from ..errors import UserError
from ..ranges import Frames, Range, Seed, Share
from .options import add_json, add_out, print_json
from .parser import add_command, typed, whole_number

_SPLITS = {"train": 40, "val": 0, "test": 10}


def add_draw(commands: Any) -> None:
    """Add ``draw`` to the commands of ``vmf data``."""
    summary = "write procedural clips, whose class is in their motion: no download"
    parser = add_command(commands, "draw", run, summary)
    parser.add_argument(
        "families",
        nargs="*",
        metavar="FAMILY",
        help="families of classes (default: all seven for clips; recall and background, for "
        "streams, are written only where named)",
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=(),
        metavar="CLASS",
        help="only these classes of them (default: all)",
    )
    add_out(
        parser,
        "folder to fill; an unfinished one goes on, clips made there with other options are "
        "replaced",
        required=True,
    )
    for split, count in _SPLITS.items():
        parser.add_argument(
            f"--{split}",
            type=whole_number(0, 1_000_000),
            default=count,
            metavar="N",
            help=f"clips of each class for {split} (default: {count})",
        )
    parser.add_argument(
        "--sheet",
        action="store_true",
        help="also write a contact sheet of each family; with --train 0 --test 0 nothing else",
    )
    numbers = {
        "size": (whole_number(32, 1024), 112, "height and width, even"),
        "num_frames": (typed(Frames), 16, "frames a clip"),
        "fps": (whole_number(1, 240), 12, "frames a second"),
        "seed": (typed(Seed), 0, "of everything random"),
    }
    for name, (kind, default, text) in numbers.items():
        parser.add_argument(
            f"--{name}",
            type=kind,
            default=default,
            metavar="N",
            help=f"{text} (default: {default})",
        )
    parser.add_argument(
        "--motion_blur",
        type=typed(Share),
        default=0.0,
        metavar="NUMBER",
        help="share of clips with an open shutter, 0 to 1 (default: 0: no frame tells the class)",
    )
    parser.add_argument(
        "--speed",
        type=typed(Annotated[float, Range(0.25, 2)]),
        default=1.0,
        metavar="NUMBER",
        help="how far things go, 0.25 to 2 (default: 1)",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Draw and print."""
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
    counts = {split: count for split, count in counts.items() if count}
    if not counts and not args.sheet:
        raise UserError("nothing to write: give --train, --val or --test, or --sheet")
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
        print_json(result)
        return 0
    if index:
        amounts = ", ".join(f"{count} {split}" for split, count in clips.items())
        print(f"{index}: {len(names)} classes, {amounts} clips of {args.num_frames} frames")
        data = shlex.quote(str(index))
        print(f"vmf train --data {data} --augment.horizontal_flip false --out runs/motions")
    for path in sheets:
        print(path)
    return 0

"""The command ``vmf demo``: parse, call, print."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..ranges import Seed
from .options import add_json, add_out, print_json
from .parser import add_command, typed


def add_demo(commands: Any) -> None:
    """Add ``demo`` to the commands of ``vmf``."""
    summary = "train on procedural clips and report, in three minutes"
    parser = add_command(commands, "demo", run, summary)
    add_out(parser, "folder for clips, run and report", default="demo")
    parser.add_argument(
        "--seed", type=typed(Seed), default=0, help="of clips and training (default: 0)"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the demo and print what came out."""
    from ..demo import run_demo

    result = run_demo(Path(args.out), seed=args.seed)
    if args.json:
        print_json(result.to_dict())
    else:
        print(result.summary())
    return 0

"""The command ``vmf benchmark``: parse, call, print."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..console import say
from ..errors import UserError
from ..ranges import Range
from .options import add_clip_size, add_json, print_json
from .parser import add_command, typed, whole_number

if TYPE_CHECKING:
    from ..benchmark.contestants import Contestant


def add_benchmark(commands: Any) -> None:
    """Add ``benchmark`` to the commands of ``vmf``."""
    parser = add_command(
        commands,
        "benchmark",
        run,
        "measure how fast models and artefacts are on this machine",
        "Contestants run in turn, so that other load falls on all alike; each thread count has a "
        "process of its own.",
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="name as vmf_2g (fresh weights), checkpoint folder or artefact of `vmf export`; "
        "vmf_6g@16 and vmf_6g@16x160 say frames and size",
    )
    parser.add_argument(
        "--runtime",
        nargs="+",
        default=["eager"],
        metavar="RUNTIME",
        help="eager, all, or targets of `vmf export --to`: names and checkpoints are exported for "
        "these, into a temporary folder, and compared with eager; artefacts run in their own "
        "(default: eager)",
    )
    parser.add_argument(
        "--form",
        choices=("auto", "volume", "frames", "all"),
        default="auto",
        help="graph form; auto: the faster one of the runtime as measured (default)",
    )
    parser.add_argument(
        "--channels",
        choices=("first", "last"),
        help="where the channels of exported inputs stand; default: where the runtime is faster",
    )
    parser.add_argument(
        "--threads",
        type=whole_number(1, 1024),
        nargs="+",
        default=[1],
        metavar="N",
        help="one or several counts (default: 1)",
    )
    parser.add_argument(
        "--batch",
        type=whole_number(1, 4096),
        nargs="+",
        default=[1],
        metavar="N",
        help="clips at once, one or several (default: 1)",
    )
    add_clip_size(parser)
    parser.add_argument(
        "--rounds",
        type=whole_number(5, 100_000),
        default=15,
        metavar="N",
        help="most timed calls of each (default: 15)",
    )
    parser.add_argument(
        "--seconds",
        type=typed(Annotated[float, Range(0, 86_400)]),
        default=10.0,
        metavar="NUMBER",
        help="time for the rounds of each; slow ones get fewer, at least 5 (default: 10)",
    )
    parser.add_argument(
        "--profile", action="store_true", help="also show the time of each operator"
    )
    parser.add_argument("--no_memory", action="store_true", help="leave memory out: quicker")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from ..benchmark import ModelChoice, check_options, format_rows, prepare, time_contestants

    check_options(args.threads, args.rounds, args.seconds)
    choices = [
        ModelChoice.parse(text, num_frames=args.num_frames, size=args.size) for text in args.models
    ]
    with tempfile.TemporaryDirectory(prefix="vmf-benchmark-") as folder:
        contestants = prepare(
            choices,
            runtimes=args.runtime,
            form=args.form,
            channels=args.channels,
            batches=args.batch,
            folder=Path(folder),
        )
        rows = time_contestants(
            contestants,
            threads=args.threads,
            rounds=args.rounds,
            seconds=args.seconds,
            memory=not args.no_memory,
        )
        if not args.json:
            print(rows[0]["machine"])
            print(format_rows(rows))
        if args.profile:
            _profile(contestants, rows, as_json=args.json)
    if args.json:
        print_json(rows)
    return 0


def _profile(
    contestants: Sequence[Contestant], rows: Sequence[dict[str, Any]], *, as_json: bool
) -> None:
    """Print the operators of each row, or add them to it as ``operators``."""
    from ..benchmark import profile_contestant
    from ..profiling.operators import format_profile

    # Rows come thread count by thread count, the contestants in the same order in each.
    for number, row in enumerate(rows):
        contestant = contestants[number % len(contestants)]
        threads = row["threads"]
        title = f"{contestant.label}, {threads} thread{'s' if threads > 1 else ''}"
        try:
            profile = profile_contestant(contestant, threads)
        except UserError as error:
            say(f"{title}: no operators: {error}")
            row["operators"] = None
            continue
        if as_json:
            row["operators"] = profile.to_dict()
        else:
            print(f"\n{title}\n\n{format_profile(profile)}", flush=True)

"""What the commands ``vmf data prepare`` and ``vmf data shard`` share."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..console import say
from ..data.index.source import Faults
from ..ranges import Positive
from .options import (
    EXIT_FAILED_FILES,
    add_json,
    add_out,
    add_overwrite,
    add_quarantine,
    add_source_options,
    check_outside,
    print_json,
    source_of,
)
from .parser import Parser, typed, whole_number

if TYPE_CHECKING:
    from ..data.prepare.prepare import PrepareResult
    from ..data.prepare.write_shards import ShardResult

Result = TypeVar("Result", "PrepareResult", "ShardResult")
_NAMES_SHOWN = 5


def add_rewriting(parser: Parser, what: str, *, num_workers: int | None = None) -> None:
    """Add the options that both have: which clips, where to, and how.

    Args:
        parser: Of the command.
        what: What it makes, in the plural.
        num_workers: Processes without ``--num_workers``; None is one for each core.
    """
    add_out(parser, "folder to fill; an unfinished one goes on", required=True)
    add_source_options(parser)
    parser.add_argument(
        "--timeout_seconds",
        type=typed(Positive),
        default=300.0,
        metavar="NUMBER",
        help="give up what does not get on for so long (default: 300)",
    )
    add_quarantine(parser)
    add_overwrite(parser, f"make all {what} anew")
    parser.add_argument(
        "--num_workers",
        type=whole_number(1, 256),
        default=num_workers,
        metavar="N",
        help=f"processes (default: {num_workers or 'one for each core'})",
    )
    add_json(parser)


def rewrite(args: argparse.Namespace, write: Callable[..., Result], settings: Any) -> Result:
    """Rewrite the clips that the options name; an interruption says how to go on.

    Args:
        args: Options of the command.
        write: ``prepare`` or ``write_shards``.
        settings: Of that function.

    Raises:
        UserError: If there are no clips, or ``--out`` lies where it would count as data itself.
    """
    from ..data.index.index import load_index
    from ..data.index.quarantine import without

    source = source_of(args)
    check_outside(args.out, source.place)
    faults = Faults(collect=True)
    index = load_index(source, faults=faults)
    if args.quarantine is not None:
        index = without(index, Path(args.quarantine), of_run=False)
    try:
        return write(
            index,
            args.out,
            settings,
            num_workers=args.num_workers,
            timeout_seconds=args.timeout_seconds,
            overwrite=args.overwrite,
            faults=faults.found,
        )
    except KeyboardInterrupt:
        say(f"stopped; the same command goes on where {args.out} stands")
        raise


def print_result(result: PrepareResult | ShardResult, lines: list[str], *, as_json: bool) -> int:
    """Print what came out and what failed; return the exit status."""
    if result.clips:
        lines.append(f"next    vmf train --data {shlex.quote(str(result.out))}")
    if as_json:
        print_json(result.to_dict())
    else:
        print("\n".join(lines))
    for name, reason in result.failures[:_NAMES_SHOWN]:
        say(f"failed: {name}: {reason}")
    if result.failures:
        clips = "clip" if len(result.failures) == 1 else "clips"
        say(f"{len(result.failures)} {clips} failed, see {result.out / 'failed.txt'}")
    return EXIT_FAILED_FILES if result.failures else 0

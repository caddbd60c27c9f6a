"""The command ``vmf data check``: parse, call, print."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import say
from ..files import check_folder, check_replaceable
from ..ranges import Positive
from .options import (
    add_data,
    add_json,
    add_out,
    add_overwrite,
    add_source_options,
    check_outside,
    print_json,
    source_of,
    source_words,
)
from .parser import add_command, typed, whole_number

if TYPE_CHECKING:
    from ..data.check import CheckResult

EXIT_NOT_READY = 1


def add_check(commands: Any) -> None:
    """Add ``check`` to the commands of ``vmf data``."""
    parser = add_command(
        commands,
        "check",
        run,
        "read every file and tell what is wrong, before training does",
        "Exit status: 0 training may start, 1 it should not, 2 there is no such data.",
    )
    add_data(parser)
    add_out(parser, "folder of the outcome (default: ./<name of DATA>-check)")
    add_overwrite(parser)
    add_source_options(parser)
    parser.add_argument("--split", help="only this split; leaks between splits are then not seen")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="headers, packets and one frame of each file instead of every frame",
    )
    parser.add_argument(
        "--min_clips",
        type=whole_number(0, 1_000_000),
        default=5,
        metavar="N",
        help="below this a class is called tiny (default: 5)",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="KIND",
        help="let this kind of error pass as a warning, as `--allow leak`; may be repeated",
    )
    parser.add_argument(
        "--num_workers",
        type=whole_number(1, 256),
        metavar="N",
        help="processes (default: one for each core)",
    )
    parser.add_argument(
        "--timeout_seconds",
        type=typed(Positive),
        default=60.0,
        metavar="NUMBER",
        help="give up a file that does not get on for so long (default: 60)",
    )
    parser.add_argument(
        "--memory_limit_mb",
        type=typed(Positive),
        default=2048.0,
        metavar="NUMBER",
        help="give up a file that needs more memory (default: 2048; Linux)",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check and print; the exit status is 1 where training should not start."""
    from ..data.check import CheckOptions, check_data, write_check
    from ..data.check.page import JSON_NAME, check_files
    from ..data.index.quarantine import default_quarantine

    source = source_of(args)
    options = CheckOptions(
        full=not args.quick,
        split=args.split,
        num_workers=args.num_workers,
        timeout_seconds=args.timeout_seconds,
        memory_limit_mb=args.memory_limit_mb,
        min_clips=args.min_clips,
        allow=frozenset(args.allow),
    )
    standard = default_quarantine(source.place).parent
    out = Path(args.out) if args.out is not None else standard
    check_folder(out)
    check_outside(args.out, source.place)
    check_replaceable(check_files(out), out / JSON_NAME, overwrite=args.overwrite)
    result = check_data(source, out, options)
    page = write_check(result, out, overwrite=args.overwrite)
    if args.json:
        print_json(result.summary())
    else:
        print(result.report())
        print("\n".join(_next(result, out, honoured=out == standard)))
    say(f"report: {page}")
    return 0 if result.may_start else EXIT_NOT_READY


def _next(result: CheckResult, out: Path, *, honoured: bool) -> list[str]:
    """Where things are, and the command that comes next."""
    lines = [f"every problem   {out / 'check.json'}"]
    if result.quarantine:
        lines.append(f"excluded        {out / 'quarantine.txt'}")
    if result.may_start:
        lines.append(f"next            {_train(result, None if honoured else out)}")
    return lines


def _train(result: CheckResult, out: Path | None) -> str:
    """How training on the same data is started.

    Args:
        result: What was checked.
        out: Where the quarantine list is, unless training finds it by itself.
    """
    words = f"vmf train {source_words(result.source)} --out runs/mine"
    if out is not None and result.quarantine:
        words += f" --quarantine {shlex.quote(str(out / 'quarantine.txt'))}"
    return words

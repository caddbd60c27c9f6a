"""The command ``vmf data check``: parse, call, print."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..console import say
from .options import whole_number

if TYPE_CHECKING:
    from ..data.check import CheckResult
    from ..data.index.source import DataSource

EXIT_NOT_READY = 1


def add_check(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    add_source: Callable[[argparse.ArgumentParser], None],
    source_of: Callable[[argparse.Namespace], DataSource],
) -> None:
    """Add ``check`` to the commands of ``vmf data``.

    Args:
        commands: The sub-parsers of ``vmf data``.
        add_source: Adds the options that say what data is meant.
        source_of: Reads them.
    """
    summary = "read every file and tell what is wrong, before training does"
    parser = commands.add_parser(
        "check",
        help=summary,
        description=f"{summary.capitalize()}. Exit status: 0 training may start, 1 it should not, "
        "2 there is no such data.",
    )
    parser.set_defaults(run=lambda args: _check(args, source_of(args)))
    parser.add_argument("data", metavar="DATA", help="the clips, as for `vmf train --data`")
    parser.add_argument("--out", help="folder of the outcome (default: ./<name of DATA>-check)")
    add_source(parser)
    parser.add_argument("--split", help="only this split; leaks between splits are then not seen")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="headers, packets and one frame of each file instead of every frame",
    )
    parser.add_argument(
        "--min_clips", type=int, default=5, help="below this a class is called tiny (default: 5)"
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
        type=whole_number(1),
        metavar="N",
        help="processes (default: one for each core)",
    )
    parser.add_argument(
        "--timeout_seconds",
        type=float,
        default=60.0,
        help="give up a file that does not get on for so long (default: 60)",
    )
    parser.add_argument(
        "--memory_limit_mb",
        type=float,
        default=2048.0,
        help="give up a file that needs more memory (default: 2048; Linux)",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output on stdout")


def _check(args: argparse.Namespace, source: DataSource) -> int:
    from ..data.check import CheckOptions, check_data, write_check
    from ..data.index.quarantine import default_quarantine

    options = CheckOptions(
        full=not args.quick,
        split=args.split,
        num_workers=args.num_workers,
        timeout_seconds=args.timeout_seconds,
        memory_limit_mb=args.memory_limit_mb,
        min_clips=args.min_clips,
        allow=frozenset(args.allow),
    )
    standard = default_quarantine(source.path).parent
    out = Path(args.out) if args.out is not None else standard
    result = check_data(source, out, options)
    page = write_check(result, out)
    if args.json:
        print(json.dumps(result.summary(), indent=2, allow_nan=False))
    else:
        print(result.report())
        print("\n".join(_next(result, out, honoured=out == standard)))
    say(f"report: {page}")
    return 0 if result.may_start else EXIT_NOT_READY


def _next(result: CheckResult, out: Path, *, honoured: bool) -> list[str]:
    """Where things are, and the command that comes next."""
    lines = [f"every problem   {out / 'check.json'}"]
    if result.quarantine:
        lines.append(f"left out        {out / 'quarantine.txt'}")
    if result.may_start:
        lines.append(f"next            {_train(result, None if honoured else out)}")
    return lines


def _train(result: CheckResult, out: Path | None) -> str:
    """How training on the same data is started.

    Args:
        result: What was checked.
        out: Where the quarantine list is, unless training finds it by itself.
    """
    words = ["vmf", "train", "--data", result.source.path]
    for field in dataclasses.fields(result.source):
        value = getattr(result.source, field.name)
        if field.name != "path" and value != field.default:
            words += [f"--data.{field.name}", "true" if value is True else str(value)]
    if out is not None and result.quarantine:
        words += ["--data.quarantine", str(out / "quarantine.txt")]
    return shlex.join(words)

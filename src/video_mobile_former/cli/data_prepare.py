"""The commands ``vmf data prepare`` and ``vmf data shard``: parse, call, print."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import say
from .options import EXIT_FAILED_FILES, add_quarantine, whole_number

if TYPE_CHECKING:
    from ..data.index.index import ClipIndex
    from ..data.index.source import DataSource, Fault
    from ..data.prepare.prepare import PrepareResult
    from ..data.prepare.write_shards import ShardResult

_NAMES_SHOWN = 5


def add_prepare(
    commands: Any,
    add_source: Callable[[argparse.ArgumentParser], None],
    source_of: Callable[[argparse.Namespace], DataSource],
) -> None:
    """Add ``prepare`` to the commands of ``vmf data``.

    Args:
        commands: The sub-parsers of ``vmf data``.
        add_source: Adds the options that say what data is meant.
        source_of: Reads them.
    """
    summary = "transcode clips once, for fast reading of any of their frames"
    parser = commands.add_parser("prepare", help=summary, description=summary.capitalize())
    parser.set_defaults(run=lambda args: _prepare(args, source_of(args)))
    parser.add_argument("data", metavar="DATA", help="the clips, as for `vmf train --data`")
    parser.add_argument("--out", required=True, help="folder to fill; an unfinished one goes on")
    add_source(parser)
    # Of the settings only what the user gives is passed on: their defaults are in one place.
    parser.add_argument(
        "--short_side", type=int, help="pixels; smaller videos keep their size (default: 256)"
    )
    parser.add_argument(
        "--gop", type=int, help="most frames from key frame to key frame, 1 to 12 (default: 4)"
    )
    parser.add_argument(
        "--crf", type=float, help="x264's quality, 0 (lossless) to 51 (default: 20)"
    )
    parser.add_argument("--preset", help="x264's effort, ultrafast to veryslow (default: veryfast)")
    parser.add_argument("--max_fps", type=float, help="leave out frames of faster videos")
    parser.add_argument(
        "--frame_rate", type=float, help="frames a second of folders of pictures (default: 30)"
    )
    parser.add_argument(
        "--timeout_seconds",
        type=float,
        default=300.0,
        help="give up a file that does not get on for so long (default: 300)",
    )
    add_quarantine(parser)
    parser.add_argument("--overwrite", action="store_true", help="make all clips anew")
    parser.add_argument(
        "--num_workers",
        type=whole_number(1),
        metavar="N",
        help="processes (default: one for each core)",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output on stdout")


def add_shard(
    commands: Any,
    add_source: Callable[[argparse.ArgumentParser], None],
    source_of: Callable[[argparse.Namespace], DataSource],
) -> None:
    """Add ``shard`` to the commands of ``vmf data``; the arguments are those of ``add_prepare``."""
    summary = "pack clips into WebDataset tar files, for storage far away"
    parser = commands.add_parser("shard", help=summary, description=summary.capitalize())
    parser.set_defaults(run=lambda args: _shard(args, source_of(args)))
    parser.add_argument("data", metavar="DATA", help="the clips, as for `vmf train --data`")
    parser.add_argument("--out", required=True, help="folder to fill; an unfinished one goes on")
    add_source(parser)
    parser.add_argument(
        "--max_mb", type=float, default=512.0, help="most megabytes of a shard (default: 512)"
    )
    parser.add_argument("--clips_per_shard", type=int, help="most clips of a shard")
    parser.add_argument("--seed", type=int, default=0, help="of the order of clips (default: 0)")
    parser.add_argument(
        "--timeout_seconds",
        type=float,
        default=300.0,
        help="give up a shard that does not get on for so long (default: 300)",
    )
    add_quarantine(parser)
    parser.add_argument("--overwrite", action="store_true", help="make all shards anew")
    parser.add_argument(
        "--num_workers",
        type=whole_number(1),
        default=2,
        metavar="N",
        help="processes (default: 2)",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output on stdout")


def _load(args: argparse.Namespace, source: DataSource) -> tuple[ClipIndex, list[Fault]]:
    """The clips without those in quarantine, and what is wrong with rows that are left out."""
    import numpy as np

    from ..data.index.index import load_index
    from ..data.index.quarantine import read_quarantine
    from ..data.index.source import Faults
    from ..errors import DataError, UserError

    data, out = Path(source.path), Path(args.out)
    if data.is_dir() and out.resolve().is_relative_to(data.resolve()):
        raise UserError(f"--out {out} lies inside of {data}, where it would count as data itself")
    faults = Faults(collect=True)
    index = load_index(source, faults=faults)
    if args.quarantine is None:
        return index, faults.found
    rows = index.table.find(read_quarantine(args.quarantine))
    rest = np.setdiff1d(np.arange(len(index)), rows)
    if not len(rest):
        raise DataError(f"{args.quarantine}: leaves out all clips of {index.source}")
    are = "clip is" if len(rows) == 1 else "clips are"
    say(f"{args.quarantine}: {len(rows)} {are} left out")
    return dataclasses.replace(index, clips=index.table.take(rest)), faults.found


def _prepare(args: argparse.Namespace, source: DataSource) -> int:
    from ..data.prepare.prepare import prepare
    from ..data.prepare.transcode import PrepareSettings

    names = ("short_side", "gop", "crf", "preset", "max_fps", "frame_rate")
    given = {name: getattr(args, name) for name in names}
    settings = PrepareSettings(**{name: v for name, v in given.items() if v is not None})
    _check_timeout(args)
    index, faults = _load(args, source)
    try:
        result = prepare(
            index,
            args.out,
            settings,
            num_workers=args.num_workers,
            timeout_seconds=args.timeout_seconds,
            overwrite=args.overwrite,
            faults=faults,
        )
    except KeyboardInterrupt:
        say(f"stopped; the same command goes on where {args.out} stands")
        raise
    return _tell(result, _lines(result), as_json=args.json)


def _shard(args: argparse.Namespace, source: DataSource) -> int:
    from ..data.prepare.write_shards import ShardSettings, write_shards

    _check_timeout(args)
    settings = ShardSettings(args.max_mb, args.clips_per_shard, args.seed)
    index, faults = _load(args, source)
    try:
        result = write_shards(
            index,
            args.out,
            settings,
            num_workers=args.num_workers,
            timeout_seconds=args.timeout_seconds,
            overwrite=args.overwrite,
            faults=faults,
        )
    except KeyboardInterrupt:
        say(f"stopped; the same command goes on where {args.out} stands")
        raise
    lines = [
        f"clips   {result.clips} in {result.shards} shards"
        + (f", {result.reused} of them from before" if result.reused else ""),
        f"size    {result.bytes / 1e6:.1f} MB",
        f"took    {result.elapsed_seconds:.1f} s",
    ]
    if result.clips:
        lines.append(f"next    vmf train --data {result.out}")
    return _tell(result, lines, as_json=args.json)


def _tell(result: PrepareResult | ShardResult, lines: list[str], *, as_json: bool) -> int:
    """Print what came out and what failed; return the exit status."""
    print(json.dumps(result.to_dict(), indent=2) if as_json else "\n".join(lines))
    for name, reason in result.failures[:_NAMES_SHOWN]:
        say(f"failed: {name}: {reason}")
    if result.failures:
        clips = "clip" if len(result.failures) == 1 else "clips"
        say(f"{len(result.failures)} {clips} failed, see {result.out / 'failed.txt'}")
    return EXIT_FAILED_FILES if result.failures else 0


def _lines(result: PrepareResult) -> list[str]:
    before, after = result.bytes_before / 1e6, result.bytes_after / 1e6
    ratio = f" ({after / before:.2f} of it)" if before else ""
    lines = [
        f"clips   {result.clips} ({result.frames} frames, {result.seconds / 60:.1f} minutes)"
        + (f", {result.reused} of them from before" if result.reused else ""),
        f"size    {before:.1f} MB before, {after:.1f} MB after{ratio}",
        f"took    {result.elapsed_seconds:.1f} s",
    ]
    if result.clips:
        lines.append(f"next    vmf train --data {result.out}")
    return lines


def _check_timeout(args: argparse.Namespace) -> None:
    from ..errors import UserError

    if not args.timeout_seconds > 0:
        raise UserError(f"--timeout_seconds must be above 0, not {args.timeout_seconds:g}")

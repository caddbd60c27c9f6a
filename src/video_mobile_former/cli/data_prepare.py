"""The command ``vmf data prepare``: parse, call, print."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..data.prepare.settings import PrepareSettings
from ..ranges import hints
from .options import add_data
from .parser import add_command, add_field
from .rewriting import add_rewriting, print_result, rewrite

if TYPE_CHECKING:
    from ..data.prepare.prepare import PrepareResult


def add_prepare(commands: Any) -> None:
    """Add ``prepare`` to the commands of ``vmf data``."""
    summary = "transcode clips once, for fast reading of any of their frames"
    parser = add_command(commands, "prepare", run, summary)
    add_data(parser)
    for name in hints(PrepareSettings):
        add_field(parser, PrepareSettings, name)
    add_rewriting(parser, "clips")


def run(args: argparse.Namespace) -> int:
    """Prepare and print; the exit status is 1 where some clips failed."""
    from ..data.prepare.prepare import prepare

    settings = PrepareSettings(**{name: getattr(args, name) for name in hints(PrepareSettings)})
    result = rewrite(args, prepare, settings)
    return print_result(result, _lines(result), as_json=args.json)


def _lines(result: PrepareResult) -> list[str]:
    before, after = result.bytes_before / 1e6, result.bytes_after / 1e6
    ratio = f" ({after / before:.2f} of it)" if before else ""
    return [
        f"clips   {result.clips} ({result.frames} frames, {result.seconds / 60:.1f} minutes)"
        + (f", {result.reused} of them from before" if result.reused else ""),
        f"size    {before:.1f} MB before, {after:.1f} MB after{ratio}",
        f"took    {result.elapsed_seconds:.1f} s",
    ]

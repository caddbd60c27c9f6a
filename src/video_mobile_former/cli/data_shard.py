"""The command ``vmf data shard``: parse, call, print."""

from __future__ import annotations

import argparse
from typing import Any

from ..data.prepare.settings import ShardSettings
from ..ranges import hints
from .options import add_data
from .parser import add_command, add_field
from .rewriting import add_rewriting, print_result, rewrite


def add_shard(commands: Any) -> None:
    """Add ``shard`` to the commands of ``vmf data``."""
    summary = "pack clips into WebDataset tar files, for storage far away"
    parser = add_command(commands, "shard", run, summary)
    add_data(parser)
    for name in hints(ShardSettings):
        add_field(parser, ShardSettings, name)
    add_rewriting(parser, "shards", num_workers=2)


def run(args: argparse.Namespace) -> int:
    """Pack and print; the exit status is 1 where some clips failed."""
    from ..data.prepare.write_shards import write_shards

    settings = ShardSettings(args.max_mb, args.clips_per_shard, args.seed)
    result = rewrite(args, write_shards, settings)
    lines = [
        f"clips   {result.clips} in {result.shards} shards"
        + (f", {result.reused} of them from before" if result.reused else ""),
        f"size    {result.bytes / 1e6:.1f} MB",
        f"took    {result.elapsed_seconds:.1f} s",
    ]
    return print_result(result, lines, as_json=args.json)

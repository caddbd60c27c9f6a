"""The commands ``vmf data …``, and the options that say what data is meant.

Parse, call, print, as in :mod:`.cli`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from . import prepare_commands

if TYPE_CHECKING:
    from .data.source import DataSource


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add what a recipe's ``data`` section says of the form of the data; ``data`` is the path."""
    parser.add_argument("--format", default="auto", help="form of the data (default: auto)")
    parser.add_argument("--annotations", help="list file of the format, or folder of its lists")
    parser.add_argument("--root", help="folder that the paths of a list are relative to")
    parser.add_argument("--label_file", help="class names in order, one per line")
    parser.add_argument(
        "--multi_label",
        action="store_true",
        help="a clip may have several classes, divided by | in the label column, or none",
    )


def source_of(args: argparse.Namespace) -> DataSource:
    """What the options of :func:`add_source_options` name."""
    from .data.source import DataSource

    return DataSource(
        args.data,
        format=args.format,
        annotations=args.annotations,
        root=args.root,
        label_file=args.label_file,
        multi_label=args.multi_label,
    )


def add_data_commands(commands: Any) -> None:
    """Add ``check``, ``prepare`` and ``shard`` to the parser of ``vmf data``."""
    prepare_commands.add_prepare(commands, add_source_options, source_of)

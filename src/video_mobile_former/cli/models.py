"""The command ``vmf models``: parse, call, print."""

from __future__ import annotations

import argparse
from typing import Any

from .options import add_json, print_json
from .parser import add_command


def add_models(commands: Any) -> None:
    """Add ``models`` to the commands of ``vmf``."""
    parser = add_command(commands, "models", run, "the model family and what it costs")
    parser.add_argument("filter", nargs="?", default="", help="only names with this text")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the table of models."""
    from ..profiling.table import cost_rows, format_rows

    rows = cost_rows(args.filter)
    if args.json:
        print_json(rows)
    else:
        print(format_rows(rows))
    return 0

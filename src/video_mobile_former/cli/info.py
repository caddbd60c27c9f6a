"""The command ``vmf info``: parse, call, print."""

from __future__ import annotations

import argparse
from typing import Any

from .options import add_json, print_json
from .parser import add_command


def add_info(commands: Any) -> None:
    """Add ``info`` to the commands of ``vmf``."""
    parser = add_command(commands, "info", run, "versions, devices, decoders, runtimes, weights")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print what is installed."""
    from ..installation import describe_installation, format_installation

    found = describe_installation()
    if args.json:
        print_json(found)
    else:
        print(format_installation(found))
    return 0

"""The commands ``vmf data …``, each in a file of its own."""

from __future__ import annotations

from typing import Any

from .data_check import add_check
from .data_draw import add_draw
from .data_prepare import add_prepare
from .data_shard import add_shard


def add_data(commands: Any) -> None:
    """Add ``data`` and its commands to those of ``vmf``."""
    summary = "check clips, prepare them for speed, pack them, write procedural ones"
    parser = commands.add_parser("data", help=summary, description=f"{summary.capitalize()}.")
    of_data = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (add_check, add_prepare, add_shard, add_draw):
        add(of_data)

"""The commands ``vmf data …``.

Parse, call, print, as in :mod:`.main`.
"""

from __future__ import annotations

from typing import Any

from . import data_check, data_draw, data_prepare
from .options import add_source_options, source_of


def add_data_commands(commands: Any) -> None:
    """Add ``check``, ``prepare``, ``shard`` and ``draw`` to the parser of ``vmf data``."""
    data_check.add_check(commands, add_source_options, source_of)
    data_prepare.add_prepare(commands, add_source_options, source_of)
    data_prepare.add_shard(commands, add_source_options, source_of)
    data_draw.add_draw(commands)

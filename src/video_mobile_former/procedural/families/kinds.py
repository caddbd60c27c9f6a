"""Types of a family module: its classes, each a function that moves a cast."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..cast import Cast
from ..keyed_random import KeyedRandom

Act: TypeAlias = Callable[[Cast, KeyedRandom], None]
Classes: TypeAlias = "dict[str, Act]"

EVENTS: tuple[str, ...] = ("left", "right", "up", "down", "turn", "flash")
"""Events of ``order`` and ``long_range``, numbered as in first_event and last_event."""
TURN, FLASH = 4, 5

"""The order of events: pairs of classes that have the same two events, one before the other."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cast import Cast
from ..keyed_random import KeyedRandom
from ..trajectories import DOWN, LEFT, RIGHT, UP, flash, ramp, unit
from .kinds import FLASH, TURN, Classes


def _two_ways(cast: Cast, random: KeyedRandom, first: int, last: int) -> None:
    early, late = _parts(cast, random)
    way = random.uniform(2, 1, low=0.28, high=0.42) * cast.speed
    steps = unit(torch.tensor([first, last], device=cast.time.device))
    cast.shift(early, steps[0] * way[:, 0])
    cast.shift(late, steps[1] * way[:, 1])
    cast.set_target("first_event", first)
    cast.set_target("last_event", last)


def _go_and(cast: Cast, random: KeyedRandom, other: int, *, go_first: bool) -> None:
    early, late = _parts(cast, random)
    going, doing = (early, late) if go_first else (late, early)
    direction = random.whole(high=4)
    way = random.uniform(1, low=0.28, high=0.42) * cast.speed
    cast.shift(going, unit(direction) * way)
    if other == TURN:
        turns = random.uniform(1, low=0.35, high=0.5) * random.sign(1) * cast.speed
        cast.angle += (2 * torch.pi * turns * doing)[:, None]
    else:
        middle = 0.2 if not go_first else 0.75
        # Between frames 1 and 2 of 8 at the least, and never in the first frame.
        shown = flash(cast.time[None], middle + random.uniform(1, low=0.0, high=0.1), 0.25)
        cast.glow += shown[:, None]
    first, last = (direction, other) if go_first else (other, direction)
    cast.set_target("first_event", first)
    cast.set_target("last_event", last)


def _parts(cast: Cast, random: KeyedRandom) -> tuple[Tensor, Tensor]:
    """Progress (n, F) of the event before the middle and of the event after it."""
    middle = random.uniform(1, low=0.42, high=0.55)
    time = cast.time[None]
    return ramp(time, 0.0, middle - 0.03), ramp(time, middle + 0.03, 0.97)


CLASSES: Classes = {
    "up_then_right": lambda cast, random: _two_ways(cast, random, UP, RIGHT),
    "right_then_up": lambda cast, random: _two_ways(cast, random, RIGHT, UP),
    "left_then_down": lambda cast, random: _two_ways(cast, random, LEFT, DOWN),
    "down_then_left": lambda cast, random: _two_ways(cast, random, DOWN, LEFT),
    "turn_then_go": lambda cast, random: _go_and(cast, random, TURN, go_first=False),
    "go_then_turn": lambda cast, random: _go_and(cast, random, TURN, go_first=True),
    "flash_then_go": lambda cast, random: _go_and(cast, random, FLASH, go_first=False),
    "go_then_flash": lambda cast, random: _go_and(cast, random, FLASH, go_first=True),
}

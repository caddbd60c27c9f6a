"""Long-range classes: the first quarter of a clip must be remembered to its end.

- ``cue_left`` … ``cue_down``: the actors dart four times, once in each quarter. The class is the
  direction of the first dart; the later ones are random. Counting darts without their order is
  right in at most 53 % of the clips (the most frequent of four random directions).
- ``turn_clockwise``, ``turn_anticlockwise``: a dart in the first quarter, loitering, then a dart in
  the last quarter, a quarter turn clockwise or anticlockwise from the first. Either dart alone has
  a random direction.
- ``same_lamp``, ``other_lamp``: one of two actors lights up in the first quarter, and the same or
  the other one in the last. Either flash alone is of a random actor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..cast import Cast
from ..keyed_random import KeyedRandom
from ..trajectories import CLOCKWISE, DOWN, LEFT, RIGHT, UP, flash, ramp, unit
from .kinds import FLASH, Classes


def _dart(cast: Cast, random: KeyedRandom, quarter: int, direction: Tensor) -> None:
    start, way = quarter / 4, random.uniform(1, low=0.26, high=0.34) * cast.speed
    cast.shift(ramp(cast.time[None], start + 0.02, start + 0.24), unit(direction) * way)


def _loiter(cast: Cast, random: KeyedRandom) -> None:
    """Wander between the first and the last quarter, and return to the start."""
    inside = (cast.time > 0.25) & (cast.time < 0.75)
    turns = (cast.time - 0.25)[None, :, None] * random.whole(1, 2, low=1, high=3) * 2
    wave = (2 * torch.pi * turns).sin() * random.uniform(1, 2, low=-0.05, high=0.05)
    cast.xy += (wave * inside[None, :, None])[:, None]


def _cue(cast: Cast, random: KeyedRandom, direction: int) -> None:
    first = torch.full((cast.clips,), direction, device=cast.time.device)
    ways = torch.cat([first[:, None], random.whole(3, high=4)], 1)
    for quarter in range(4):
        _dart(cast, random, quarter, ways[:, quarter])
    cast.set_target("first_event", first)
    cast.set_target("last_event", ways[:, 3])


def _relation(cast: Cast, random: KeyedRandom, clockwise: bool) -> None:
    first = random.whole(high=4)
    turned = torch.tensor(CLOCKWISE, device=first.device)[first]
    last = turned if clockwise else turned ^ 1  # opposite directions are adjacent
    _dart(cast, random, 0, first)
    _loiter(cast, random)
    _dart(cast, random, 3, last)
    cast.set_target("first_event", first)
    cast.set_target("last_event", last)


def _lamps(cast: Cast, random: KeyedRandom, same: bool) -> None:
    cast.at_least(2)
    # On either side of a random middle: far apart, also around the edges.
    middle = cast.xy[:, :1].clone()
    side = torch.tensor([-0.25, 0.25], device=middle.device).view(1, 2, 1)
    cast.xy[:, :2] = middle
    cast.xy[:, :2, :, 0] += side
    cast.xy[:, :2, :, 1] += random.uniform(2, 1, low=-0.2, high=0.2)
    _loiter(cast, random)
    first = random.whole(high=2)
    last = first if same else 1 - first
    for lamp, early in ((first, True), (last, False)):
        # Never in the first frame, finished within the first quarter, and visible in one of eight
        # frames, even when frames are sampled at random from each eighth of the clip.
        when, width = (0.16, 0.16) if early else (0.9, 0.2)
        shown = flash(cast.time, when, width)
        lit = torch.nn.functional.one_hot(lamp, cast.glow.shape[1])
        cast.glow += lit[:, :, None] * shown
    cast.set_target("first_event", FLASH)
    cast.set_target("last_event", FLASH)


CLASSES: Classes = {
    "cue_left": lambda cast, random: _cue(cast, random, LEFT),
    "cue_right": lambda cast, random: _cue(cast, random, RIGHT),
    "cue_up": lambda cast, random: _cue(cast, random, UP),
    "cue_down": lambda cast, random: _cue(cast, random, DOWN),
    "turn_clockwise": lambda cast, random: _relation(cast, random, True),
    "turn_anticlockwise": lambda cast, random: _relation(cast, random, False),
    "same_lamp": lambda cast, random: _lamps(cast, random, True),
    "other_lamp": lambda cast, random: _lamps(cast, random, False),
}

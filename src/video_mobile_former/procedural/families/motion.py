"""Simple motion: all actors go one way, change their speed, turn, grow or shrink."""

from __future__ import annotations

import torch

from ..cast import Cast
from ..keyed_random import KeyedRandom
from ..trajectories import DOWN, LEFT, RIGHT, UP, accelerated, heading, unit
from .kinds import Classes


def _go(cast: Cast, random: KeyedRandom, direction: int) -> None:
    way = random.uniform(1, low=0.45, high=0.75) * cast.speed
    step = unit(torch.full((cast.clips,), direction, device=cast.time.device)) * way
    cast.shift(cast.time[None], step)


def _change_speed(cast: Cast, random: KeyedRandom, sign: float) -> None:
    step = heading(random.uniform() * 2 * torch.pi) * random.uniform(1, low=0.6, high=0.9)
    change = random.uniform(1, low=0.8, high=0.95) * sign
    cast.shift(accelerated(cast.time[None], change), step * cast.speed)


def _turn(cast: Cast, random: KeyedRandom, sign: float) -> None:
    turns = random.uniform(1, 1, low=0.5, high=0.9) * sign * cast.speed
    cast.angle += 2 * torch.pi * turns * cast.time


def _scale(cast: Cast, random: KeyedRandom, sign: float) -> None:
    growth = random.uniform(1, 1, low=0.5, high=0.75) * sign * cast.speed
    cast.size *= (growth * cast.time).exp()


CLASSES: Classes = {
    "move_left": lambda cast, random: _go(cast, random, LEFT),
    "move_right": lambda cast, random: _go(cast, random, RIGHT),
    "move_up": lambda cast, random: _go(cast, random, UP),
    "move_down": lambda cast, random: _go(cast, random, DOWN),
    "speed_up": lambda cast, random: _change_speed(cast, random, 1.0),
    "slow_down": lambda cast, random: _change_speed(cast, random, -1.0),
    "spin_clockwise": lambda cast, random: _turn(cast, random, 1.0),
    "spin_anticlockwise": lambda cast, random: _turn(cast, random, -1.0),
    "grow": lambda cast, random: _scale(cast, random, 1.0),
    "shrink": lambda cast, random: _scale(cast, random, -1.0),
}

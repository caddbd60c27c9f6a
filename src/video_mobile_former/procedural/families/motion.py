"""Simple motion: all actors go one way, change their speed, turn, grow or shrink."""

from __future__ import annotations

import torch

from ..cast import Cast
from ..draws import Draws
from ..trajectories import DOWN, LEFT, RIGHT, UP, accelerated, heading, unit
from .kinds import Classes


def _go(cast: Cast, draws: Draws, direction: int) -> None:
    way = draws.uniform(1, low=0.45, high=0.75) * cast.speed
    step = unit(torch.full((cast.clips,), direction, device=cast.time.device)) * way
    cast.shift(cast.time[None], step)


def _change_speed(cast: Cast, draws: Draws, sign: float) -> None:
    step = heading(draws.uniform() * 2 * torch.pi) * draws.uniform(1, low=0.6, high=0.9)
    change = draws.uniform(1, low=0.8, high=0.95) * sign
    cast.shift(accelerated(cast.time[None], change), step * cast.speed)


def _turn(cast: Cast, draws: Draws, sign: float) -> None:
    turns = draws.uniform(1, 1, low=0.5, high=0.9) * sign * cast.speed
    cast.angle += 2 * torch.pi * turns * cast.time


def _scale(cast: Cast, draws: Draws, sign: float) -> None:
    growth = draws.uniform(1, 1, low=0.5, high=0.75) * sign * cast.speed
    cast.size *= (growth * cast.time).exp()


CLASSES: Classes = {
    "move_left": lambda cast, draws: _go(cast, draws, LEFT),
    "move_right": lambda cast, draws: _go(cast, draws, RIGHT),
    "move_up": lambda cast, draws: _go(cast, draws, UP),
    "move_down": lambda cast, draws: _go(cast, draws, DOWN),
    "speed_up": lambda cast, draws: _change_speed(cast, draws, 1.0),
    "slow_down": lambda cast, draws: _change_speed(cast, draws, -1.0),
    "spin_clockwise": lambda cast, draws: _turn(cast, draws, 1.0),
    "spin_anticlockwise": lambda cast, draws: _turn(cast, draws, -1.0),
    "grow": lambda cast, draws: _scale(cast, draws, 1.0),
    "shrink": lambda cast, draws: _scale(cast, draws, -1.0),
}

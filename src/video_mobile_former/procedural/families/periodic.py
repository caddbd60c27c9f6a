"""Periodic motion: swings, circles, pulses and rocking, which decay or grow.

Decay means time runs forward, growth that it runs backward: the target ``arrow``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..cast import Cast
from ..keyed_random import KeyedRandom
from ..trajectories import swinging
from .kinds import Classes


def _wave(cast: Cast, random: KeyedRandom) -> tuple[Tensor, Tensor]:
    """Two waves a quarter period apart, (n, F) each, zero at the first moment."""
    cycles = random.uniform(1, low=1.0, high=1.9)
    phase = random.uniform(1)
    forward = random.chance(0.5, 1)
    decay = random.uniform(1, low=0.9, high=1.4) * torch.where(forward, 1.0, -1.0)
    cast.set_target("cycles", cycles[:, 0])
    cast.set_target("arrow", forward[:, 0].long())
    waves = [swinging(cast.time[None], cycles, phase + quarter, decay) for quarter in (0.0, 0.25)]
    return waves[0] - waves[0][:, :1], waves[1] - waves[1][:, :1]


def _swing(cast: Cast, random: KeyedRandom, axis: int) -> None:
    wave, _ = _wave(cast, random)
    cast.xy[..., axis] += wave[:, None] * random.uniform(1, 1, low=0.22, high=0.32) * cast.speed


def _circle(cast: Cast, random: KeyedRandom, sign: float) -> None:
    first, second = _wave(cast, random)
    reach = random.uniform(1, 1, low=0.2, high=0.3) * cast.speed
    # With y downwards (cos, sin) of a growing angle is clockwise.
    cast.xy[..., 0] += second[:, None] * reach
    cast.xy[..., 1] += sign * first[:, None] * reach


def _pulse(cast: Cast, random: KeyedRandom) -> None:
    wave, _ = _wave(cast, random)
    cast.size *= (wave[:, None] * 0.45 * cast.speed).clamp(-0.8, 0.6).exp()


def _rock(cast: Cast, random: KeyedRandom) -> None:
    wave, _ = _wave(cast, random)
    cast.angle += wave[:, None] * random.uniform(1, 1, low=0.9, high=1.3) * cast.speed


CLASSES: Classes = {
    "swing_horizontal": lambda cast, random: _swing(cast, random, 0),
    "swing_vertical": lambda cast, random: _swing(cast, random, 1),
    "circle_clockwise": lambda cast, random: _circle(cast, random, 1.0),
    "circle_anticlockwise": lambda cast, random: _circle(cast, random, -1.0),
    "pulse": _pulse,
    "rock": _rock,
}

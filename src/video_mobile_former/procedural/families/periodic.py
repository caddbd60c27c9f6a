"""Periodic motion: swings, circles, pulses and rocking, which fade away or build up.

A swing that loses reach has time running forward, one that gains it backward: the target ``arrow``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..cast import Cast
from ..draws import Draws
from ..trajectories import swinging
from .kinds import Classes


def _wave(cast: Cast, draws: Draws) -> tuple[Tensor, Tensor]:
    """Two waves a quarter apart, (n, F) each, zero at the first moment."""
    cycles = draws.uniform(1, low=1.0, high=1.9)
    phase = draws.uniform(1)
    forward = draws.chance(0.5, 1)
    decay = draws.uniform(1, low=0.9, high=1.4) * torch.where(forward, 1.0, -1.0)
    cast.tell("cycles", cycles[:, 0])
    cast.tell("arrow", forward[:, 0].long())
    waves = [swinging(cast.time[None], cycles, phase + quarter, decay) for quarter in (0.0, 0.25)]
    return waves[0] - waves[0][:, :1], waves[1] - waves[1][:, :1]


def _swing(cast: Cast, draws: Draws, axis: int) -> None:
    wave, _ = _wave(cast, draws)
    cast.xy[..., axis] += wave[:, None] * draws.uniform(1, 1, low=0.22, high=0.32) * cast.speed


def _circle(cast: Cast, draws: Draws, sign: float) -> None:
    first, second = _wave(cast, draws)
    reach = draws.uniform(1, 1, low=0.2, high=0.3) * cast.speed
    # With y downwards (cos, sin) of a growing angle is clockwise.
    cast.xy[..., 0] += second[:, None] * reach
    cast.xy[..., 1] += sign * first[:, None] * reach


def _pulse(cast: Cast, draws: Draws) -> None:
    wave, _ = _wave(cast, draws)
    cast.size *= (wave[:, None] * 0.45 * cast.speed).clamp(-0.8, 0.6).exp()


def _rock(cast: Cast, draws: Draws) -> None:
    wave, _ = _wave(cast, draws)
    cast.angle += wave[:, None] * draws.uniform(1, 1, low=0.9, high=1.3) * cast.speed


CLASSES: Classes = {
    "swing_horizontal": lambda cast, draws: _swing(cast, draws, 0),
    "swing_vertical": lambda cast, draws: _swing(cast, draws, 1),
    "circle_clockwise": lambda cast, draws: _circle(cast, draws, 1.0),
    "circle_anticlockwise": lambda cast, draws: _circle(cast, draws, -1.0),
    "pulse": _pulse,
    "rock": _rock,
}

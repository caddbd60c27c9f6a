"""Camera motion: pan, tilt, zoom, roll and shake.

``pan_left`` is named after the camera, so the picture moves to the right. The world is wider than
the picture, so that things enter and leave the view.
"""

from __future__ import annotations

import torch

from ..camera import shaken
from ..cast import ACTORS, Cast
from ..keyed_random import KeyedRandom
from ..trajectories import DOWN, LEFT, RIGHT, UP, unit
from .kinds import Classes

WORLD = 1.5
"""Width of the world in widths of the picture: more than its diagonal, or than a zoom shows."""


def _pan(cast: Cast, random: KeyedRandom, seen: int) -> None:
    way = random.uniform(1, low=0.35, high=0.6) * cast.speed
    step = unit(torch.full((cast.clips,), seen, device=cast.time.device)) * way
    cast.view[..., :2] += cast.time[None, :, None] * step[:, None]
    _film(cast)


def _zoom(cast: Cast, random: KeyedRandom, sign: float) -> None:
    growth = random.uniform(1, low=0.28, high=0.4) * sign * min(cast.speed, 1.0)
    cast.view[..., 2] += growth * cast.time
    _film(cast)


def _roll(cast: Cast, random: KeyedRandom, sign: float) -> None:
    angle = random.uniform(1, low=0.6, high=1.1) * sign * cast.speed
    cast.view[..., 3] += angle * cast.time
    _film(cast)


def _shake(cast: Cast, random: KeyedRandom) -> None:
    cast.view += shaken(random, cast.time, 0.05 * cast.speed)
    _film(cast)


def _film(cast: Cast) -> None:
    """Show actors at rest in the world through the moving camera."""
    cast.only(ACTORS)
    cast.wraps = False
    shift, zoom, roll = cast.view[..., :2], cast.view[..., 2].exp(), cast.view[..., 3]
    placed = (cast.xy * WORLD + shift[:, None] + WORLD / 2) % WORLD - WORLD / 2
    x, y = placed.unbind(-1)
    cos, sin = (zoom * roll.cos())[:, None], (zoom * roll.sin())[:, None]
    cast.xy = torch.stack([cos * x - sin * y, sin * x + cos * y], -1)
    cast.size *= zoom[:, None]
    cast.angle += roll[:, None]


CLASSES: Classes = {
    "pan_left": lambda cast, random: _pan(cast, random, RIGHT),
    "pan_right": lambda cast, random: _pan(cast, random, LEFT),
    "tilt_up": lambda cast, random: _pan(cast, random, DOWN),
    "tilt_down": lambda cast, random: _pan(cast, random, UP),
    "zoom_in": lambda cast, random: _zoom(cast, random, 1.0),
    "zoom_out": lambda cast, random: _zoom(cast, random, -1.0),
    "roll_clockwise": lambda cast, random: _roll(cast, random, -1.0),
    "roll_anticlockwise": lambda cast, random: _roll(cast, random, 1.0),
    "shake": _shake,
}

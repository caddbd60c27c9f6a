"""Views: camera motion that is not the class, and camera shake."""

from __future__ import annotations

import torch
from torch import Tensor

from .keyed_random import KeyedRandom
from .trajectories import heading


def wandering(random: KeyedRandom, time: Tensor, strength: float) -> Tensor:
    """Gentle background motion, independent of the class.

    Args:
        random: n rows.
        time: (F,) from 0 to 1.
        strength: 0 for none to 1.

    Returns:
        (n, F, 4): shift x, y in widths, log zoom, roll in radians; zero at the first moment.
    """
    way = random.uniform(1, low=0.0, high=0.3)
    step = heading(random.uniform() * 2 * torch.pi) * way
    rest = random.uniform(2, low=-1.0) * torch.tensor([0.12, 0.2], device=time.device)
    rate = torch.cat([step, rest], 1)[:, None]
    view = rate * time[None, :, None]
    view += random.chance(0.2).float()[:, None, None] * shaken(random, time, 0.015)
    still = random.chance(0.25).float()[:, None, None]
    return view * (1 - still) * strength


def shaken(random: KeyedRandom, time: Tensor, reach: float) -> Tensor:
    """A shaking hand: three waves of unrelated frequencies in each direction.

    Returns:
        (n, F, 4) as :func:`wandering`; zero at the first moment.
    """
    frequency = random.uniform(3, 4, low=1.5, high=3.7)
    phase = random.uniform(3, 4)
    weight = random.uniform(3, 4, low=0.5) * torch.tensor([1.0, 1.0, 0.5, 1.0], device=time.device)
    turns = frequency[:, None] * time[None, :, None, None] + phase[:, None]
    waves = (weight[:, None] * (2 * torch.pi * turns).sin()).sum(2)
    return reach * (waves - waves[:, :1])


def looked_up(view: Tensor, start: Tensor, axis: Tensor) -> Tensor:
    """Position of each pixel of a frame on the tile of a pattern.

    Args:
        view: (N, T, 4) as above.
        start: (N, 4) the view at rest: position in tiles, log of tiles per width, turn.
        axis: (S,) pixel centres from -1/2 to 1/2.

    Returns:
        (N, T, S, S, 2) positions in tiles, not yet wrapped.
    """
    turn = view[..., 3] + start[:, None, 3]
    scale = (start[:, None, 2] - view[..., 2]).exp()
    cos, sin = scale * turn.cos(), scale * turn.sin()
    # The picture is zoom · turn · (world + shift): pixels are turned back, then shifted back.
    here = start[:, None, :2]
    base = (start[:, None, 2]).exp()[..., None]
    fixed = torch.stack([start[:, 3].cos(), start[:, 3].sin()], -1)[:, None]
    x, y = view[..., 0], view[..., 1]
    moved = torch.stack(
        [fixed[..., 0] * x + fixed[..., 1] * y, fixed[..., 0] * y - fixed[..., 1] * x], -1
    )
    origin = here - base * moved  # (N, T, 2)
    row, column = axis.view(1, 1, -1, 1), axis.view(1, 1, 1, -1)
    wide = (*cos.shape, 1, 1)
    u = (cos.view(wide) * column + sin.view(wide) * row) + origin[..., 0].view(wide)
    v = (cos.view(wide) * row - sin.view(wide) * column) + origin[..., 1].view(wide)
    return torch.stack([u, v], -1)

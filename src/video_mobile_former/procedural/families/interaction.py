"""Interactions of two actors.

Roles are random per clip, and all classes start alike: one actor at some distance from the other,
in any direction. There may be a third as a bystander.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cast import Cast
from ..keyed_random import KeyedRandom
from ..trajectories import eased, heading, ramp
from .kinds import Act, Classes


@dataclass(frozen=True)
class _Pair:
    """Two actors in axes of their own: along the line from second to first, and across."""

    time: Tensor
    gap: Tensor
    """(n, 1) distance at the first moment."""
    touch: Tensor
    """(n, 1) distance of their centres when they touch."""
    speed: float
    random: KeyedRandom

    def line(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Both on the line: distances along it as (n, F, 2) places."""
        none = torch.zeros_like(first)
        return torch.stack([first, none], -1), torch.stack([second, none], -1)


def _chase(pair: _Pair, closing: float) -> tuple[Tensor, Tensor]:
    """The second comes after the first; the gap closes, stays or grows."""
    way = pair.random.uniform(1, low=0.55, high=0.75) * pair.speed * pair.time
    if closing > 0:
        gap = torch.lerp(pair.gap, pair.touch, pair.time)
    else:
        gap = pair.gap - closing * pair.time * pair.gap
    if closing >= 0:
        return pair.line(pair.gap + way, pair.gap + way - gap)
    follower = way * 0.4
    return pair.line(follower + gap, follower)


def _collide(pair: _Pair, through: bool) -> tuple[Tensor, Tensor]:
    """They meet in the middle and bounce, or go past each other."""
    half = pair.gap / 2
    when = pair.random.uniform(1, low=0.4, high=0.55)
    reach = torch.maximum(half - pair.touch / 2, torch.full_like(half, 0.03))
    passed = pair.time / when  # 1 when they touch
    if through:
        along = half - reach * passed * half / reach
    else:
        along = half - reach * (1 - (1 - passed).abs())
    return pair.line(half + along, half - along)


def _exchange(pair: _Pair) -> tuple[Tensor, Tensor]:
    """They change places around each other."""
    half = pair.gap / 2
    angle = torch.pi * eased(pair.time, 0.0, 0.95) * pair.random.sign(1)
    turned = heading(angle) * half[..., None]
    middle = torch.stack([half, torch.zeros_like(half)], -1)
    return middle + turned, middle - turned


def _avoid(pair: _Pair) -> tuple[Tensor, Tensor]:
    """The second comes straight on; the first moves out of its way."""
    come = pair.gap * 1.6 * pair.time
    aside = eased(pair.time, 0.25, 0.7) * pair.random.uniform(1, low=0.28, high=0.38)
    aside = aside * pair.random.sign(1)
    first = torch.stack([pair.gap.expand_as(aside), aside], -1)
    return first, torch.stack([come, torch.zeros_like(come)], -1)


def _push(pair: _Pair) -> tuple[Tensor, Tensor]:
    """The second comes, touches the first and pushes it on."""
    come = pair.time * (pair.gap * 2.0 * pair.speed)
    return pair.line(torch.maximum(pair.gap.expand_as(come), come + pair.touch), come)


def _strike(pair: _Pair) -> tuple[Tensor, Tensor]:
    """The second comes, touches the first and stops; the first goes on."""
    free = (pair.gap - pair.touch).clamp_min(0.05)
    when = pair.random.uniform(1, low=0.35, high=0.5)
    come = free * ramp(pair.time, 0.0, when)
    gone = ramp(pair.time, when, 1.0) * pair.random.uniform(1, low=0.35, high=0.5)
    return pair.line(pair.gap + gone * pair.speed, come)


def _act(play: Callable[[_Pair], tuple[Tensor, Tensor]]) -> Act:
    def act(cast: Cast, random: KeyedRandom) -> None:
        cast.at_least(2)
        gap = random.uniform(1, low=0.34, high=0.46)
        along = heading(random.uniform() * 2 * torch.pi)  # from the second to the first
        drift = heading(random.uniform() * 2 * torch.pi) * random.uniform(1, high=0.1)
        swapped = random.chance(0.5)
        touch = cast.size[:, :2, 0].sum(1, keepdim=True) * 0.85
        pair = _Pair(cast.time[None], gap, touch, cast.speed, random)
        first, second = play(pair)
        across = torch.stack([-along[:, 1], along[:, 0]], -1)
        start = cast.xy[:, :1].clone()
        places = torch.stack([first, second], 1)  # (n, 2, F, 2) along and across
        places = places[..., :1] * along[:, None, None] + places[..., 1:] * across[:, None, None]
        places = places + drift[:, None, None] * cast.time[None, None, :, None] + start
        cast.xy[:, :2] = torch.where(swapped[:, None, None, None], places.flip(1), places)

    return act


CLASSES: Classes = {
    "chase": _act(lambda pair: _chase(pair, 1.0)),
    "follow": _act(lambda pair: _chase(pair, 0.0)),
    "escape": _act(lambda pair: _chase(pair, -0.9)),
    "collide": _act(lambda pair: _collide(pair, through=False)),
    "pass": _act(lambda pair: _collide(pair, through=True)),
    "exchange": _act(_exchange),
    "avoid": _act(_avoid),
    "push": _act(_push),
    "strike": _act(_strike),
}

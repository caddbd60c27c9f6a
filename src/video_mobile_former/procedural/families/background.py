"""Background: things wander about and nothing of a class happens; what lies between events."""

from __future__ import annotations

import torch

from ..cast import Cast
from ..keyed_random import KeyedRandom
from .kinds import Classes


def _nothing(cast: Cast, random: KeyedRandom) -> None:
    """Let the actors sway a little about where they are."""
    turns = cast.time[None, :, None] * random.whole(1, 2, low=1, high=3)
    phase = random.uniform(1, 2)
    wave = (2 * torch.pi * (turns + phase)).sin() * random.uniform(1, 2, low=-0.03, high=0.03)
    cast.xy += wave[:, None]


CLASSES: Classes = {"nothing": _nothing}

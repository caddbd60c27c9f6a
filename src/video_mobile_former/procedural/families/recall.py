"""Recall: a cue in the first frames decides what is right at the end of a long clip.

Every clip is built of three parts, counted in frames whatever its length T:

- the **cue**, the first 8 frames: all actors light up (``flash``), are away (``vanish``) or swell
  (``grow``), and are as before when it ends;
- between: the actors wander, the same in all classes to the pixel;
- the **question**, the last 8 frames.

``recall_flash``, ``recall_vanish`` and ``recall_grow`` are named after the cue and have no
question: the right answer is known after 8 frames, and must still be known at the end.
``asked_same`` and ``asked_other`` show a second event in the question, that of the cue or one of
the others: neither part alone tells which. At T = 80 the cue lies 64 frames before the question, at
T = 272 it is 256.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..cast import SUBSTEPS, Cast
from ..keyed_random import KeyedRandom
from ..trajectories import eased, heading
from .kinds import Classes

CUE_FRAMES = QUESTION_FRAMES = 8
"""Frames of the cue, and of the question."""
KINDS: tuple[str, ...] = ("flash", "vanish", "grow")
_GROWTH = 0.9
"""How much larger actors are at the height of ``grow``, as a share of their size."""
_LEG = 8
"""Frames between two turns of a wandering actor."""


def _wander(cast: Cast, random: KeyedRandom, start: int, end: int) -> None:
    """Go in a new direction every few frames, from one frame to another."""
    frame = torch.arange(len(cast.time), device=cast.time.device) / SUBSTEPS
    legs = range(start, end, _LEG)
    angles = random.uniform(len(legs), high=2 * torch.pi)
    ways = random.uniform(len(legs), low=0.05, high=0.2) * cast.speed
    for k, leg in enumerate(legs):
        part = eased(frame[None], leg, min(leg + _LEG, end))
        cast.shift(part, heading(angles[:, k]) * ways[:, k, None])


def _show(cast: Cast, kind: Tensor, when: Tensor, frames: float) -> None:
    """Let an event happen.

    Args:
        cast: The actors.
        kind: int64 (n,), positions in :data:`KINDS`.
        when: (n,) its first frame, may be a fraction.
        frames: How long it takes.
    """
    frame = torch.arange(len(cast.time), device=cast.time.device) / SUBSTEPS
    during = ((frame >= when[:, None]) & (frame < when[:, None] + frames)).float()
    shown = torch.stack([during * (kind == k).float()[:, None] for k in range(len(KINDS))])
    flash, vanish, grow = shown[:, :, None]  # (n, 1, F) each
    cast.glow = torch.maximum(cast.glow, flash.expand_as(cast.glow))
    cast.opacity = cast.opacity * (1 - vanish)
    cast.size = cast.size * (1 + _GROWTH * grow)


def _clip(cast: Cast, random: KeyedRandom, kind: int | None, same: bool | None) -> None:
    """One clip: ``kind`` of the cue, or with ``same`` a random cue and a question."""
    frames = len(cast.time) // SUBSTEPS
    first = random.whole(high=len(KINDS))
    step = random.whole(low=1, high=len(KINDS))
    # In every class the same numbers in the same order, so that what lies between is the same.
    when = random.uniform(2, low=1.0, high=2.5)
    _wander(cast, random, 0, frames)
    if kind is not None:
        first = torch.full_like(first, kind)
    _show(cast, first, when[:, 0], CUE_FRAMES - 3.5)
    if same is not None:
        last = first if same else (first + step) % len(KINDS)
        _show(cast, last, frames - QUESTION_FRAMES + when[:, 1], CUE_FRAMES - 3.5)


CLASSES: Classes = {
    "recall_flash": lambda cast, random: _clip(cast, random, 0, None),
    "recall_vanish": lambda cast, random: _clip(cast, random, 1, None),
    "recall_grow": lambda cast, random: _clip(cast, random, 2, None),
    "asked_same": lambda cast, random: _clip(cast, random, None, True),
    "asked_other": lambda cast, random: _clip(cast, random, None, False),
}

"""Mixing the clips of a batch: MixUp, CutMix and their forms for video.

MixUp (arXiv 1710.09412) adds two clips, CutMix (arXiv 1905.04899) puts a box of one into another;
for video (VideoMix, arXiv 2012.03457) the box is cut from all frames, from a part of the time, or
from both. Targets are mixed by the share that each clip has in the result, in whole pixels and
frames. It is done on the device and after normalising: normalising is affine, so sums come to the
same without being rounded to 1/255.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

CutKind = Literal["spatial", "temporal", "spatiotemporal"]
_STREAM = 1
"""Keeps these samples apart from what else is seeded by the place in a run."""


class Mix(NamedTuple):
    """How one batch is mixed."""

    partners: Tensor
    """``(B,)`` int64: the other clip of each; never the clip itself."""
    share: float
    """How much of each clip is left, 0 to 1."""
    box: tuple[slice, slice, slice] | None
    """Frames, rows and columns that come from the partner; None adds the clips."""


@dataclass(frozen=True)
class Mixing:
    """Which batches are mixed, and how much."""

    mixup_alpha: float = 0.0
    """The share is sampled from Beta(α, α); 0 = no MixUp."""
    cutmix_alpha: float = 0.0
    """The same for CutMix; where both are above 0, half of the mixed batches get each."""
    cutmix_kind: CutKind = "spatial"
    """What the box spans: all frames, whole frames of a part of the time, or a part of both."""
    probability: float = 1.0
    """Chance that a batch is mixed."""

    def sample(self, place: Sequence[int], shape: Sequence[int]) -> Mix | None:
        """Draw how a batch is mixed.

        Args:
            place: Seed, epoch, batch and process: the same numbers give the same mix.
            shape: Of the batch, ``(B, 3, T, H, W)``.

        Returns:
            None where the batch stays as it is.
        """
        alphas = {"mixup": self.mixup_alpha, "cutmix": self.cutmix_alpha}
        kinds = [kind for kind, alpha in alphas.items() if alpha > 0]
        count, _, *sides = shape
        if not kinds or count < 2:
            return None
        rng = np.random.default_rng([*place, _STREAM])
        if rng.random() >= self.probability:
            return None
        kind = kinds[rng.integers(len(kinds))]
        share = float(rng.beta(alphas[kind], alphas[kind]))
        partners = _partners(count, rng)
        if kind == "mixup":
            return Mix(partners, share, None)
        box = _sample_box(sides, 1 - share, self.cutmix_kind, rng)
        cut = math.prod(part.stop - part.start for part in box)
        return Mix(partners, 1 - cut / math.prod(sides), box)


def mix_clips(clips: Tensor, mix: Mix) -> Tensor:
    """Mix a batch of clips.

    Args:
        clips: ``(B, 3, T, H, W)`` floats on any device; changed in place.
        mix: From :meth:`Mixing.sample`.

    Returns:
        ``clips``.
    """
    partners = mix.partners.to(clips.device)
    if mix.box is None:
        return clips.lerp_(clips[partners], 1 - mix.share)
    part = clips[(..., *mix.box)]
    part.copy_(part[partners])
    return clips


def mix_targets(targets: Tensor, num_classes: int, mix: Mix) -> Tensor:
    """Mix the targets of a batch.

    Args:
        targets: ``(B,)`` int64 classes, or ``(B, K)`` floats, one or several classes a clip.
        num_classes: K.
        mix: From :meth:`Mixing.sample`.

    Returns:
        ``(B, K)`` float32.
    """
    targets = dense_targets(targets, num_classes)
    return mix.share * targets + (1 - mix.share) * targets[mix.partners.to(targets.device)]


def dense_targets(targets: Tensor, num_classes: int) -> Tensor:
    """Classes as rows of 0 and 1; targets that have rows already are left as they are.

    Args:
        targets: (B,) int64, or (B, num_classes) float.
        num_classes: Length of a row.

    Returns:
        (B, num_classes) float32.
    """
    if targets.dim() == 1:
        targets = F.one_hot(targets, num_classes)
    return targets.float()


def _partners(count: int, rng: np.random.Generator) -> Tensor:
    """For each clip the next one in a random round of all."""
    order = rng.permutation(count)
    partners = np.empty(count, dtype=np.int64)
    partners[order] = np.roll(order, 1)
    return torch.from_numpy(partners)


def _sample_box(
    sides: Sequence[int], volume: float, kind: CutKind, rng: np.random.Generator
) -> tuple[slice, slice, slice]:
    """A box of about this share of ``(T, H, W)`` about a random centre, cut off at the borders."""
    cut = {"spatial": (1, 2), "temporal": (0,), "spatiotemporal": (0, 1, 2)}[kind]
    box = [slice(0, side) for side in sides]
    for axis in cut:
        length = round(sides[axis] * volume ** (1 / len(cut)))
        start = int(rng.integers(sides[axis])) - length // 2
        box[axis] = slice(max(0, start), min(sides[axis], start + length))
    return box[0], box[1], box[2]

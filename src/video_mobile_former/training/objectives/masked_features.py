"""Masked feature prediction: what do the hidden parts of a clip look like? No labels are needed.

Source: *Masked Feature Prediction for Self-Supervised Visual Pre-Training* (arXiv 2112.09133):
boxes in space and time are hidden, and a linear layer on the last features predicts the histograms
of oriented gradients (HOG) of what was there: 9 orientations in cells of 8 × 8 pixels, for each
colour, each cell's histogram normalised.

Decided here, because the paper's network is a transformer and ours are convolutions: parts are
hidden in the picture, by its mean, and boxes are whole cells of the last features (32 pixels wide
here), so that a feature predicts 4 × 4 HOG cells of its own frame. A loss of training alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...data.loading.dataset import Batch
from ..clips.inputs import training_inputs
from .objective import Beside, OnePass, Pass

ORIENTATIONS = 9
CELL = 8
"""Pixels of one side of a HOG cell."""
CELLS = 4
"""HOG cells along one side of what one place of the last features predicts."""
_STRIDE = CELL * CELLS


class MaskedFeatures(Beside):
    """Hides parts of clips and grades what is predicted of them.

    Args:
        channels: Of the last features.
        ratio: Share of places to hide, between 0 and 1.
        weight: Of the loss.
        every: 2 hides parts of every second clip of a batch alone, for labels want whole ones too.
    """

    field = "pretrain"
    wants_local = True

    def __init__(self, channels: int, ratio: float, *, weight: float = 1.0, every: int = 1):
        super().__init__()
        self.ratio, self.weight, self.every = ratio, weight, every
        self.predict = nn.Linear(channels, CELLS * CELLS * 3 * ORIENTATIONS)

    def hide(self, seen: Pass) -> None:
        """Hide parts of the clips of a pass."""
        seen.mask = self.sample(seen.clips, seen.place)
        if self.every == 2:
            seen.mask[1::2] = False
        seen.shown = hide(seen.clips, seen.mask)

    def forward(self, seen: Pass) -> Tensor:
        """See :class:`Beside`."""
        return self.weight * self.errors(seen).mean()

    def errors(self, seen: Pass) -> Tensor:
        """The losses of the clips of a pass that have hidden parts."""
        assert seen.local is not None
        assert seen.mask is not None
        step = self.every
        return self.loss(seen.local[::step], seen.clips[::step], seen.mask[::step])

    def sample(self, clips: Tensor, place: Sequence[int], first: int = 0) -> Tensor:
        """Draw what to hide.

        Args:
            clips: (B, 3, T, H, W).
            place: Numbers that decide what is sampled, together with the position in the batch.
            first: Position of the first clip.

        Returns:
            (B, T, h, w) bool, True where hidden; h = ⌈H / 32⌉ and w = ⌈W / 32⌉.
        """
        shape = (clips.shape[2], -(-clips.shape[3] // _STRIDE), -(-clips.shape[4] // _STRIDE))
        masks = [
            sample_mask(shape, self.ratio, np.random.default_rng([*place, first + i]))
            for i in range(len(clips))
        ]
        return torch.from_numpy(np.stack(masks)).to(clips.device)

    def loss(self, features: Tensor, clips: Tensor, mask: Tensor) -> Tensor:
        """How wrong the predictions are where clips were hidden.

        Args:
            features: (B, T', C, h', w') last features of the hidden clips.
            clips: (B, 3, T, H, W) before they were hidden.
            mask: (B, T, h, w) bool.

        Returns:
            (B,) float32, the mean squared error over the hidden places of each clip.
        """
        with torch.autocast(features.device.type, enabled=False):
            size = tuple(mask.shape[1:])
            x = features.float().transpose(1, 2)
            if tuple(x.shape[2:]) != size:
                x = F.interpolate(x, size)
            predicted = self.predict(x.permute(0, 2, 3, 4, 1))  # (B, T, h, w, 432)
            error = (predicted - hog(clips, mask.shape[2], mask.shape[3])).square().mean(-1)
            hidden = mask.float()
            return (error * hidden).flatten(1).sum(1) / hidden.flatten(1).sum(1).clamp_min(1)


class MaskedPrediction(OnePass):
    """Learns what is hidden, and no classes.

    Args:
        masked: What is hidden, and the layer that predicts it.
        beside: More losses beside.
    """

    def __init__(self, masked: MaskedFeatures, beside: Sequence[Beside] = ()):
        super().__init__([masked, *beside])

    def errors(self, model: Any, batch: Batch, place: Sequence[int]) -> Tensor:
        """See :class:`~.objective.Objective`."""
        clips, labels = training_inputs(batch, model.clip, model.num_classes, self.mixing, place)
        seen = Pass(batch, clips, labels, place, shown=clips)
        self.look(model, seen)
        return cast("MaskedFeatures", self.beside[0]).errors(seen)


def hide(clips: Tensor, mask: Tensor) -> Tensor:
    """Put the mean colour, which is 0 in normalised clips, where the mask says.

    Args:
        clips: (B, 3, T, H, W).
        mask: (B, T, h, w) bool.

    Returns:
        A new tensor of the same shape.
    """
    height, width = clips.shape[-2:]
    large = mask.repeat_interleave(_STRIDE, 2).repeat_interleave(_STRIDE, 3)
    return clips.masked_fill(large[:, None, :, :height, :width], 0.0)


def sample_mask(
    shape: tuple[int, int, int], ratio: float, generator: np.random.Generator
) -> np.ndarray:
    """Draw boxes until at least a share of the places is hidden, and at least one is not.

    Args:
        shape: T, h and w in places.
        ratio: The share, between 0 and 1.
        generator: Source of all choices.

    Returns:
        (T, h, w) bool.
    """
    mask = np.zeros(shape, dtype=bool)
    wanted = min(max(1, math.ceil(ratio * mask.size)), mask.size - 1)
    while mask.sum() < wanted:
        box = []
        for length in shape:
            side = int(generator.integers(1, max(1, length // 2) + 1))
            start = int(generator.integers(0, length - side + 1))
            box.append(slice(start, start + side))
        before = mask[tuple(box)].copy()
        mask[tuple(box)] = True
        if mask.all():
            mask[tuple(box)] = before
    return mask


@torch.no_grad()
def hog(clips: Tensor, rows: int, columns: int) -> Tensor:
    """Histograms of oriented gradients.

    Args:
        clips: (B, 3, T, H, W); the scale of each colour does not matter.
        rows: h; H is stretched to 32 h where it is not that.
        columns: w, likewise.

    Returns:
        (B, T, h, w, 432): of 4 × 4 cells for each place, of each cell for each colour the 9
        orientations from 0 to 180°, with a norm of 1, or 0 where there is no gradient.
    """
    batch, colours, frames = clips.shape[:3]
    x = clips.float().transpose(1, 2).flatten(0, 2)[:, None]  # (B·T·3, 1, H, W)
    size = (rows * _STRIDE, columns * _STRIDE)
    if tuple(x.shape[-2:]) != size:
        x = F.interpolate(x, size, mode="bilinear", align_corners=False)
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    kernel = x.new_tensor(
        [[[[0, 0, 0], [-1, 0, 1], [0, 0, 0]]], [[[0, -1, 0], [0, 0, 0], [0, 1, 0]]]]
    )
    right, down = F.conv2d(x, kernel).unbind(1)
    strength = torch.hypot(right, down)
    # Opposite directions are one orientation; a rounding below 180° stays in the last bin.
    turn = torch.atan2(down, right).remainder(math.pi) / math.pi * ORIENTATIONS
    bins = turn.long().clamp_max(ORIENTATIONS - 1)
    votes = torch.zeros(len(x), ORIENTATIONS, *size, device=x.device)
    votes.scatter_(1, bins[:, None], strength[:, None])
    cells = F.normalize(F.avg_pool2d(votes, CELL), dim=1)  # (B·T·3, 9, 4h, 4w)
    cells = cells.view(batch, frames, colours, ORIENTATIONS, rows, CELLS, columns, CELLS)
    return cells.permute(0, 1, 4, 6, 5, 7, 2, 3).flatten(4)

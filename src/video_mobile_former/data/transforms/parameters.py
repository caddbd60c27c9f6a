"""What is drawn for a clip, apart from how it is applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class AugmentParameters(NamedTuple):
    """The random choices for the clips of a batch or, without the axis B, for one clip.

    Small tensors that stay on the CPU whatever the clips are on: they decide which operations run,
    and a device that held them would have to be waited for. Drawn by ``Augmentation.draw``, applied
    by ``augment``.
    """

    color: Tensor
    """``(B, 4)`` float64: factors of brightness, contrast and saturation, and the turn of the hue
    as a share of the circle; (1, 1, 1, 0) changes nothing, a saturation of 0 is grey."""
    operations: Tensor
    """``(B, N)`` int64 positions in ``randaugment.OPERATIONS``, done in turn."""
    values: Tensor
    """``(B, N)`` float64: how much of each operation, in its own unit."""
    erased: Tensor
    """``(B, 5)`` int64: top, left, height and width in pixels of the erased box (a height of 0
    erases nothing), and the seed of the noise in it."""

    def clips(self, which: slice | Tensor) -> AugmentParameters:
        """The parameters of some clips of a batch."""
        return AugmentParameters(*(field[which] for field in self))

    def flatten(self) -> AugmentParameters:
        """The axes (B, V) of a batch with several clips of each video as one."""
        return AugmentParameters(*(field.flatten(0, 1) for field in self))

    def as_batch(self) -> AugmentParameters:
        """The parameters of one clip as those of a batch of one."""
        return AugmentParameters(*(field[None] for field in self))


def stack_parameters(parameters: Sequence[AugmentParameters]) -> AugmentParameters:
    """Put the parameters of several clips, or of equally large batches, along a new first axis."""
    return AugmentParameters(*(torch.stack(field) for field in zip(*parameters, strict=True)))

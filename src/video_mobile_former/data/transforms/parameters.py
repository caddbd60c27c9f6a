"""The sampled augmentation parameters of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class AugmentParameters(NamedTuple):
    """The random choices for the clips of a batch or, without the axis B, for one clip.

    Small tensors that stay on the CPU wherever the clips are: they decide which operations run,
    and reading them from a device would need a synchronisation. Sampled by ``Augmentation.sample``,
    applied by ``augment``.
    """

    color: Tensor
    """``(B, 4)`` float64: factors of brightness, contrast and saturation, and the hue rotation as
    a share of the circle; (1, 1, 1, 0) is the identity, a saturation of 0 is grey."""
    operations: Tensor
    """``(B, N)`` int64 positions in ``randaugment.OPERATIONS``, applied in order."""
    values: Tensor
    """``(B, N)`` float64: strength of each operation, in its own unit."""
    erased: Tensor
    """``(B, 5)`` int64: top, left, height and width in pixels of the erased box (a height of 0
    erases nothing), and the seed of the noise in it."""

    def clips(self, which: slice | Tensor) -> AugmentParameters:
        """The parameters of some clips of a batch."""
        return AugmentParameters(*(field[which] for field in self))

    def flatten(self) -> AugmentParameters:
        """Merge the axes (B, V) of a batch with several clips per video."""
        return AugmentParameters(*(field.flatten(0, 1) for field in self))

    def as_batch(self) -> AugmentParameters:
        """The parameters of one clip as those of a batch of one."""
        return AugmentParameters(*(field[None] for field in self))


def stack_parameters(parameters: Sequence[AugmentParameters]) -> AugmentParameters:
    """Stack the parameters of several clips, or of equal-sized batches, on a new first axis."""
    return AugmentParameters(*(torch.stack(field) for field in zip(*parameters, strict=True)))

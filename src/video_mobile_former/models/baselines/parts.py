"""Parts that several of the other networks share, in either graph form."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.activation import per_channel


class SqueezeExcitation(nn.Module):
    """Scale every channel by a gate in (0, 1) computed from its mean over the whole clip.

    Source: arXiv 1709.01507.

    Args:
        channels: Channels.
        squeezed: Channels of the hidden layer.
        activation: What follows the hidden layer.
    """

    def __init__(
        self, channels: int, squeezed: int, activation: Callable[[Tensor], Tensor] = F.relu
    ):
        super().__init__()
        self.activation = activation
        self.reduce = nn.Linear(channels, squeezed)
        self.expand = nn.Linear(squeezed, channels)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Apply to (B, C, T, H, W) or (B·T, C, H, W)."""
        hidden = self.activation(self.reduce(mean_over_clip(x, num_frames)))
        return x * per_channel(self.expand(hidden).sigmoid(), x, num_frames)


def multiple_of_eight(width: float) -> int:
    """The nearest multiple of 8 that is at least 8 and not below nine tenths of ``width``."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * width else rounded + 8


def mean_over_clip(x: Tensor, num_frames: int) -> Tensor:
    """Mean (B, C) over time and space of (B, C, T, H, W) or (B·T, C, H, W)."""
    if x.dim() == 5:
        return x.mean(dim=(2, 3, 4))
    return x.mean(dim=(2, 3)).unflatten(0, (-1, num_frames)).mean(dim=1)

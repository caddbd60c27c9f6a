"""Parts that several of the other networks share, in either graph form."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.activation import per_channel
from ...layers.conv import ConvNorm
from ..video_model import VideoModel, recomputed


class StackedModel(VideoModel):
    """A stem, blocks one after another that take ``(x, num_frames)``, and a head."""

    stem: ConvNorm
    blocks: nn.ModuleList

    def forward_features(self, x: Tensor) -> Tensor:
        """Compute what the head sees.

        Args:
            x: Normalised RGB, (B, 3, T, H, W).

        Returns:
            Features (B, C, T, H', W').
        """
        x, num_frames = self._in_form(x)
        x = self._trunk(x, num_frames)
        return x if x.dim() == 5 else x.unflatten(0, (-1, num_frames)).transpose(1, 2)

    def forward_head(self, features: Tensor, *, pre_logits: bool = False) -> Tensor:
        """Compute what follows :meth:`forward_features`; see the base class."""
        hidden = self._hidden(features, features.shape[2])
        return hidden if pre_logits else self._classify(hidden)

    def _logits(self, x: Tensor, num_frames: int) -> Tensor:
        return self._classify(self._hidden(self._trunk(x, num_frames), num_frames))

    def _hidden(self, x: Tensor, num_frames: int) -> Tensor:
        """What the classifier takes, (B, D), of features (B, C, T, H', W') or (B·T, C, H', W')."""
        raise NotImplementedError

    def _trunk(self, x: Tensor, num_frames: int) -> Tensor:
        x = self._activate(self.stem(x, num_frames))
        recompute = self.gradient_checkpointing and self.training and torch.is_grad_enabled()
        for block in self.blocks:
            x = recomputed(block, [block], x, num_frames) if recompute else block(x, num_frames)
        return x

    def _activate(self, x: Tensor) -> Tensor:
        """The activation after the stem."""
        raise NotImplementedError


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

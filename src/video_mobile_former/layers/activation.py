"""Dynamic ReLU steered by the first global token.

Source: Mobile-Former (arXiv 2108.05895, section 3.2), after Dynamic ReLU (arXiv 2003.10027): the
two slopes of every channel are computed from the first token instead of from pooled features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .forms import may_overwrite


class DynamicReLU(nn.Module):
    """``y = max(a·x, b·x)`` with slopes computed per clip and channel from the first token.

    ``θ = hard_sigmoid(W_2 relu(W_1 z_0))``; ``a = 2·θ_a`` lies in [0, 2] and ``b = 2·θ_b − 1`` in
    [−1, 1]. Training starts at ``θ = ½``, a plain ReLU.

    Args:
        token_dim: Width D of a token; the hidden layer has D/4.
        channels: Channels C of the features.
        per_frame: Each frame has its own tokens and slopes.
    """

    def __init__(self, token_dim: int, channels: int, *, per_frame: bool = False):
        super().__init__()
        self.per_frame = per_frame
        self.reduce = nn.Linear(token_dim, token_dim // 4)
        self.slopes = nn.Linear(token_dim // 4, 2 * channels)

    def forward(self, x: Tensor, tokens: Tensor | None, num_frames: int) -> Tensor:
        """Apply to ``x`` of shape (B, C, T, H, W) or (B·T, C, H, W).

        Tokens are (B, M, D), or (B·T, M, D) per frame.
        """
        assert tokens is not None, "a dynamic ReLU needs tokens"
        theta = F.hardsigmoid(self.slopes(F.relu(self.reduce(tokens[:, 0]))))
        a, b = theta.chunk(2, dim=1)
        a, b = 2 * a, 2 * b - 1
        # max(a·x, b·x) = low·x + (high − low)·relu(x): two passes over x instead of three.
        high, low = torch.maximum(a, b), torch.minimum(a, b)
        low, rise = (self._over(values, x, num_frames) for values in (low, high - low))
        if may_overwrite():
            return F.relu(x).mul_(rise).addcmul_(x, low)
        return torch.addcmul(x * low, F.relu(x), rise)

    def _over(self, values: Tensor, x: Tensor, num_frames: int) -> Tensor:
        """Shape slopes (B, C) or (B·T, C) so that they broadcast over ``x``."""
        if not self.per_frame:
            return per_channel(values, x, num_frames)
        if x.dim() == 5:
            return values.unflatten(0, (-1, num_frames)).transpose(1, 2)[..., None, None]
        return values[:, :, None, None]


class StaticReLU6(nn.Module):
    """ReLU6 with the signature of :class:`DynamicReLU`: the light 3-D CNN without tokens."""

    def forward(self, x: Tensor, tokens: Tensor | None, num_frames: int) -> Tensor:
        """Clamp ``x`` to [0, 6]; the other arguments are not used."""
        return F.relu6(x)


def per_channel(values: Tensor, x: Tensor, num_frames: int) -> Tensor:
    """Shape per-clip values (B, C) so that they broadcast over ``x`` in either graph form."""
    if x.dim() == 5:
        return values[:, :, None, None, None]
    return values.repeat_interleave(num_frames, dim=0)[:, :, None, None]

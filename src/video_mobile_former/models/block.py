"""One block: tokens first, then pixels (Mobile→Former, Former, Mobile, Former→Mobile).

Source: Mobile-Former (arXiv 2108.05895, figure 3), in the order of its public release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from ..layers.bridge import FormerToMobile, MobileToFormer
from ..layers.conv import TemporalConvKind, drop_path
from ..layers.former import Former
from ..layers.mobile import DownsampleBlock, LiteBlock, MobileBlock
from .recompute import recomputed


class Block(nn.Module):
    """A row of the table: the convolutions and, but for ``lite``, Former and both bridges.

    Args:
        in_channels: Input channels.
        kind: ``"lite"``, ``"mobile"`` or ``"down"``.
        expand: Expansion of the row.
        channels: Output channels.
        stride: Spatial stride; 2 for ``down``, 1 for ``mobile``.
        expand2: Second multiplier (``down``).
        groups: Groups of pointwise convolutions.
        token_dim: Token width D, or None for the convolutions alone.
        temporal_kernel: Length of stride-1 depthwise kernels in time.
        temporal_conv: ``"3d"`` or ``"2plus1d"``.
        drop_path_rate: Stochastic depth of every residual in the block.
    """

    def __init__(
        self,
        in_channels: int,
        kind: Literal["lite", "mobile", "down"],
        expand: int,
        channels: int,
        stride: int,
        expand2: int,
        *,
        groups: int,
        token_dim: int | None,
        temporal_kernel: int,
        temporal_conv: TemporalConvKind,
        drop_path_rate: float,
    ):
        super().__init__()
        self.kind, self.drop_path_rate = kind, drop_path_rate
        self.mobile_to_former: MobileToFormer | None = None
        self.former: Former | None = None
        self.former_to_mobile: FormerToMobile | None = None
        if token_dim is not None and kind != "lite":
            self.mobile_to_former = MobileToFormer(token_dim, in_channels)
            self.former = Former(token_dim, drop_path_rate=drop_path_rate)
            self.former_to_mobile = FormerToMobile(token_dim, channels)
        self.mobile: LiteBlock | MobileBlock | DownsampleBlock
        if kind == "lite":
            self.mobile = LiteBlock(in_channels, expand, channels, stride, groups)
        elif kind == "mobile":
            self.mobile = MobileBlock(
                in_channels,
                expand,
                channels,
                groups=groups,
                token_dim=token_dim,
                temporal_kernel=temporal_kernel,
                temporal_conv=temporal_conv,
                drop_path_rate=drop_path_rate,
            )
        else:
            self.mobile = DownsampleBlock(
                in_channels,
                expand,
                channels,
                expand2,
                groups=groups,
                token_dim=token_dim,
                temporal_kernel=temporal_kernel,
                temporal_conv=temporal_conv,
                drop_path_rate=drop_path_rate,
            )

    def forward(
        self, x: Tensor, tokens: Tensor | None, num_frames: int
    ) -> tuple[Tensor, Tensor | None]:
        """Map features (B, C, T, H, W) or (B·T, C, H, W) and tokens (B, M, D) to the next ones."""
        x, tokens, _, _ = self._run(x, tokens, num_frames)
        return x, tokens

    def forward_with_attention(
        self, x: Tensor, tokens: Tensor | None, num_frames: int
    ) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """As :meth:`forward`, with the attention of both bridges as (B, h, M, T, H, W)."""
        before = (num_frames, *x.shape[-2:])
        x, tokens, gather, read = self._run(x, tokens, num_frames)
        if gather is None or read is None:
            return x, tokens, {}
        after = (num_frames, *x.shape[-2:])
        maps = {
            "mobile_to_former": gather.unflatten(-1, before),
            "former_to_mobile": read.unflatten(-1, after),
        }
        return x, tokens, maps

    def _run(
        self, x: Tensor, tokens: Tensor | None, num_frames: int
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        if self.mobile_to_former is None or self.former is None or self.former_to_mobile is None:
            return self.mobile(x, tokens, num_frames), tokens, None, None
        assert tokens is not None, "a block with bridges needs tokens"
        rate, training = self.drop_path_rate, self.training
        gathered, gather = self.mobile_to_former(tokens, x, num_frames)
        gathered = drop_path(gathered, rate, training, num_frames)
        tokens = self.former(self.mobile_to_former.norm(tokens + gathered))
        x = self.mobile(x, tokens, num_frames)
        residual, read = self.former_to_mobile(x, tokens, num_frames)
        x = x + drop_path(residual, rate, training, num_frames)
        return x, tokens, gather, read


def checkpointed(
    stage: Sequence[Block], x: Tensor, tokens: Tensor | None, num_frames: int
) -> tuple[Tensor, Tensor | None]:
    """Run blocks without storing what happens inside; it is recomputed in the backward pass."""

    def run(x: Tensor, tokens: Tensor | None) -> tuple[Tensor, Tensor | None]:
        for block in stage:
            x, tokens = block(x, tokens, num_frames)
        return x, tokens

    return recomputed(run, stage, x, tokens)

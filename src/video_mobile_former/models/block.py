"""One block: tokens first, then pixels (Mobile→Former, Former, Mobile, Former→Mobile).

Source: Mobile-Former (arXiv 2108.05895, figure 3), in the order of its public release.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from torch import Tensor, nn

from ..layers.bridge import FormerToMobile, MobileToFormer
from ..layers.conv import TemporalConvKind
from ..layers.former import Former
from ..layers.forms import drop_path
from ..layers.mobile import DownsampleBlock, LiteBlock, MobileBlock
from .recompute import recomputed
from .token_options import ActivationKind, Bridges


class BlockRow(NamedTuple):
    """One block of the table; rows are plain data so that they can be stored as JSON."""

    kind: Literal["lite", "mobile", "down"]
    expand: int
    """Expansion e of the input channels (lite, mobile), or multiplier e1 (down)."""
    channels: int
    """Output channels."""
    stride: int = 1
    """Spatial stride."""
    expand2: int = 0
    """Multiplier e2 of the second depthwise convolution (down only)."""


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
        bridges: Which way the bridges go.
        activation: Whether the tokens steer the activations.
        per_frame: Tokens are (B·T, M, D), a set for each frame.
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
        bridges: Bridges = "two_way",
        activation: ActivationKind = "dynamic",
        per_frame: bool = False,
    ):
        super().__init__()
        self.kind, self.drop_path_rate, self.per_frame = kind, drop_path_rate, per_frame
        self.mobile_to_former: MobileToFormer | None = None
        self.former: Former | None = None
        self.former_to_mobile: FormerToMobile | None = None
        if token_dim is not None and kind != "lite":
            if bridges != "to_features":
                self.mobile_to_former = MobileToFormer(token_dim, in_channels)
            self.former = Former(token_dim, drop_path_rate=drop_path_rate)
            if bridges != "to_tokens":
                self.former_to_mobile = FormerToMobile(token_dim, channels)
        steered_by = token_dim if activation == "dynamic" else None
        self.mobile: LiteBlock | MobileBlock | DownsampleBlock
        if kind == "lite":
            self.mobile = LiteBlock(in_channels, expand, channels, stride, groups)
        elif kind == "mobile":
            self.mobile = MobileBlock(
                in_channels,
                expand,
                channels,
                groups=groups,
                token_dim=steered_by,
                temporal_kernel=temporal_kernel,
                temporal_conv=temporal_conv,
                per_frame=per_frame,
                drop_path_rate=drop_path_rate,
            )
        else:
            self.mobile = DownsampleBlock(
                in_channels,
                expand,
                channels,
                expand2,
                groups=groups,
                token_dim=steered_by,
                temporal_kernel=temporal_kernel,
                temporal_conv=temporal_conv,
                per_frame=per_frame,
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
        before = (num_frames, x.shape[-2], x.shape[-1])
        x, tokens, gather, read = self._run(x, tokens, num_frames)
        after = (num_frames, x.shape[-2], x.shape[-1])
        maps: dict[str, Tensor] = {}
        if gather is not None:
            maps["mobile_to_former"] = attention_map(gather, before)
        if read is not None:
            maps["former_to_mobile"] = attention_map(read, after)
        return x, tokens, maps

    def _run(
        self, x: Tensor, tokens: Tensor | None, num_frames: int
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        if self.former is None:
            return self.mobile(x, tokens, num_frames), tokens, None, None
        assert tokens is not None, "a block with a Former needs tokens"
        rate, training = self.drop_path_rate, self.training
        gather = read = None
        if self.mobile_to_former is not None:
            places, frames = seen_by_tokens(x, num_frames, self.per_frame)
            gathered, gather = self.mobile_to_former(tokens, places, frames)
            gathered = drop_path(gathered, rate, training, num_frames)
            tokens = self.mobile_to_former.norm(tokens + gathered)
        tokens = self.former(tokens)
        x = self.mobile(x, tokens, num_frames)
        if self.former_to_mobile is not None:
            places, frames = seen_by_tokens(x, num_frames, self.per_frame)
            residual, read = self.former_to_mobile(places, tokens, frames)
            if residual.dim() != x.dim():
                residual = residual.unflatten(0, (-1, num_frames)).transpose(1, 2)
            x = x + drop_path(residual, rate, training, num_frames)
        return x, tokens, gather, read


def seen_by_tokens(x: Tensor, num_frames: int, per_frame: bool) -> tuple[Tensor, int]:
    """Features as a bridge takes them, and how many frames one set of tokens sees.

    Args:
        x: (B, C, T, H, W) or (B·T, C, H, W).
        num_frames: T.
        per_frame: Each frame has tokens of its own; frames then stand in the batch.
    """
    if not per_frame:
        return x, num_frames
    return (x.transpose(1, 2).flatten(0, 1) if x.dim() == 5 else x), 1


def attention_map(attention: Tensor, size: tuple[int, int, int]) -> Tensor:
    """Attention over places as (B, h, M, T, H, W).

    Args:
        attention: (B, h, M, T·H·W), or (B·T, h, M, H·W) where each frame has tokens of its own.
        size: T, H and W.
    """
    frames, height, width = size
    if attention.shape[-1] == frames * height * width:
        return attention.unflatten(-1, size)
    return attention.unflatten(-1, size[1:]).unflatten(0, (-1, frames)).permute(0, 2, 3, 1, 4, 5)


def stages_of(blocks: Iterable[Block]) -> list[list[Block]]:
    """Blocks grouped by the size of their output, a downsampling block opening a stage."""
    stages: list[list[Block]] = []
    for block in blocks:
        if not stages or block.kind == "down":
            stages.append([])
        stages[-1].append(block)
    return stages


def checkpointed(
    stage: Sequence[Block], x: Tensor, tokens: Tensor | None, num_frames: int
) -> tuple[Tensor, Tensor | None]:
    """Run blocks without storing what happens inside; it is recomputed in the backward pass."""

    def run(x: Tensor, tokens: Tensor | None) -> tuple[Tensor, Tensor | None]:
        for block in stage:
            x, tokens = block(x, tokens, num_frames)
        return x, tokens

    return recomputed(run, stage, x, tokens)

"""Video Mobile-Former: a light 3-D CNN and a few global tokens, joined by a two-way bridge.

Papers: *Video Mobile-Former: Video Recognition with Efficient Global Spatial-temporal Modeling*
(arXiv 2208.12257); its 2-D parent *Mobile-Former: Bridging MobileNet and Transformer*
(arXiv 2108.05895).

What is whose:

- From the video paper (its abstract; no code was published): two parallel paths, a handful of
  tokens for the *whole* clip, a bridge in every block, no self-attention over patches, and the
  budgets of 0.5 to 6 G multiply-accumulates.
- From the 2-D parent, exactly: blocks, tables, dynamic ReLU, bridges, head. The weights of its
  public release load (see ``mobile_former.py``) and give its logits.
- Decided here, because it concerns time and the abstract leaves it open: a temporal kernel on
  every stride-1 depthwise convolution of Mobile and Downsample blocks and one in the stem, no
  temporal stride, tokens attending over all T·H·W places. Each is a constructor argument.

A block is tokens first, then pixels (Mobile→Former, Former, Mobile, Former→Mobile), in the order of
the parent's public release (arXiv 2108.05895, figure 3). The convolutions are in
``layers/mobile.py``, the bridges in ``layers/bridge.py``, the family's tables in ``variants.py``.
``bridges``, ``activation`` and ``tokens_per`` exist for ablations; their defaults
are the network of the paper.

Axes: B clips, T frames, C channels, H, W pixels, M tokens, D token width, h heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..clip_spec import ClipSpec
from ..errors import UserError
from ..layers.bridge import FormerToMobile, MobileToFormer
from ..layers.conv import ConvNorm, TemporalConvKind, norm_as_affine
from ..layers.former import Former
from ..layers.forms import channel_shuffle, drop_path
from ..layers.mobile import DownsampleBlock, LiteBlock, MobileBlock
from ..layers.past import Past
from .video_model import (
    Form,
    VideoModel,
    check_arguments,
    check_choice,
    check_counts,
    recomputed,
)


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


Bridges = Literal["two_way", "to_tokens", "to_features"]
"""Which way the bridges go; with ``to_tokens`` features do not read from the tokens,
``to_features`` that tokens gather from the features, at the head too."""
ActivationKind = Literal["dynamic", "relu6"]
"""``dynamic``: slopes computed from the first token; ``relu6``: the activation of the light CNN."""
TokensPer = Literal["clip", "frame"]
"""``clip``: one set of tokens sees all T frames; ``frame``: each frame has a set of its own, which
sees nothing of the others."""

TOKEN_OPTIONS: dict[str, tuple[str, ...]] = {
    "bridges": get_args(Bridges),
    "activation": get_args(ActivationKind),
    "tokens_per": get_args(TokensPer),
}
"""Allowed values of each argument, the network of the paper first."""

HeadActivation = Literal["relu6", "relu"]
HEAD_ACTIVATIONS: dict[HeadActivation, Callable[[Tensor], Tensor]] = {
    "relu6": F.relu6,
    "relu": F.relu,
}
"""What follows the head's convolution: the parent's, and that of checkpoints before format 3."""


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
        self, x: Tensor, tokens: Tensor | None, num_frames: int, past: Past | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Map features (B, C, T, H, W) or (B·T, C, H, W) and tokens (B, M, D) to the next ones.

        With the past of a stream, the convolutions look back only.
        """
        x, tokens, _, _ = self._run(x, tokens, num_frames, past)
        return x, tokens

    def forward_with_attention(
        self, x: Tensor, tokens: Tensor | None, num_frames: int, past: Past | None = None
    ) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """As :meth:`forward`, with the attention of both bridges as (B, h, M, T, H, W)."""
        before = (num_frames, x.shape[-2], x.shape[-1])
        x, tokens, gather, read = self._run(x, tokens, num_frames, past)
        after = (num_frames, x.shape[-2], x.shape[-1])
        maps: dict[str, Tensor] = {}
        if gather is not None:
            maps["mobile_to_former"] = attention_map(gather, before)
        if read is not None:
            maps["former_to_mobile"] = attention_map(read, after)
        return x, tokens, maps

    def _run(
        self, x: Tensor, tokens: Tensor | None, num_frames: int, past: Past | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        if self.former is None:
            return self.mobile(x, tokens, num_frames, past), tokens, None, None
        assert tokens is not None, "a block with a Former needs tokens"
        rate, training = self.drop_path_rate, self.training
        gather = read = None
        if self.mobile_to_former is not None:
            places, frames = seen_by_tokens(x, num_frames, self.per_frame)
            gathered, gather = self.mobile_to_former(tokens, places, frames)
            gathered = drop_path(gathered, rate, training, num_frames)
            tokens = self.mobile_to_former.norm(tokens + gathered)
        tokens = self.former(tokens)
        x = self.mobile(x, tokens, num_frames, past)
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


class VideoMobileFormer(VideoModel):
    """Video Mobile-Former classifier.

    Args:
        blocks: Rows of the table, see :class:`BlockRow`; sequences of five values will do.
        stem_channels: Output channels of the stem.
        num_classes: Number of logits.
        num_tokens: Global tokens M for the whole clip; 0 leaves the light 3-D CNN alone (no
            Former, no bridges, ReLU6 in place of dynamic ReLU).
        token_dim: Token width D.
        groups: Groups of pointwise convolutions; outputs are shuffled where it exceeds 1.
        head_dim: Width F of the last hidden layer.
        num_frames: T of the native clip. Any T runs; this one is what the cost is stated for.
        crop_size: Height and width in pixels of the native clip. Any H, W of at least 32 run and
            need not be multiples of 32.
        temporal_kernel: Odd length of the depthwise kernels in time; 1 sees each frame alone.
        stem_temporal_kernel: Odd length of the stem's depthwise kernel in time; 1 leaves it out.
        temporal_conv: ``"3d"`` is the full kernel, ``"2plus1d"`` a spatial depthwise kernel
            followed by a temporal one.
        temporal_init: ``"random"`` samples whole kernels; ``"delta"`` starts with each frame seen
            alone (all weight at the centre of every temporal kernel).
        bridges: ``"two_way"``, or one way only: ``"to_tokens"``, ``"to_features"``.
        activation: ``"dynamic"`` has slopes that the first token steers, ``"relu6"`` has none.
        head_activation: What follows the head's convolution: ``"relu6"``, as in the 2-D parent, or
            ``"relu"``, with which checkpoints before format 3 were trained.
        tokens_per: ``"clip"``, or ``"frame"`` for M tokens of each frame that see it alone; the
            head then takes the mean of the frames' first tokens.
        form: Graph form: ``"volume"`` (Conv3d on (B, C, T, H, W)), ``"frames"`` (nothing above
            rank 4) or ``"auto"``, the faster one as measured in ``benchmarks/forms.py``. All
            forms share one state dict and agree within 1e-5.
        drop_rate: Dropout before the last linear layer, in [0, 1).
        drop_path_rate: Stochastic depth of the last block, in [0, 1), rising linearly from 0.

    Raises:
        UserError: If an argument is out of range; the message names it.
    """

    method = "Light 3-D CNN and global tokens: Video Mobile-Former (arXiv 2208.12257)."

    def __init__(
        self,
        *,
        blocks: Sequence[Sequence[Any]],
        stem_channels: int,
        num_classes: int = 400,
        num_tokens: int = 6,
        token_dim: int = 192,
        groups: int = 1,
        head_dim: int = 1920,
        num_frames: int = 16,
        crop_size: int = 224,
        temporal_kernel: int = 3,
        stem_temporal_kernel: int = 3,
        temporal_conv: TemporalConvKind = "3d",
        temporal_init: Literal["random", "delta"] = "random",
        bridges: Bridges = "two_way",
        activation: ActivationKind = "dynamic",
        head_activation: HeadActivation = "relu6",
        tokens_per: TokensPer = "clip",
        form: Form = "auto",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        architecture = {name: value for name, value in locals().items() if name != "self"}
        nn.Module.__init__(self)
        rows = tuple(BlockRow(*row) for row in blocks)
        architecture["blocks"] = [list(row) for row in rows]
        _check_arguments(architecture)
        clip = ClipSpec(
            num_frames=num_frames,
            crop_size=crop_size,
            resize_size=max(crop_size, round(crop_size * 256 / 224)),
        )
        self._describe(architecture, clip, form=form, drop_rate=drop_rate)
        self.num_tokens, self.groups = num_tokens, groups
        self.per_frame = tokens_per == "frame"

        width = token_dim if num_tokens else None
        self.tokens = nn.Parameter(torch.empty(num_tokens, token_dim)) if num_tokens else None
        self.stem = ConvNorm(
            3,
            stem_channels,
            3,
            stride=2,
            temporal_kernel=stem_temporal_kernel,
            temporal_conv="2plus1d",
        )
        self.blocks = nn.ModuleList()
        channels = stem_channels
        for i, row in enumerate(rows):
            self.blocks.append(
                Block(
                    channels,
                    *row,
                    groups=groups,
                    token_dim=width,
                    temporal_kernel=temporal_kernel,
                    temporal_conv=temporal_conv,
                    drop_path_rate=drop_path_rate * i / max(len(rows) - 1, 1),
                    bridges=bridges,
                    activation=activation,
                    per_frame=self.per_frame,
                )
            )
            channels = row.channels
        gathers = num_tokens > 0 and bridges != "to_features"
        self.head_bridge = MobileToFormer(token_dim, channels) if gathers else None
        pooled = 6 * channels
        self.head_conv = ConvNorm(channels, pooled, groups=groups)
        self.head_act = HEAD_ACTIVATIONS[head_activation]
        self.head_linear = nn.Linear(pooled + (width or 0), head_dim)
        self.head_norm: nn.Module = nn.BatchNorm1d(head_dim)
        self.classifier = nn.Linear(head_dim, num_classes)
        self._reset_parameters(temporal_init)

    @overload
    def forward_features(
        self, x: Tensor, *, return_attention: Literal[False] = False
    ) -> tuple[Tensor, Tensor | None]: ...

    @overload
    def forward_features(
        self, x: Tensor, *, return_attention: Literal[True]
    ) -> tuple[Tensor, Tensor | None, list[dict[str, Tensor]]]: ...

    def forward_features(
        self, x: Tensor, *, return_attention: bool = False
    ) -> tuple[Tensor, Tensor | None] | tuple[Tensor, Tensor | None, list[dict[str, Tensor]]]:
        """Compute what the classifier sees before pooling.

        Args:
            x: Normalised RGB, (B, 3, T, H, W).
            return_attention: Also return the attention of both bridges.

        Returns:
            Local features (B, C, T, H', W'), the tokens (B, M, D) after the head's bridge (None
            without tokens; (B·T, M, D) per frame) and, on request, one dict per block that has
            bridges, in order, with ``block`` (its index, a scalar tensor), ``mobile_to_former``
            (B, h, M, T, H', W'), which sums to one over places, and ``former_to_mobile`` of the
            same form at the block's output size, which sums to one over the M tokens. The head's
            bridge closes the list with ``block`` = −1 and no ``former_to_mobile``.
        """
        x, num_frames = self._in_form(x)
        local, tokens, maps = self._run_trunk(x, num_frames, with_attention=return_attention)
        if local.dim() == 4:
            local = local.unflatten(0, (-1, num_frames)).transpose(1, 2)
        return (local, tokens, maps) if return_attention else (local, tokens)

    def forward_head(
        self, features: Tensor, tokens: Tensor | None = None, *, pre_logits: bool = False
    ) -> Tensor:
        """Compute what follows :meth:`forward_features`.

        Args:
            features: (B, C, T, H', W').
            tokens: (B, M, D), (B·T, M, D) per frame, or None without tokens.
            pre_logits: Stop before dropout and the classifier.

        Returns:
            Logits (B, num_classes), or what the classifier takes, (B, F).
        """
        hidden = self._hidden(features, tokens, features.shape[2])
        return hidden if pre_logits else self._classify(hidden)

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that weight decay should leave alone (norms and biases aside)."""
        return {"tokens"} if self.num_tokens else set()

    def _fold_rest(self) -> None:
        if isinstance(self.head_norm, nn.BatchNorm1d):
            scale, shift = norm_as_affine(self.head_norm)
            linear = self.head_linear
            linear.bias.copy_(linear.bias.double() * scale + shift)
            linear.weight.copy_(linear.weight.double() * scale[:, None])
            self.head_norm = nn.Identity()

    def _logits(self, x: Tensor, num_frames: int) -> Tensor:
        local, tokens, _ = self._run_trunk(x, num_frames, with_attention=False)
        return self._classify(self._hidden(local, tokens, num_frames))

    def _run_trunk(
        self,
        x: Tensor,
        num_frames: int,
        *,
        with_attention: bool,
        tokens: Tensor | None = None,
        past: Past | None = None,
    ) -> tuple[Tensor, Tensor | None, list[dict[str, Tensor]]]:
        """Run stem, blocks and the head's bridge.

        Args:
            x: Frames in either form.
            num_frames: T.
            with_attention: Whether to keep the maps.
            tokens: Tokens that enter; None for the learned ones.
            past: Of a stream, whose convolutions look back only.
        """
        batch = x.shape[0] if x.dim() == 5 else x.shape[0] // num_frames
        x = F.relu6(self.stem(x, num_frames, past))
        if tokens is None and self.tokens is not None:
            sets = batch * num_frames if self.per_frame else batch
            tokens = self.tokens.unsqueeze(0).expand(sets, -1, -1)
        maps: list[dict[str, Tensor]] = []
        recompute = self.gradient_checkpointing and self.training and torch.is_grad_enabled()
        if with_attention:
            for i, block in enumerate(self._rows()):
                x, tokens, found = block.forward_with_attention(x, tokens, num_frames, past)
                if found:
                    maps.append({"block": torch.tensor(i), **found})
        elif recompute and past is None:
            for stage in stages_of(self._rows()):
                x, tokens = checkpointed(stage, x, tokens, num_frames)
        else:
            for block in self._rows():
                x, tokens = block(x, tokens, num_frames, past)
        if self.head_bridge is not None:
            assert tokens is not None
            places, frames = seen_by_tokens(x, num_frames, self.per_frame)
            residual, attention = self.head_bridge(tokens, places, frames)
            tokens = self.head_bridge.norm(tokens + residual)
            if with_attention:
                found = {
                    "mobile_to_former": attention_map(
                        attention, (num_frames, x.shape[-2], x.shape[-1])
                    )
                }
                maps.append({"block": torch.tensor(-1), **found})
        return x, tokens, maps

    def _hidden(self, x: Tensor, tokens: Tensor | None, num_frames: int) -> Tensor:
        x = self.head_conv(channel_shuffle(x, self.groups), num_frames)
        x = self.head_act(x)
        if x.dim() == 5:
            pooled = x.mean(dim=(2, 3, 4))
        else:
            pooled = x.mean(dim=(2, 3)).unflatten(0, (-1, num_frames)).mean(dim=1)
        first = None if tokens is None else tokens[:, 0]
        if first is not None and self.per_frame:
            first = first.unflatten(0, (-1, num_frames)).mean(1)
        return self._mix(pooled, first)

    def _mix(self, pooled: Tensor, first: Tensor | None) -> Tensor:
        """What the classifier takes (B, F), of pooled features (B, 6C) and first tokens (B, D)."""
        pooled = F.hardswish(pooled)
        if first is not None:
            pooled = torch.cat([pooled, first], dim=1)
        return F.hardswish(self.head_norm(self.head_linear(pooled)))

    def _rows(self) -> Iterator[Block]:
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block

    def _reset_parameters(self, temporal_init: str) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
                if module is not self.head_linear:
                    # As the public 2-D release has it: at first the tokens say next to nothing,
                    # slopes are those of a ReLU, and the convolutions learn as they would alone.
                    nn.init.normal_(module.weight, std=0.01)
            elif isinstance(module, ConvNorm) and temporal_init == "delta":
                module.start_temporal_delta()
        if self.tokens is not None:
            nn.init.normal_(self.tokens)


def unusual_options(architecture: dict[str, Any]) -> dict[str, Any]:
    """Arguments by which a network with tokens departs from the paper's.

    Args:
        architecture: Constructor arguments of a ``VideoMobileFormer``; older checkpoints lack some.

    Returns:
        For example ``{"bridges": "to_tokens"}``; empty for the network of the paper.
    """
    if not architecture["num_tokens"]:
        return {}  # nothing is there that they could change
    found = {name: architecture.get(name, usual) for name, (usual, *_) in TOKEN_OPTIONS.items()}
    return {name: value for name, value in found.items() if value != TOKEN_OPTIONS[name][0]}


def _check_arguments(values: dict[str, Any]) -> None:
    """Name the first argument that is out of range."""
    check_counts(values, "stem_channels", "token_dim", "groups", "head_dim")
    for i, row in enumerate(values["blocks"]):
        kind, *numbers, _ = row
        if kind not in ("lite", "mobile", "down"):
            raise UserError(f"blocks[{i}].kind must be lite, mobile or down, not {kind!r}")
        counted = numbers if kind != "down" else row[1:]
        if not all(isinstance(value, int) and value > 0 for value in counted):
            raise UserError(f"blocks[{i}]: numbers must be whole and above 0, not {row!r}")
    if not isinstance(values["num_tokens"], int) or values["num_tokens"] < 0:
        raise UserError(f"num_tokens must be 0 or more, not {values['num_tokens']!r}")
    for name, allowed in TOKEN_OPTIONS.items():
        check_choice(values, name, allowed)
    for name in ("temporal_kernel", "stem_temporal_kernel"):
        if not isinstance(values[name], int) or values[name] < 1 or values[name] % 2 == 0:
            raise UserError(f"{name} must be an odd number of at least 1, not {values[name]!r}")
    check_choice(values, "temporal_conv", ("3d", "2plus1d"))
    check_choice(values, "head_activation", tuple(HEAD_ACTIVATIONS))
    check_choice(values, "temporal_init", ("random", "delta"))
    check_arguments(values)

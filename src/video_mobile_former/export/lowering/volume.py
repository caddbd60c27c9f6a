"""The ``volume`` form for runtimes that compute channels-last, such as OpenVINO.

The same network as ``models/video_mobile_former.py``, arithmetic for arithmetic, in the order in
which the memory already lies. What each rewrite gained is in ``docs/lab-notes.md``.

Between blocks the local features are rows (B, L, C), L = T·H·W. The identity of a block is added
on rows as well, not inside a convolution: OpenVINO passes from a convolution to rows without a
copy only where no sum is fused into the convolution.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.activation import DynamicReLU
from ...layers.conv import ConvNorm
from ...layers.mobile import DownsampleBlock, LiteBlock, MobileBlock
from ...layers.past import Past
from ...models.video_mobile_former import Block, VideoMobileFormer
from .convolution import Depthwise, Stem, after_shuffle, lower_pointwise
from .frames import remembers
from .tokens import Clamp, Gather, Read, Slopes

MOST_CHANNELS_APART = 16
"""Parts of a depthwise convolution with more channels than these are joined."""

Size = tuple[int, int, int]
"""T, H, W."""


class VolumeGraph(nn.Module):
    """A lowered network from clips (B, 3, T, H, W) to logits (B, K).

    Args:
        model: A fused model; its weights are used, not changed.
    """

    fixed_tokens: Tensor | None

    def __init__(self, model: VideoMobileFormer):
        super().__init__()
        fixed = None if model.tokens is None else model.tokens.detach()
        self.register_buffer("fixed_tokens", None if fixed is None else fixed.unsqueeze(0))
        fixed = None if remembers(model) else fixed
        self.stem = Stem(model.stem)
        self.blocks = nn.ModuleList()
        for block in model.blocks:
            assert isinstance(block, Block)
            gathers = block.mobile_to_former is not None
            self.blocks.append(lower_block(block, fixed if gathers else None))
            fixed = None if gathers else fixed
        self.gather = None if model.head_bridge is None else Gather(model.head_bridge)
        self.head_conv = lower_pointwise(model.head_conv, shuffle_before=model.groups)
        self.head_act = model.head_act
        self.head_linear, self.head_norm = model.head_linear, model.head_norm
        self.classifier = model.classifier
        self.eval().requires_grad_(False)

    def forward(self, clip: Tensor) -> Tensor:
        """Logits (B, K) of normalised clips (B, 3, T, H, W)."""
        x, tokens = self.trunk(clip)
        return self.head(self.pool(x), tokens)

    def trunk(
        self, clip: Tensor, tokens: Tensor | None = None, past: Past | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Features (B, C, T, H', W') and tokens (B, M, D) that the head takes.

        Args:
            clip: Normalised, (B, 3, T, H, W).
            tokens: Tokens that enter, (B, M, D); None for the learned ones.
            past: Of a stream, whose convolutions look back only.
        """
        x, size = to_rows(self.stem(clip, past))
        tokens = self.fixed_tokens if tokens is None else tokens
        for block in self.blocks:
            x, size, tokens = block(x, size, tokens, past)
        if self.gather is not None:
            tokens = self.gather(tokens, x)
        return to_volume(x, size), tokens

    def pool(self, x: Tensor) -> Tensor:
        """Mean (B, 6C) of what the head makes of features (B, C, T, H', W')."""
        return self.head_act(self.head_conv(x)).mean(dim=(2, 3, 4))

    def head(self, pooled: Tensor, tokens: Tensor | None) -> Tensor:
        """Logits (B, K) of what was pooled, (B, 6C), and tokens (B, M, D)."""
        pooled = F.hardswish(pooled)
        if tokens is not None:
            pooled = torch.cat([pooled, tokens[:, 0]], dim=1)
        return self.classifier(F.hardswish(self.head_norm(self.head_linear(pooled))))


class LiteGraph(nn.Module):
    """The block without tokens.

    Each depthwise part has its own slice of the projection, and the results are added on rows: the
    identity needs that pass anyway, and the parts need not be joined first.
    """

    def __init__(self, source: LiteBlock):
        super().__init__()
        self.depthwise = Depthwise(source.depthwise)
        order = self.depthwise.order
        project = lower_pointwise(source.project, order=order, shuffle_before=source.shuffle_groups)
        self.projects = nn.ModuleList(project.sliced(len(self.depthwise.weights)))
        self.has_identity = source.has_identity

    def forward(
        self, rows: Tensor, size: Size, tokens: Tensor | None, past: Past | None = None
    ) -> tuple[Tensor, Size, Tensor | None]:
        """Map rows (B, L, C) of a size (T, H, W) to the next ones; tokens pass by."""
        parts = self.depthwise.parts(to_volume(rows, size), past)
        found = [
            to_rows(project(F.relu6(part)))
            for part, project in zip(parts, self.projects, strict=True)
        ]
        terms = [found_rows for found_rows, _ in found] + ([rows] if self.has_identity else [])
        return functools.reduce(torch.add, terms), found[0][1], tokens


class BridgedGraph(nn.Module):
    """A block with its Former and both bridges; without tokens, its convolutions alone."""

    def __init__(self, source: Block, fixed_tokens: Tensor | None):
        super().__init__()
        bridge = source.mobile_to_former
        self.gather = None if bridge is None else Gather(bridge, fixed_tokens)
        self.former = source.former
        self.mobile = lower_mobile(source.mobile)
        self.read = None if source.former_to_mobile is None else Read(source.former_to_mobile)

    def forward(
        self, rows: Tensor, size: Size, tokens: Tensor | None, past: Past | None = None
    ) -> tuple[Tensor, Size, Tensor | None]:
        """Map rows (B, L, C) of a size (T, H, W) and tokens (B, M, D) to the next ones."""
        if self.gather is None or self.former is None or self.read is None:
            return *self.mobile(rows, size, tokens, past), tokens
        tokens = self.former(self.gather(tokens, rows))
        rows, size = self.mobile(rows, size, tokens, past)
        assert tokens is not None
        return self.read(rows, tokens), size, tokens


class MobileGraph(nn.Module):
    """Expand, depthwise, project; the shuffle in the middle is not computed."""

    def __init__(self, source: MobileBlock):
        super().__init__()
        groups = source.groups
        self.expand = lower_pointwise(source.expand, shuffle_after=groups, leave_shuffle=True)
        order = self.expand.order
        self.expand_act = lower_activation(source.expand_act, order)
        self.depthwise = Depthwise(source.depthwise, order)
        self.depthwise_act = lower_activation(source.depthwise_act, order)
        self.project = lower_pointwise(source.project, order=order, shuffle_after=groups)
        self.has_identity = source.has_identity

    def forward(
        self, rows: Tensor, size: Size, tokens: Tensor | None, past: Past | None = None
    ) -> tuple[Tensor, Size]:
        """Map rows (B, L, C) of a size (T, H, W) to the next ones."""
        [y] = self.expand_act([self.expand(to_volume(rows, size))], tokens)
        [y] = self.depthwise_act([self.depthwise(y, past)], tokens)
        found, size = to_rows(self.project(y))
        return (rows + found if self.has_identity else found), size


class DownsampleGraph(nn.Module):
    """Halve height and width, then a residual pair; neither shuffle moves a channel."""

    def __init__(self, source: DownsampleBlock):
        super().__init__()
        before, middle = source.shuffles
        self.down = Reduction(source.down, source.down_act, source.reduce, before)
        self.pair = Reduction(source.depthwise, source.depthwise_act, source.project, middle)

    def forward(
        self, rows: Tensor, size: Size, tokens: Tensor | None, past: Past | None = None
    ) -> tuple[Tensor, Size]:
        """Map rows (B, L, C) of a size (T, H, W) to those of (T, ⌈H/2⌉, ⌈W/2⌉)."""
        terms, size = self.down(to_volume(rows, size), tokens, past)
        short = functools.reduce(torch.add, terms)
        terms, _ = self.pair(to_volume(short, size), tokens, past)
        return functools.reduce(torch.add, terms, short), size


class Reduction(nn.Module):
    """Depthwise with multiplier, activation, pointwise, as rows that are still to be added up.

    Parts of few channels are activated and projected one by one, each by its slice of the weights:
    joining them would be a slow copy of many short runs. Wide parts are joined.
    """

    def __init__(self, depthwise: ConvNorm, activation: nn.Module, project: ConvNorm, shuffle: int):
        super().__init__()
        self.depthwise = Depthwise(depthwise)
        order = self.depthwise.order
        whole = lower_pointwise(project, order=order, shuffle_before=shuffle)
        count = len(self.depthwise.weights)
        few = self.depthwise.channels <= MOST_CHANNELS_APART
        apart = few and whole.groups == 1 and self.depthwise.temporal is None
        self.num_parts = count if apart else 1
        self.activation = lower_activation(activation, after_shuffle(order, shuffle))
        self.projects = nn.ModuleList(whole.sliced(count) if apart else [whole])

    def forward(
        self, x: Tensor, tokens: Tensor | None, past: Past | None = None
    ) -> tuple[list[Tensor], Size]:
        """Map (B, C, T, H, W) to terms (B, L, C_out) of one size (T, H, W)."""
        apart = self.num_parts > 1
        parts = self.depthwise.parts(x, past) if apart else [self.depthwise(x, past)]
        activated = self.activation(parts, tokens)
        found = [
            to_rows(project(part)) for project, part in zip(self.projects, activated, strict=True)
        ]
        return [rows for rows, _ in found], found[0][1]


def lower_block(block: Block, fixed_tokens: Tensor | None) -> nn.Module:
    """The graph of one row of the table."""
    if isinstance(block.mobile, LiteBlock):
        return LiteGraph(block.mobile)
    return BridgedGraph(block, fixed_tokens)


def lower_mobile(source: nn.Module) -> nn.Module:
    """The graph of a block's convolutions."""
    if isinstance(source, MobileBlock):
        return MobileGraph(source)
    assert isinstance(source, DownsampleBlock)
    return DownsampleGraph(source)


def lower_activation(source: nn.Module, order: Tensor) -> nn.Module:
    """Dynamic ReLU or ReLU6 for channels that stand in ``order``."""
    return Slopes(source, order) if isinstance(source, DynamicReLU) else Clamp()


def to_rows(x: Tensor) -> tuple[Tensor, Size]:
    """Bring (B, C, T, H, W) to rows (B, T·H·W, C) and its size."""
    return x.permute(0, 2, 3, 4, 1).flatten(1, 3), (x.shape[2], x.shape[3], x.shape[4])


def to_volume(rows: Tensor, size: Size) -> Tensor:
    """Bring rows (B, T·H·W, C) to (B, C, T, H, W)."""
    return rows.unflatten(1, size).permute(0, 4, 1, 2, 3)

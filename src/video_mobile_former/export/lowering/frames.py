"""The ``frames`` form as mobile runtimes run it fastest: ExecuTorch with XNNPACK, LiteRT, Core ML.

The weights are those of the fused model, arranged anew; logits agree within 1e-5. What changed and
why is with each piece in ``frames_convolution.py`` and ``frames_tokens.py``. Two things concern
whole blocks:

- Channel shuffles, and the order in which a depthwise convolution with multiplier deals out its
  channels, are written into the order of the weights that follow.
- The first bridge asks with the learned tokens, the same for every clip: its queries are constants.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.mobile import DownsampleBlock, LiteBlock, MobileBlock
from ...layers.past import Past
from ...models.streaming import StreamingVideoMobileFormer
from ...models.video_mobile_former import Block, VideoMobileFormer
from .convolution import inverse, shuffled
from .frames_convolution import Pointwise, SpaceTimeConv
from .frames_tokens import Activation, Gather, Read, TokenMixer, make_linear


class FramesNet(nn.Module):
    """A fused Video Mobile-Former that takes the frames of clips in a row.

    Of a streaming model it is one update; see :mod:`.steps`.

    Args:
        model: Result of ``fuse()``; it is not changed.
        num_frames: T.
    """

    average: Tensor
    tokens: Tensor | None

    def __init__(self, model: VideoMobileFormer, num_frames: int):
        super().__init__()
        assert model.fused, "fuse the model first"
        self.num_frames = num_frames
        m = model.num_tokens
        self.stem = SpaceTimeConv(model.stem)
        self.register_buffer(
            "tokens", None if model.tokens is None else model.tokens.detach().clone()
        )
        fixed = None if remembers(model) else self.tokens
        self.blocks = nn.ModuleList()
        for block in model.blocks:
            assert isinstance(block, Block)
            self.blocks.append(FramesBlock(block, m, fixed))
            if block.mobile_to_former is not None:
                fixed = None
        self.head_bridge = (
            None if model.head_bridge is None else Gather(model.head_bridge, m, fixed)
        )
        groups = model.groups
        channels = model.head_conv.conv.weight.shape[1] * model.head_conv.conv.groups
        order = inverse(shuffled(channels, groups)) if groups > 1 else None
        self.head_conv = Pointwise(model.head_conv, inputs=order)
        self.head_act = model.head_act
        self.head_linear = make_linear(model.head_linear.weight, model.head_linear.bias)
        self.classifier = make_linear(model.classifier.weight, model.classifier.bias)
        self.register_buffer("average", torch.full((1, 1, num_frames), 1 / num_frames))
        self.eval().requires_grad_(False)

    def forward(self, frames: Tensor) -> Tensor:
        """Logits (B, K) of normalised frames (B·T, 3, H, W)."""
        x, tokens = self.trunk(frames)
        return self.head(self.pool(x), tokens)

    def trunk(
        self, frames: Tensor, tokens: Tensor | None = None, past: Past | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Features (B·T, C, H', W') and tokens (B, M, D) that the head takes.

        Args:
            frames: Normalised, (B·T, 3, H, W).
            tokens: Tokens that enter, (B, M, D); None for the learned ones.
            past: Of a stream, whose convolutions look back only.
        """
        batch = frames.shape[0] // self.num_frames
        x = F.relu6(self.stem(frames, self.num_frames, past))
        rows = self.tokens if tokens is None else tokens.flatten(0, 1)
        if rows is not None and tokens is None and batch > 1:
            rows = rows.repeat(batch, 1)
        for block in self.blocks:
            x, rows = block(x, rows, self.num_frames, past)
        if self.head_bridge is not None:
            rows = self.head_bridge(rows, to_places(x, self.num_frames))
        return x, None if rows is None else rows.reshape(batch, -1, rows.shape[-1])

    def pool(self, x: Tensor) -> Tensor:
        """Mean (B, 6C) of what the head makes of features (B·T, C, H', W')."""
        batch = x.shape[0] // self.num_frames
        pooled = self.head_act(self.head_conv(x)).mean(dim=(2, 3), keepdim=True)
        pooled = pooled.reshape(batch, self.num_frames, -1)
        average = self.average if batch == 1 else self.average.repeat(batch, 1, 1)
        return torch.bmm(average, pooled).reshape(batch, -1)

    def head(self, pooled: Tensor, tokens: Tensor | None) -> Tensor:
        """Logits (B, K) of what was pooled, (B, 6C), and tokens (B, M, D)."""
        pooled = F.hardswish(pooled)
        if tokens is not None:
            batch, _, width = tokens.shape
            pooled = torch.cat([pooled, tokens[:, :1].reshape(batch, width)], dim=1)
        return self.classifier(F.hardswish(self.head_linear(pooled)))


def remembers(model: VideoMobileFormer) -> bool:
    """Whether the tokens that enter are others in every update."""
    return isinstance(model, StreamingVideoMobileFormer) and model.memory is not None


class FramesBlock(nn.Module):
    """A block: tokens gather and mix, the convolutions run, every place reads from the tokens.

    Args:
        source: The block.
        num_tokens: M.
        tokens: The tokens before this block where they are the same for every clip, else None.
    """

    def __init__(self, source: Block, num_tokens: int, tokens: Tensor | None):
        super().__init__()
        self.gather: Gather | None = None
        if source.mobile_to_former is not None:
            assert source.former is not None
            assert source.former_to_mobile is not None
            self.gather = Gather(source.mobile_to_former, num_tokens, tokens)
            self.mixer = TokenMixer(source.former, num_tokens)
            self.read = Read(source.former_to_mobile, num_tokens)
        mobile = source.mobile
        if isinstance(mobile, LiteBlock):
            self.mobile: nn.Module = FramesLite(mobile)
        elif isinstance(mobile, MobileBlock):
            self.mobile = FramesMobile(mobile)
        else:
            self.mobile = FramesDown(mobile)

    def forward(
        self, x: Tensor, tokens: Tensor | None, num_frames: int, past: Past | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Map features (B·T, C, H, W) and tokens (B·M, D) to the next ones."""
        if self.gather is None or tokens is None:
            return self.mobile(x, None, num_frames, past), tokens
        mixed: Tensor = self.mixer(self.gather(tokens, to_places(x, num_frames)))
        first = first_tokens(mixed, x.shape[0] // num_frames)
        x = self.mobile(x, first, num_frames, past)
        read = self.read(to_places(x, num_frames), mixed)
        return x + from_places(read, x), mixed


class FramesLite(nn.Module):
    """The block without tokens."""

    def __init__(self, source: LiteBlock):
        super().__init__()
        self.depthwise = SpaceTimeConv(source.depthwise)
        order = order_after(self.depthwise, source.shuffle_groups)
        self.project = Pointwise(source.project, inputs=order)
        self.has_identity = source.has_identity

    def forward(
        self, x: Tensor, first: Tensor | None, num_frames: int, past: Past | None = None
    ) -> Tensor:
        """Map (B·T, C, H, W) to (B·T, C_out, …)."""
        y = self.project(F.relu6(self.depthwise(x, num_frames, past)))
        return x + y if self.has_identity else y


class FramesMobile(nn.Module):
    """Expand, depthwise, project; the shuffles are in the order of the weights."""

    def __init__(self, source: MobileBlock):
        super().__init__()
        groups = source.groups
        hidden, out = (conv.conv.weight.shape[0] for conv in (source.expand, source.project))
        shuffle = shuffled(hidden, groups) if groups > 1 else None
        # The expansion keeps its order; what follows it is per channel and takes that order on.
        self.expand = Pointwise(source.expand)
        order = None if shuffle is None else inverse(shuffle)
        self.expand_act = Activation(source.expand_act, order)
        self.depthwise = SpaceTimeConv(source.depthwise, order)
        self.depthwise_act = Activation(source.depthwise_act, order)
        self.project = Pointwise(
            source.project, inputs=order, outputs=shuffled(out, groups) if groups > 1 else None
        )
        self.has_identity = source.has_identity

    def forward(
        self, x: Tensor, first: Tensor | None, num_frames: int, past: Past | None = None
    ) -> Tensor:
        """Map (B·T, C, H, W) to (B·T, C_out, H, W)."""
        y = self.expand_act(self.expand(x), first, num_frames)
        y = self.depthwise(y, num_frames, past)
        y = self.project(self.depthwise_act(y, first, num_frames))
        return x + y if self.has_identity else y


class FramesDown(nn.Module):
    """Halve height and width, then the residual pair."""

    def __init__(self, source: DownsampleBlock):
        super().__init__()
        self.down = SpaceTimeConv(source.down)
        order = order_after(self.down, source.shuffles[0])
        self.down_act = Activation(source.down_act, order)
        self.reduce = Pointwise(source.reduce, inputs=order)
        self.depthwise = SpaceTimeConv(source.depthwise)
        order = order_after(self.depthwise, source.shuffles[1])
        self.depthwise_act = Activation(source.depthwise_act, order)
        self.project = Pointwise(source.project, inputs=order)

    def forward(
        self, x: Tensor, first: Tensor | None, num_frames: int, past: Past | None = None
    ) -> Tensor:
        """Map (B·T, C, H, W) to (B·T, C_out, ⌈H/2⌉, ⌈W/2⌉)."""
        short = self.reduce(self.down_act(self.down(x, num_frames), first, num_frames))
        y = self.depthwise_act(self.depthwise(short, num_frames, past), first, num_frames)
        return short + self.project(y)


def order_after(depthwise: SpaceTimeConv, shuffle_groups: int) -> Tensor | None:
    """Channel of the source at each place behind a depthwise convolution and its shuffle.

    Its multiplier deals channels out just as that shuffle does; where there is one, the two agree.
    """
    return depthwise.outputs if shuffle_groups == 1 else None


def to_places(x: Tensor, num_frames: int) -> Tensor:
    """Features (B·T, C, H, W) as places (B, T·H·W, C): no copy where C is innermost."""
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(n // num_frames, num_frames * h * w, c)


def from_places(places: Tensor, like: Tensor) -> Tensor:
    """Undo :func:`to_places` for a tensor shaped as ``like``."""
    n, c, h, w = like.shape
    return places.reshape(n, h, w, c).permute(0, 3, 1, 2)


def first_tokens(tokens: Tensor, batch: int) -> Tensor:
    """The first token of each clip, (B, D), of tokens (B·M, D)."""
    width = tokens.shape[-1]
    return tokens.reshape(batch, -1, width)[:, :1].reshape(batch, width)

"""The ``frames`` form of the other networks: their own graph with parts put in its place.

What keeps mobile runtimes from their fast kernels is exchanged module by module, so that networks
are compared at equal care: kernels in time become convolutions with constant weights, and the means
over a clip inside squeeze-and-excitation stay of the rank and layout that the runtimes know.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.conv import SpatiotemporalConv, TemporalConv
from ...layers.former import Former
from ...layers.padding import PaddingKind, pad_same
from ...layers.past import Past
from ...models.baselines.parts import SqueezeExcitation
from ...models.mobile_former_lite import Gather, MobileFormerLite, Read
from . import frames_tokens
from .frames_convolution import sum_over_time


def exchange_parts(model: nn.Module, num_frames: int) -> None:
    """Exchange, in a fused model, whatever runs faster in another way in the ``frames`` form.

    Args:
        model: Changed; it then takes clips of ``num_frames`` alone, in the ``frames`` form.
        num_frames: T.
    """
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, (SpatiotemporalConv, TemporalConv)):
                setattr(module, name, StepConv(child))
            elif isinstance(child, SqueezeExcitation):
                setattr(module, name, FramesSqueeze(child, num_frames))
            elif isinstance(child, (Gather, Former, Read)) and isinstance(model, MobileFormerLite):
                setattr(module, name, _token_part(child, model.num_tokens))


class StepConv(nn.Module):
    """A convolution over time as one 2-D convolution a step, each with constant weights.

    Args:
        source: With its BatchNorm folded.
    """

    def __init__(self, source: SpatiotemporalConv | TemporalConv):
        super().__init__()
        steps = source.weight.detach().unbind(2)
        self.weights = nn.ParameterList(
            nn.Parameter(step.clone(), requires_grad=False) for step in steps
        )
        self.bias = source.bias
        self.stride, self.groups = 1, source.weight.shape[0]
        self.padding_kind: PaddingKind = "centred"
        if isinstance(source, SpatiotemporalConv):
            self.stride, self.groups = source.stride, source.groups
            self.padding_kind = source.padding_kind

    def forward(self, x: Tensor, num_frames: int, past: Past | None = None) -> Tensor:
        """Map (B·T, C, H, W) to (B·T, C_out, …); a graph of whole clips has no past."""
        assert past is None
        size = self.weights[0].shape[-1]
        pads = (size // 2, size // 2)
        if self.padding_kind == "same":
            x, pads = pad_same(x, size, self.stride)
        centre = len(self.weights) // 2
        steps = [
            F.conv2d(
                x, w, self.bias if k == centre else None, self.stride, pads, groups=self.groups
            )
            for k, w in enumerate(self.weights)
        ]
        return sum_over_time(steps, num_frames)


def _token_part(source: Gather | Former | Read, num_tokens: int) -> nn.Module:
    if isinstance(source, Gather):
        return FramesGather(source, num_tokens)
    if isinstance(source, Former):
        return FramesFormer(source, num_tokens)
    return FramesRead(source, num_tokens)


class FramesGather(nn.Module):
    """A bridge to the tokens on rows; see ``frames_tokens.py``."""

    def __init__(self, source: Gather, num_tokens: int):
        super().__init__()
        self.gather = frames_tokens.Gather(source.bridge, num_tokens, None)

    def forward(self, tokens: Tensor, x: Tensor, num_frames: int) -> Tensor:
        """Update tokens (B, M, D) from (B·T, C, H, W)."""
        b, m, d = tokens.shape
        rows = self.gather(tokens.reshape(b * m, d), to_places(x, num_frames))
        return rows.reshape(b, m, d)


class FramesFormer(nn.Module):
    """A Former on rows."""

    def __init__(self, source: Former, num_tokens: int):
        super().__init__()
        self.mixer = frames_tokens.TokenMixer(source, num_tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, M, D) to tokens (B, M, D)."""
        b, m, d = tokens.shape
        return self.mixer(tokens.reshape(b * m, d)).reshape(b, m, d)


class FramesRead(nn.Module):
    """A bridge to the features on rows."""

    def __init__(self, source: Read, num_tokens: int):
        super().__init__()
        assert source.gate is None, "fuse the model first"
        self.read = frames_tokens.Read(source.bridge, num_tokens)

    def forward(self, x: Tensor, tokens: Tensor, num_frames: int) -> Tensor:
        """Residual (B·T, C, H, W) from tokens (B, M, D)."""
        places = self.read(to_places(x, num_frames), tokens.flatten(0, 1))
        n, c, h, w = x.shape
        return places.reshape(n, h, w, c).permute(0, 3, 1, 2)


def to_places(x: Tensor, num_frames: int) -> Tensor:
    """Features (B·T, C, H, W) as places (B, T·H·W, C): no copy where C is innermost."""
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(n // num_frames, num_frames * h * w, c)


class FramesSqueeze(nn.Module):
    """Squeeze-and-excitation whose mean over time is a product, and whose gate needs no copies.

    Args:
        source: Its weights are used.
        num_frames: T.
    """

    average: Tensor

    def __init__(self, source: SqueezeExcitation, num_frames: int):
        super().__init__()
        self.reduce, self.expand = source.reduce, source.expand
        self.activation = source.activation
        self.register_buffer("average", torch.full((1, 1, num_frames), 1 / num_frames))

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Apply to (B·T, C, H, W)."""
        n, c = x.shape[:2]
        batch = n // num_frames
        pooled = x.mean(dim=(2, 3), keepdim=True).reshape(batch, num_frames, c)
        average = self.average if batch == 1 else self.average.repeat(batch, 1, 1)
        pooled = torch.bmm(average, pooled).reshape(batch, c)
        gate = self.expand(self.activation(self.reduce(pooled))).sigmoid()
        if batch > 1:
            gate = gate.repeat_interleave(num_frames, dim=0)
        return x * gate.reshape(-1, c, 1, 1)

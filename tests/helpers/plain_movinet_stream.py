"""MoViNet stream written out plainly from the released names, frame by frame, to compare with.

A frame's logits are computed from all frames up to it, without any state: convolutions in time are
sums over the frames before, running means are means over them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from plain_movinet import average, blocks, zeros
from video_mobile_former.models.baselines.movinet_tables import MoViNetVariant

State = Mapping[str, Tensor]

# fmt: off
SQUEEZED = {
    24: 16, 40: 24, 64: 32, 80: 40, 96: 48, 112: 56, 120: 64, 128: 64, 144: 72, 160: 80, 168: 88,
    184: 96, 192: 96, 216: 112, 240: 120, 280: 144, 344: 176, 360: 184, 384: 192, 456: 232,
    480: 240, 544: 272, 576: 288,
}
# fmt: on
"""Hidden channels of the gates by the block's own: half of them, to the next 8 (ties upwards)."""


def release_shapes(variant: MoViNetVariant, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the public PyTorch release (``causal=True``, 2+1-D)."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv_norm(name: str, out: int, *rest: int) -> None:
        shapes[f"{name}.conv2d.weight"] = (out, *rest)
        for entry in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.norm.{entry}"] = (out,)
        shapes[f"{name}.norm.num_batches_tracked"] = ()

    def conv_bias(name: str, out: int, channels: int) -> None:
        shapes[f"{name}.conv_1.conv2d.weight"] = (out, channels, 1, 1)
        shapes[f"{name}.conv_1.conv2d.bias"] = (out,)

    channels = variant.stem_channels
    conv_norm("conv1.conv_1", channels, 3, 3, 3)
    for i, stage in enumerate(variant.stages):
        for j, row in enumerate(stage):
            block, hidden = f"blocks.b{i}_l{j}", row.expand
            shapes[f"{block}.alpha"] = ()
            conv_norm(f"{block}.expand.conv_1", hidden, channels, 1, 1)
            conv_norm(f"{block}.deep.conv_1", hidden, 1, row.kernel_size, row.kernel_size)
            if row.temporal_kernel > 1:
                conv_norm(f"{block}.deep.conv_2", hidden, 1, row.temporal_kernel, 1)
            conv_bias(f"{block}.se.fc1", SQUEEZED[hidden], 2 * hidden)
            conv_bias(f"{block}.se.fc2", hidden, SQUEEZED[hidden])
            conv_norm(f"{block}.project.conv_1", row.channels, hidden, 1, 1)
            if row.stride == 2:
                conv_norm(f"{block}.res.1.conv_1", row.channels, channels, 1, 1)
            elif row.channels != channels:
                conv_norm(f"{block}.res.0.conv_1", row.channels, channels, 1, 1)
            channels = row.channels
    conv_norm("conv7.conv_1", variant.head_channels, channels, 1, 1)
    conv_bias("classifier.0", 2048, variant.head_channels)
    conv_bias("classifier.3", num_classes, 2048)
    return shapes


def random_release(variant: MoViNetVariant, num_classes: int, seed: int = 0) -> dict[str, Tensor]:
    """Random weights with those names, such that features neither vanish nor explode."""
    torch.manual_seed(seed)
    state = {}
    for name, shape in release_shapes(variant, num_classes).items():
        if name.endswith("num_batches_tracked"):
            value = torch.tensor(7)
        elif name.endswith(("running_var", "norm.weight")):
            value = torch.rand(shape) + 0.5
        elif name.endswith("alpha"):
            value = torch.rand(shape) + 0.2
        elif len(shape) == 4:
            value = torch.randn(shape) * math.prod(shape[1:]) ** -0.5
        else:
            value = 0.2 * torch.randn(shape)
        state[name] = value
    return state


def logits(state: State, variant: MoViNetVariant, x: Tensor, keep: float = 1.0) -> Tensor:
    """Logits (B, T, K) after each frame of clips (B, 3, T, H, W).

    Args:
        state: Under the released names.
        variant: The table.
        x: The clips.
        keep: What a frame keeps of its weight in running means from one frame to the next.
    """
    frames = [conv_norm(state, "conv1.conv_1", f, stride=2) for f in x.unbind(2)]
    frames = [F.hardswish(f) for f in frames]
    for block, stride in blocks(variant):
        shortcuts = frames
        if stride == 2:
            pooled = [average(f.unsqueeze(2)).squeeze(2) for f in frames]
            shortcuts = [conv_norm(state, f"{block}.res.1.conv_1", f) for f in pooled]
        elif f"{block}.res.0.conv_1.conv2d.weight" in state:
            shortcuts = [conv_norm(state, f"{block}.res.0.conv_1", f) for f in frames]
        inner = [F.hardswish(conv_norm(state, f"{block}.expand.conv_1", f)) for f in frames]
        inner = [F.hardswish(conv_norm(state, f"{block}.deep.conv_1", f, stride)) for f in inner]
        if f"{block}.deep.conv_2.conv2d.weight" in state:
            inner = [
                F.hardswish(in_time(state, f"{block}.deep.conv_2", inner[: t + 1]))
                for t in range(len(inner))
            ]
        own = [f.mean((2, 3), keepdim=True) for f in inner]
        gates = [
            gate(state, block, torch.cat([weighted(own[: t + 1], keep), own[t]], 1))
            for t in range(len(own))
        ]
        inner = [f * g for f, g in zip(inner, gates, strict=True)]
        inner = [conv_norm(state, f"{block}.project.conv_1", f) for f in inner]
        frames = [s + state[f"{block}.alpha"] * f for s, f in zip(shortcuts, inner, strict=True)]
    ends = [F.hardswish(conv_norm(state, "conv7.conv_1", f)) for f in frames]
    ends = [f.mean((2, 3), keepdim=True) for f in ends]
    found = []
    for t in range(len(ends)):
        hidden = F.silu(conv_bias(state, "classifier.0", weighted(ends[: t + 1], keep)))
        found.append(conv_bias(state, "classifier.3", hidden).flatten(1))
    return torch.stack(found, 1)


def weighted(frames: list[Tensor], keep: float) -> Tensor:
    """Mean in which a frame weighs ``keep`` times as much as the one after it."""
    weights = [keep**age for age in range(len(frames) - 1, -1, -1)]
    shares = torch.tensor(weights, dtype=frames[0].dtype) / sum(weights)
    return (torch.stack(frames, -1) * shares).sum(-1)


def gate(state: State, block: str, seen: Tensor) -> Tensor:
    """What the channels of a frame are multiplied by."""
    hidden = F.hardswish(conv_bias(state, f"{block}.se.fc1", seen))
    return (0.2 * conv_bias(state, f"{block}.se.fc2", hidden) + 0.5).clamp(0, 1)


def in_time(state: State, name: str, frames: list[Tensor]) -> Tensor:
    """The kernel in time at the last of the frames, with zeros before the first."""
    weight = state[f"{name}.conv2d.weight"][:, 0, :, 0]
    total = torch.zeros_like(frames[-1])
    for back in range(min(weight.shape[1], len(frames))):
        total = total + frames[-1 - back] * weight[:, -1 - back].view(1, -1, 1, 1)
    return normed(state, name, total)


def conv_norm(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    """A convolution without bias under TensorFlow's SAME, and its BatchNorm of inference."""
    weight = state[f"{name}.conv2d.weight"]
    size = weight.shape[3]
    x = F.pad(x, (*zeros(x.shape[3], size, stride), *zeros(x.shape[2], size, stride)))
    y = F.conv2d(x, weight, stride=stride, groups=x.shape[1] // weight.shape[1])
    return normed(state, name, y)


def normed(state: State, name: str, y: Tensor) -> Tensor:
    """BatchNorm of inference."""
    mean, var, weight, bias = (
        state[f"{name}.norm.{entry}"].view(1, -1, 1, 1)
        for entry in ("running_mean", "running_var", "weight", "bias")
    )
    return (y - mean) / (var + 1e-3).sqrt() * weight + bias


def conv_bias(state: State, name: str, x: Tensor) -> Tensor:
    """A pointwise convolution with bias."""
    return F.conv2d(x, state[f"{name}.conv_1.conv2d.weight"], state[f"{name}.conv_1.conv2d.bias"])

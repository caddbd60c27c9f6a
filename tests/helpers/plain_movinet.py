"""MoViNet base written out plainly from the released names, to compare with.

Every convolution is ``conv3d`` after explicit zeros, every average a sum over a count; nothing of
the package is used but the table of shapes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from video_mobile_former.models.baselines.movinet_tables import MoViNetVariant

State = Mapping[str, Tensor]

# fmt: off
SQUEEZED = {
    24: 8, 40: 16, 64: 16, 80: 24, 96: 24, 112: 32, 120: 32, 128: 32, 144: 40, 160: 40, 168: 40,
    184: 48, 192: 48, 216: 56, 240: 64, 280: 72, 344: 88, 360: 88, 384: 96, 456: 112, 480: 120,
    544: 136, 576: 144,
}
# fmt: on
"""Hidden channels of squeeze-and-excitation by the block's own, counted by hand from the rule."""


def release_shapes(variant: MoViNetVariant, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the public PyTorch release (``causal=False``)."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv_norm(name: str, out: int, *rest: int) -> None:
        shapes[f"{name}.conv_1.conv3d.weight"] = (out, *rest)
        for entry in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.conv_1.norm.{entry}"] = (out,)
        shapes[f"{name}.conv_1.norm.num_batches_tracked"] = ()

    def conv_bias(name: str, out: int, channels: int) -> None:
        shapes[f"{name}.conv_1.conv3d.weight"] = (out, channels, 1, 1, 1)
        shapes[f"{name}.conv_1.conv3d.bias"] = (out,)

    channels = variant.stem_channels
    conv_norm("conv1", channels, 3, 1, 3, 3)
    for i, stage in enumerate(variant.stages):
        for j, row in enumerate(stage):
            block, hidden = f"blocks.b{i}_l{j}", row.expand
            shapes[f"{block}.alpha"] = ()
            conv_norm(f"{block}.expand", hidden, channels, 1, 1, 1)
            kernel = (row.temporal_kernel, row.kernel_size, row.kernel_size)
            conv_norm(f"{block}.deep", hidden, 1, *kernel)
            squeezed = SQUEEZED[hidden]
            conv_bias(f"{block}.se.fc1", squeezed, hidden)
            conv_bias(f"{block}.se.fc2", hidden, squeezed)
            conv_norm(f"{block}.project", row.channels, hidden, 1, 1, 1)
            if row.stride == 2:
                conv_norm(f"{block}.res.1", row.channels, channels, 1, 1, 1)
            elif row.channels != channels:
                conv_norm(f"{block}.res.0", row.channels, channels, 1, 1, 1)
            channels = row.channels
    conv_norm("conv7", variant.head_channels, channels, 1, 1, 1)
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
        elif len(shape) == 5:
            value = torch.randn(shape) * math.prod(shape[1:]) ** -0.5
        else:
            value = 0.2 * torch.randn(shape)
        state[name] = value
    return state


def logits(state: State, variant: MoViNetVariant, x: Tensor) -> Tensor:
    """Logits of clips (B, 3, T, H, W)."""
    x = F.silu(conv_norm(state, "conv1", x, stride=2))
    for block, stride in blocks(variant):
        shortcut = x
        if stride == 2:
            shortcut = conv_norm(state, f"{block}.res.1", average(x))
        elif f"{block}.res.0.conv_1.conv3d.weight" in state:
            shortcut = conv_norm(state, f"{block}.res.0", x)
        y = F.silu(conv_norm(state, f"{block}.expand", x))
        y = F.silu(conv_norm(state, f"{block}.deep", y, stride=stride))
        gate = conv_bias(state, f"{block}.se.fc1", y.mean((2, 3, 4), keepdim=True))
        y = y * conv_bias(state, f"{block}.se.fc2", F.silu(gate)).sigmoid()
        y = conv_norm(state, f"{block}.project", y)
        x = shortcut + state[f"{block}.alpha"] * y
    x = F.silu(conv_norm(state, "conv7", x)).mean((2, 3, 4), keepdim=True)
    x = F.silu(conv_bias(state, "classifier.0", x))
    return conv_bias(state, "classifier.3", x).flatten(1)


def blocks(variant: MoViNetVariant) -> Iterator[tuple[str, int]]:
    """Name and stride of each block."""
    for i, stage in enumerate(variant.stages):
        for j, row in enumerate(stage):
            yield f"blocks.b{i}_l{j}", row.stride


def conv_norm(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    """A convolution without bias under TensorFlow's SAME, and its BatchNorm of inference."""
    weight = state[f"{name}.conv_1.conv3d.weight"]
    time, size = weight.shape[2] // 2, weight.shape[3]
    x = F.pad(x, (*zeros(x.shape[4], size, stride), *zeros(x.shape[3], size, stride), time, time))
    groups = x.shape[1] // weight.shape[1]
    y = F.conv3d(x, weight, stride=(1, stride, stride), groups=groups)
    norm = [
        state[f"{name}.conv_1.norm.{entry}"].view(1, -1, 1, 1, 1)
        for entry in ("running_mean", "running_var", "weight", "bias")
    ]
    return (y - norm[0]) / (norm[1] + 1e-3).sqrt() * norm[2] + norm[3]


def conv_bias(state: State, name: str, x: Tensor) -> Tensor:
    """A pointwise convolution with bias."""
    return F.conv3d(x, state[f"{name}.conv_1.conv3d.weight"], state[f"{name}.conv_1.conv3d.bias"])


def zeros(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and behind, as TensorFlow's SAME counts them."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def average(x: Tensor) -> Tensor:
    """Mean over 3×3 with stride 2 of what lies inside, as TensorFlow's SAME places the windows."""
    pads = (*zeros(x.shape[4], 3, 2), *zeros(x.shape[3], 3, 2))
    ones = torch.ones(1, 1, 1, 3, 3, dtype=x.dtype)

    def total(y: Tensor) -> Tensor:
        rows = F.pad(y, pads).flatten(0, 1).unsqueeze(1)
        return F.conv3d(rows, ones, stride=(1, 2, 2)).view(*y.shape[:3], *_halves(y))

    return total(x) / total(torch.ones_like(x))


def _halves(x: Tensor) -> tuple[int, int]:
    return -(-x.shape[3] // 2), -(-x.shape[4] // 2)

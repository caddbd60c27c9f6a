"""TSM-MobileNetV2 written out plainly from the released names, to compare with.

Nothing of the package is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]

TABLE = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def blocks() -> Iterator[tuple[str, int, int, int, int]]:
    """Name, input channels, expansion, output channels and stride of each block."""
    before, index = 32, 1
    for expand, channels, count, stride in TABLE:
        for i in range(count):
            yield (
                f"base_model.features.{index}",
                before,
                expand,
                channels,
                stride if i == 0 else 1,
            )
            before, index = channels, index + 1


def release_shapes(num_classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the release."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv_norm(conv: str, norm: str, *shape: int) -> None:
        shapes[f"{conv}.weight"] = shape
        for entry in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{entry}"] = shape[:1]
        shapes[f"{norm}.num_batches_tracked"] = ()

    conv_norm("base_model.features.0.0", "base_model.features.0.1", 32, 3, 3, 3)
    for name, before, expand, channels, stride in blocks():
        conv, hidden = f"{name}.conv", before * expand
        at = 0
        if expand > 1:
            net = ".net" if stride == 1 and before == channels else ""
            conv_norm(f"{conv}.0{net}", f"{conv}.1", hidden, before, 1, 1)
            at = 3
        conv_norm(f"{conv}.{at}", f"{conv}.{at + 1}", hidden, 1, 3, 3)
        conv_norm(f"{conv}.{at + 3}", f"{conv}.{at + 4}", channels, hidden, 1, 1)
    conv_norm("base_model.features.18.0", "base_model.features.18.1", 1280, 320, 1, 1)
    shapes["new_fc.weight"] = (num_classes, 1280)
    shapes["new_fc.bias"] = (num_classes,)
    return shapes


def random_release(num_classes: int) -> State:
    """Random weights with those names, such that features neither vanish nor explode."""
    torch.manual_seed(0)
    state = {}
    for name, shape in release_shapes(num_classes).items():
        if name.endswith("num_batches_tracked"):
            value = torch.tensor(7)
        elif name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
            value = torch.rand(shape) + 0.5
        elif len(shape) > 1:
            value = torch.randn(shape) * math.prod(shape[1:]) ** -0.5
        else:
            value = 0.2 * torch.randn(shape)
        state[name] = value
    return state


def logits(state: State, clip: Tensor) -> Tensor:
    """Logits (K,) of one clip (3, T, H, W): frame by frame, then their mean."""
    x = clip.transpose(0, 1)  # (T, 3, H, W)
    x = F.relu6(conv_norm(state, "base_model.features.0.0", "base_model.features.0.1", x, 2))
    for name, before, expand, channels, stride in blocks():
        conv, y, at = f"{name}.conv", x, 0
        identity = stride == 1 and before == channels
        if expand > 1:
            y = shifted(y) if identity else y
            net = ".net" if identity else ""
            y = F.relu6(conv_norm(state, f"{conv}.0{net}", f"{conv}.1", y))
            at = 3
        y = F.relu6(conv_norm(state, f"{conv}.{at}", f"{conv}.{at + 1}", y, stride))
        y = conv_norm(state, f"{conv}.{at + 3}", f"{conv}.{at + 4}", y)
        x = x + y if identity else y
    x = F.relu6(conv_norm(state, "base_model.features.18.0", "base_model.features.18.1", x))
    each = F.linear(x.mean((2, 3)), state["new_fc.weight"], state["new_fc.bias"])
    return each.mean(0)


def shifted(x: Tensor) -> Tensor:
    """Channels of (T, C, H, W) moved in time, one frame and one channel at a time."""
    frames, channels = x.shape[:2]
    eighth = channels // 8
    y = torch.zeros_like(x)
    for t in range(frames):
        for c in range(channels):
            source = t + 1 if c < eighth else t - 1 if c < 2 * eighth else t
            if 0 <= source < frames:
                y[t, c] = x[source, c]
    return y


def conv_norm(state: State, conv: str, norm: str, x: Tensor, stride: int = 1) -> Tensor:
    """A convolution and its BatchNorm of inference."""
    weight = state[f"{conv}.weight"]
    groups = x.shape[1] // weight.shape[1]
    y = F.conv2d(x, weight, None, stride, weight.shape[2] // 2, groups=groups)
    parts = ("running_mean", "running_var", "weight", "bias")
    mean, var, gamma, beta = (state[f"{norm}.{part}"].view(1, -1, 1, 1) for part in parts)
    return (y - mean) / (var + 1e-5).sqrt() * gamma + beta

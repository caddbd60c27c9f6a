"""EfficientNet-Lite on pictures, written a second time from its tables, for the tests.

It takes the names of the public weights and computes with plain functions alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

B0 = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80))
B0 += ((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
"""EfficientNet-B0: repeats, kernel, stride, expansion and channels of each stage."""
SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
"""What widths and depths are multiplied by."""


def blocks_of(size: str) -> list[tuple[int, int, int, int, int]]:
    """Kernel, stride, expansion, input and output channels of each block."""
    width, depth = SCALES[size]
    found, before = [], 32
    for i, (repeats, kernel, stride, expand, channels) in enumerate(B0):
        scaled = max(8, int(channels * width + 4) // 8 * 8)
        scaled += 8 if scaled < 0.9 * channels * width else 0
        if 0 < i < len(B0) - 1:
            repeats = math.ceil(depth * repeats)
        for j in range(repeats):
            found.append((kernel, stride if j == 0 else 1, expand, before, scaled))
            before = scaled
    return found


def random_weights(size: str, num_classes: int = 1000) -> dict[str, Tensor]:
    """Weights under the names of the release whose every value shows in the logits."""
    state: dict[str, Tensor] = {}

    def conv(name: str, norm: str, out: int, inputs: int, kernel: int) -> None:
        state[f"{name}.weight"] = (
            torch.randn(out, inputs, kernel, kernel) * (2 / (inputs * kernel**2)) ** 0.5
        )
        state[f"{norm}.weight"] = torch.rand(out) + 0.5
        state[f"{norm}.bias"] = torch.randn(out) * 0.2
        state[f"{norm}.running_mean"] = torch.randn(out) * 0.2
        state[f"{norm}.running_var"] = torch.rand(out) + 0.5
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    conv("_conv_stem", "_bn0", 32, 3, 3)
    last = 32
    for i, (kernel, _, expand, inputs, last) in enumerate(blocks_of(size)):
        at, hidden = f"_blocks.{i}", inputs * expand
        if expand > 1:
            conv(f"{at}._expand_conv", f"{at}._bn0", hidden, inputs, 1)
        conv(f"{at}._depthwise_conv", f"{at}._bn1", hidden, 1, kernel)
        conv(f"{at}._project_conv", f"{at}._bn2", last, hidden, 1)
    conv("_conv_head", "_bn1", 1280, last, 1)
    state["_fc.weight"] = torch.randn(num_classes, 1280) * 0.03
    state["_fc.bias"] = torch.randn(num_classes) * 0.1
    return state


def logits(state: Mapping[str, Tensor], size: str, pictures: Tensor) -> Tensor:
    """Logits (N, K) of pictures (N, 3, H, W)."""
    x = F.relu6(_norm(state, "_bn0", _conv(pictures, state["_conv_stem.weight"], 2)))
    for i, (_, stride, expand, inputs, channels) in enumerate(blocks_of(size)):
        at, y = f"_blocks.{i}", x
        if expand > 1:
            y = F.relu6(_norm(state, f"{at}._bn0", _conv(y, state[f"{at}._expand_conv.weight"], 1)))
        weight = state[f"{at}._depthwise_conv.weight"]
        y = F.relu6(_norm(state, f"{at}._bn1", _conv(y, weight, stride, groups=len(weight))))
        y = _norm(state, f"{at}._bn2", _conv(y, state[f"{at}._project_conv.weight"], 1))
        x = x + y if stride == 1 and inputs == channels else y
    x = F.relu6(_norm(state, "_bn1", _conv(x, state["_conv_head.weight"], 1)))
    return x.mean(dim=(2, 3)) @ state["_fc.weight"].T + state["_fc.bias"]


def _conv(x: Tensor, weight: Tensor, stride: int, groups: int = 1) -> Tensor:
    """With TensorFlow's SAME padding, written out."""
    kernel, pads = weight.shape[-1], []
    for length in (x.shape[3], x.shape[2]):
        total = max((math.ceil(length / stride) - 1) * stride + kernel - length, 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), weight, None, stride, 0, 1, groups)


def _norm(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    at = [state[f"{name}.{part}"].view(-1, 1, 1) for part in ("running_mean", "running_var")]
    scale = state[f"{name}.weight"].view(-1, 1, 1) / (at[1] + 1e-3).sqrt()
    return (x - at[0]) * scale + state[f"{name}.bias"].view(-1, 1, 1)

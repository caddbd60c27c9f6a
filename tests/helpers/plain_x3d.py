"""X3D written out plainly from SlowFast's names, to compare with.

Nothing of the package is used.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]

STAGES = ((24, 3, 54, 8), (48, 5, 108, 8), (96, 11, 216, 16), (192, 7, 432, 32))
"""Channels, blocks, hidden channels and squeezed channels of each stage."""


def release_shapes(num_classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of SlowFast's release."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        for entry in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{entry}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    shapes["s1.pathway0_stem.conv_xy.weight"] = (24, 3, 1, 3, 3)
    shapes["s1.pathway0_stem.conv.weight"] = (24, 1, 5, 1, 1)
    norm("s1.pathway0_stem.bn", 24)
    before = 24
    for i, (channels, depth, hidden, squeezed) in enumerate(STAGES):
        for j in range(depth):
            block = f"s{i + 2}.pathway0_res{j}"
            if j == 0:
                shapes[f"{block}.branch1.weight"] = (channels, before, 1, 1, 1)
                norm(f"{block}.branch1_bn", channels)
            shapes[f"{block}.branch2.a.weight"] = (hidden, before, 1, 1, 1)
            norm(f"{block}.branch2.a_bn", hidden)
            shapes[f"{block}.branch2.b.weight"] = (hidden, 1, 3, 3, 3)
            norm(f"{block}.branch2.b_bn", hidden)
            if j % 2 == 0:
                shapes[f"{block}.branch2.se.fc1.weight"] = (squeezed, hidden, 1, 1, 1)
                shapes[f"{block}.branch2.se.fc1.bias"] = (squeezed,)
                shapes[f"{block}.branch2.se.fc2.weight"] = (hidden, squeezed, 1, 1, 1)
                shapes[f"{block}.branch2.se.fc2.bias"] = (hidden,)
            shapes[f"{block}.branch2.c.weight"] = (channels, hidden, 1, 1, 1)
            norm(f"{block}.branch2.c_bn", channels)
            before = channels
    shapes["head.conv_5.weight"] = (432, 192, 1, 1, 1)
    norm("head.conv_5_bn", 432)
    shapes["head.lin_5.weight"] = (2048, 432, 1, 1, 1)
    shapes["head.projection.weight"] = (num_classes, 2048)
    shapes["head.projection.bias"] = (num_classes,)
    return shapes


def random_release(num_classes: int) -> State:
    """Random weights with those names, such that features neither vanish nor explode."""
    torch.manual_seed(0)
    state = {}
    for name, shape in release_shapes(num_classes).items():
        if name.endswith("num_batches_tracked"):
            value = torch.tensor(7)
        elif name.endswith(("running_var", "bn.weight")):
            value = torch.rand(shape) + 0.5
        elif len(shape) > 1:
            value = torch.randn(shape) * math.prod(shape[1:]) ** -0.5
        else:
            value = 0.2 * torch.randn(shape)
        state[name] = value
    return state


def pytorchvideo_names(state: State) -> State:
    """The same weights as pytorchvideo names them, which has no norm in the first shortcut."""
    renamed = {}
    swaps = {
        "branch1.weight": "branch1_conv.weight",
        "branch1_bn": "branch1_norm",
        "branch2.se.fc1": "branch2.norm_b.1.block.0",
        "branch2.se.fc2": "branch2.norm_b.1.block.2",
        "branch2.b_bn": "branch2.norm_b.0",
        "branch2.a_bn": "branch2.norm_a",
        "branch2.c_bn": "branch2.norm_c",
        "branch2.a.": "branch2.conv_a.",
        "branch2.b.": "branch2.conv_b.",
        "branch2.c.": "branch2.conv_c.",
        "s1.pathway0_stem.conv_xy.": "blocks.0.conv.conv_t.",
        "s1.pathway0_stem.conv.": "blocks.0.conv.conv_xy.",
        "s1.pathway0_stem.bn.": "blocks.0.norm.",
        "head.conv_5.": "blocks.5.pool.pre_conv.",
        "head.conv_5_bn.": "blocks.5.pool.pre_norm.",
        "head.lin_5.": "blocks.5.pool.post_conv.",
        "head.projection.": "blocks.5.proj.",
        **{f"s{i}.pathway0_res": f"blocks.{i - 1}.res_blocks." for i in range(2, 6)},
    }
    for name, value in state.items():
        if name.startswith("s2.pathway0_res0.branch1_bn"):
            continue
        for old, new in swaps.items():
            name = name.replace(old, new)
        renamed[name] = value
    return renamed


def logits(state: State, x: Tensor) -> Tensor:
    """Logits of clips (B, 3, T, H, W); a shortcut has a norm where ``state`` has one."""
    x = F.conv3d(x, state["s1.pathway0_stem.conv_xy.weight"], stride=(1, 2, 2), padding=(0, 1, 1))
    weight = state["s1.pathway0_stem.conv.weight"]
    x = F.relu(norm(state, "s1.pathway0_stem.bn", F.conv3d(x, weight, None, 1, (2, 0, 0), 1, 24)))
    for i, (_, depth, hidden, _) in enumerate(STAGES):
        for j in range(depth):
            block, stride = f"s{i + 2}.pathway0_res{j}", (1, 2, 2) if j == 0 else 1
            shortcut = x
            if j == 0:
                shortcut = F.conv3d(x, state[f"{block}.branch1.weight"], stride=stride)
                if f"{block}.branch1_bn.weight" in state:
                    shortcut = norm(state, f"{block}.branch1_bn", shortcut)
            y = F.conv3d(x, state[f"{block}.branch2.a.weight"])
            y = F.relu(norm(state, f"{block}.branch2.a_bn", y))
            y = F.conv3d(y, state[f"{block}.branch2.b.weight"], None, stride, 1, 1, hidden)
            y = norm(state, f"{block}.branch2.b_bn", y)
            if j % 2 == 0:
                gate = y.mean((2, 3, 4), keepdim=True)
                for k, fc in enumerate(("fc1", "fc2")):
                    name = f"{block}.branch2.se.{fc}"
                    gate = F.conv3d(gate, state[f"{name}.weight"], state[f"{name}.bias"])
                    gate = gate.sigmoid() if k else F.relu(gate)
                y = y * gate
            y = y * torch.sigmoid(y)
            y = F.conv3d(y, state[f"{block}.branch2.c.weight"])
            x = F.relu(shortcut + norm(state, f"{block}.branch2.c_bn", y))
    x = F.relu(norm(state, "head.conv_5_bn", F.conv3d(x, state["head.conv_5.weight"])))
    x = F.relu(F.conv3d(x.mean((2, 3, 4), keepdim=True), state["head.lin_5.weight"])).flatten(1)
    return F.linear(x, state["head.projection.weight"], state["head.projection.bias"])


def norm(state: State, name: str, x: Tensor) -> Tensor:
    """BatchNorm of inference."""
    parts = ("running_mean", "running_var", "weight", "bias")
    mean, var, weight, bias = (state[f"{name}.{part}"].view(1, -1, 1, 1, 1) for part in parts)
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias

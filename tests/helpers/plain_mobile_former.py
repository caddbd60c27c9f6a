"""Video Mobile-Former written out plainly from its description, to compare with.

Clips are (B, 3, T, H, W), convolutions ``conv3d``, caps comparisons; nothing of the package is
used but the names of its weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]
CAUSAL = "causal"
"""Beside the weights where kernels look back only."""


def logits(
    state: State,
    x: Tensor,
    *,
    blocks: Sequence[Sequence[Any]],
    groups: int,
    head_limit: float = 6.0,
    causal: bool = False,
) -> Tensor:
    """Logits of clips.

    Args:
        state: Weights.
        x: (B, 3, T, H, W).
        blocks: Rows (kind, expand, channels, stride, expand2).
        groups: Of the pointwise convolutions.
        head_limit: Cap of the head's convolution.
        causal: Kernels in time look back only: all of their zeros stand before the clip.
    """
    if causal:
        state = {**state, CAUSAL: torch.ones(())}
    z = state["tokens"].expand(len(x), -1, -1) if "tokens" in state else None
    x = capped(conv_norm(state, "stem", x, stride=2), 6)
    for i, (kind, _, _, stride, _) in enumerate(blocks):
        name = f"blocks.{i}"
        if kind == "lite":
            deal = x.shape[1] if groups > 1 else 1
            y = capped(conv_norm(state, f"{name}.mobile.depthwise", x, stride=stride), 6)
            y = conv_norm(state, f"{name}.mobile.project", shuffle(y, deal))
            x = x + y if stride == 1 and x.shape[1] == y.shape[1] else y
            continue
        if z is not None:
            z = gather(state, f"{name}.mobile_to_former", z, x)
            z = former(state, f"{name}.former", z)
        x = (mobile if kind == "mobile" else downsample)(state, f"{name}.mobile", x, z, groups)
        if z is not None:
            x = x + read(state, f"{name}.former_to_mobile", x, z)
    if z is not None:
        z = gather(state, "head_bridge", z, x)
    y = capped(conv_norm(state, "head_conv", shuffle(x, groups)), head_limit)
    pooled = hard_swish(y.mean((2, 3, 4)))
    if z is not None:
        pooled = torch.cat([pooled, z[:, 0]], 1)
    hidden = hard_swish(norm(state, "head_norm", linear(state, "head_linear", pooled)))
    return linear(state, "classifier", hidden)


def mobile(state: State, name: str, x: Tensor, z: Tensor | None, groups: int) -> Tensor:
    """Expand, depthwise, project."""
    y = shuffle(conv_norm(state, f"{name}.expand", x), groups)
    y = activation(state, f"{name}.expand_act", y, z)
    y = activation(state, f"{name}.depthwise_act", conv_norm(state, f"{name}.depthwise", y), z)
    y = shuffle(conv_norm(state, f"{name}.project", y), groups)
    return x + y if x.shape[1] == y.shape[1] else y


def downsample(state: State, name: str, x: Tensor, z: Tensor | None, groups: int) -> Tensor:
    """Halve height and width, then a residual pair."""
    y = conv_norm(state, f"{name}.down", x, stride=2)
    y = activation(state, f"{name}.down_act", shuffle(y, x.shape[1] if groups > 1 else 1), z)
    short = conv_norm(state, f"{name}.reduce", y)
    y = conv_norm(state, f"{name}.depthwise", short)
    deal = short.shape[1] if groups > 1 else 1
    y = activation(state, f"{name}.depthwise_act", shuffle(y, deal), z)
    return short + conv_norm(state, f"{name}.project", y)


def activation(state: State, name: str, x: Tensor, z: Tensor | None) -> Tensor:
    """max(a·x, b·x) with slopes from the first token; ReLU6 without tokens."""
    if z is None:
        return capped(x, 6)
    hidden = capped(linear(state, f"{name}.reduce", z[:, 0]), math.inf)
    a, b = hard_sigmoid(linear(state, f"{name}.slopes", hidden)).chunk(2, dim=1)
    a, b = (2 * a)[:, :, None, None, None], (2 * b - 1)[:, :, None, None, None]
    return torch.where(a * x >= b * x, a * x, b * x)


def gather(state: State, name: str, z: Tensor, x: Tensor) -> Tensor:
    """Mobile→Former: two heads, one after the other."""
    query, gate = (
        linear(state, f"{name}.query", z),
        2 * hard_sigmoid(linear(state, f"{name}.gate", z)),
    )
    places = x.flatten(2)  # (B, C, L)
    half = places.shape[1] // 2
    found = []
    for part in (slice(0, half), slice(half, None)):
        scores = query[:, :, part] @ places[:, part] / math.sqrt(half)
        found.append(softmax(scores, 2) @ places[:, part].transpose(1, 2))
    mixed = linear(state, f"{name}.output", torch.cat(found, 2) * gate)
    return layer_norm(state, f"{name}.norm", z + mixed)


def former(state: State, name: str, z: Tensor) -> Tensor:
    """Self-attention of four heads and a feed-forward layer."""
    query, size = linear(state, f"{name}.query", z), z.shape[2] // 4
    found = []
    for i in range(4):
        part = slice(i * size, (i + 1) * size)
        scores = query[:, :, part] @ z[:, :, part].transpose(1, 2) / math.sqrt(size)
        found.append(softmax(scores, 2) @ z[:, :, part])
    z = layer_norm(state, f"{name}.norm", z + linear(state, f"{name}.output", torch.cat(found, 2)))
    y = linear(state, f"{name}.ffn_expand", z)
    y = y * (1 + torch.erf(y / math.sqrt(2))) / 2
    return layer_norm(state, f"{name}.ffn_norm", z + linear(state, f"{name}.ffn_project", y))


def read(state: State, name: str, x: Tensor, z: Tensor) -> Tensor:
    """Former→Mobile: two heads, one after the other."""
    key, value = linear(state, f"{name}.key", z), linear(state, f"{name}.value", z)
    places = x.flatten(2)
    half = places.shape[1] // 2
    found = []
    for part in (slice(0, half), slice(half, None)):
        scores = key[:, :, part] @ places[:, part] / math.sqrt(half)  # (B, M, L)
        found.append(value[:, :, part].transpose(1, 2) @ softmax(scores, 1))
    return torch.cat(found, 1).reshape(x.shape)


def conv_norm(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    """A convolution, one in time where there is one, and BatchNorm of inference."""
    weight = state[f"{name}.conv.weight"]
    weight = weight if weight.dim() == 5 else weight.unsqueeze(2)
    x = ahead_of(state, x, weight)
    pads = (0, weight.shape[3] // 2, weight.shape[4] // 2)
    x = F.conv3d(x, weight, None, (1, stride, stride), pads, groups=x.shape[1] // weight.shape[1])
    if f"{name}.temporal.weight" in state:
        weight = state[f"{name}.temporal.weight"]
        x = F.conv3d(ahead_of(state, x, weight), weight, None, 1, groups=x.shape[1])
    return norm(state, f"{name}.norm", x)


def ahead_of(state: State, x: Tensor, weight: Tensor) -> Tensor:
    """Frames with the zeros around them that a kernel in time needs."""
    size = weight.shape[2] - 1
    before = size if CAUSAL in state else size // 2
    zeros = torch.zeros_like(x[:, :, :1])
    return torch.cat([zeros] * before + [x] + [zeros] * (size - before), dim=2)


def norm(state: State, name: str, x: Tensor) -> Tensor:
    """BatchNorm of inference."""
    mean, var, weight, bias = (
        state[f"{name}.{part}"].view(1, -1, *[1] * (x.dim() - 2))
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def layer_norm(state: State, name: str, z: Tensor) -> Tensor:
    """LayerNorm of the last axis."""
    z = z - z.mean(-1, keepdim=True)
    z = z / ((z * z).mean(-1, keepdim=True) + 1e-5).sqrt()
    return z * state[f"{name}.weight"] + state[f"{name}.bias"]


def linear(state: State, name: str, x: Tensor) -> Tensor:
    """A linear layer."""
    return x @ state[f"{name}.weight"].t() + state[f"{name}.bias"]


def softmax(scores: Tensor, dim: int) -> Tensor:
    """Softmax."""
    scores = (scores - scores.amax(dim, keepdim=True)).exp()
    return scores / scores.sum(dim, keepdim=True)


def capped(x: Tensor, limit: float) -> Tensor:
    """Between 0 and a limit."""
    x = torch.where(x > 0, x, torch.zeros_like(x))
    return torch.where(x < limit, x, torch.full_like(x, limit))


def hard_sigmoid(x: Tensor) -> Tensor:
    """(x + 3) / 6 between 0 and 1."""
    return capped(x + 3, 6) / 6


def hard_swish(x: Tensor) -> Tensor:
    """x times its hard sigmoid."""
    return x * hard_sigmoid(x)


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Channels of ``groups`` equal groups dealt out in turn."""
    each = x.shape[1] // groups
    return x[:, [g * each + i for i in range(each) for g in range(groups)]]

"""Video-FocalNet written plainly from its formulas, on weights with the names of the release.

Every place of every frame by itself where that is possible; one clip at a time; nothing is shared
with the package.
"""

from __future__ import annotations

import torch
from torch import Tensor

WIDTHS, DEPTHS, KERNELS = (16, 32), (1, 2), (3, 5)


def random_release(num_classes: int, *, still: bool = False) -> dict[str, Tensor]:
    """Weights of a small network with dense kernels in time.

    Args:
        num_classes: Classes.
        still: All that is of time is 0, and its modulator 1: frames are seen alone.
    """
    torch.manual_seed(0)
    found: dict[str, Tensor] = {}

    def linear(name: str, out: int, into: int, *kernel: int) -> None:
        found[f"{name}.weight"] = torch.randn(out, into, *kernel) / into**0.5
        found[f"{name}.bias"] = torch.randn(out) * 0.3

    def norm(name: str, width: int) -> None:
        found[f"{name}.weight"] = 1 + torch.randn(width) * 0.2
        found[f"{name}.bias"] = torch.randn(width) * 0.2

    linear("patch_embed.proj", WIDTHS[0], 3, 4, 4)
    norm("patch_embed.norm", WIDTHS[0])
    gates = len(KERNELS) + 1
    for stage, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
        for block in range(depth):
            at = f"layers.{stage}.blocks.{block}"
            norm(f"{at}.norm1", width)
            norm(f"{at}.norm2", width)
            linear(f"{at}.mlp.fc1", 4 * width, width)
            linear(f"{at}.mlp.fc2", width, 4 * width)
            linear(f"{at}.modulation.f", 2 * width + gates, width)
            linear(f"{at}.modulation.h", width, width, 1, 1)
            linear(f"{at}.modulation.proj", width, width)
            linear(f"{at}.modulation.f_temporal", width + gates, width)
            linear(f"{at}.modulation.h_temporal", width, width, 1)
            for level, k in enumerate(KERNELS):
                space = torch.randn(width, 1, k, k) / k
                time = torch.randn(width, width, k) / (k * width) ** 0.5
                found[f"{at}.modulation.focal_layers.{level}.0.weight"] = space
                found[f"{at}.modulation.focal_layers_temporal.{level}.0.weight"] = time
        if stage + 1 < len(DEPTHS):
            linear(f"layers.{stage}.downsample.proj", WIDTHS[stage + 1], width, 2, 2)
            norm(f"layers.{stage}.downsample.norm", WIDTHS[stage + 1])
    norm("norm", WIDTHS[-1])
    linear("head", num_classes, WIDTHS[-1])
    if still:
        for key in found:
            if "temporal" in key:
                found[key].fill_(float(key.endswith("h_temporal.bias")))
    return found


def logits(weights: dict[str, Tensor], clip: Tensor, *, time: bool = True) -> Tensor:
    """Logits (K,) of one clip (3, T, H, W).

    Args:
        weights: Of :func:`random_release`.
        clip: Normalised.
        time: Otherwise the branch of time is left out altogether: a FocalNet on every frame.
    """
    x = torch.stack([_tiles(weights, "patch_embed", frame, 4) for frame in clip.unbind(1)])
    for stage, depth in enumerate(DEPTHS):
        for block in range(depth):
            at = f"layers.{stage}.blocks.{block}"
            x = x + _modulated(weights, f"{at}.modulation", _norm(weights, f"{at}.norm1", x), time)
            y = _linear(weights, f"{at}.mlp.fc1", _norm(weights, f"{at}.norm2", x))
            x = x + _linear(weights, f"{at}.mlp.fc2", _gelu(y))
        if stage + 1 < len(DEPTHS):
            at = f"layers.{stage}.downsample"
            x = torch.stack([_tiles(weights, at, frame.permute(2, 0, 1), 2) for frame in x])
    frames = [_norm(weights, "norm", frame).flatten(0, 1).mean(dim=0) for frame in x]
    return weights["head.weight"] @ torch.stack(frames).mean(dim=0) + weights["head.bias"]


def _tiles(weights: dict[str, Tensor], at: str, picture: Tensor, size: int) -> Tensor:
    """(C, H, W) cut into tiles, each a matrix product: (H/size, W/size, C')."""
    kernel = weights[f"{at}.proj.weight"].flatten(1)
    rows, columns = picture.shape[1] // size, picture.shape[2] // size
    made = torch.empty(rows, columns, kernel.shape[0])
    for i in range(rows):
        for j in range(columns):
            tile = picture[:, i * size : (i + 1) * size, j * size : (j + 1) * size]
            made[i, j] = kernel @ tile.flatten() + weights[f"{at}.proj.bias"]
    return _norm(weights, f"{at}.norm", made)


def _modulated(weights: dict[str, Tensor], at: str, x: Tensor, time: bool) -> Tensor:
    """(T, H, W, C)."""
    width = x.shape[-1]
    both = _linear(weights, f"{at}.f", x)
    query, context, gates = both[..., :width], both[..., width : 2 * width], both[..., 2 * width :]
    total = torch.zeros_like(query)
    for level, k in enumerate(KERNELS):
        kernel, pad = weights[f"{at}.focal_layers.{level}.0.weight"][:, 0], k // 2
        after = torch.zeros_like(context)
        for i in range(k):
            for j in range(k):
                after += kernel[:, i, j] * _moved(_moved(context, 1, i - pad), 2, j - pad)
        context = _gelu(after)
        total = total + gates[..., level : level + 1] * context
    total = total + gates[..., len(KERNELS) :] * _gelu(context.mean(dim=(1, 2), keepdim=True))
    product = query * _linear(weights, f"{at}.h", total)
    if time:
        both = _linear(weights, f"{at}.f_temporal", x)
        context, gates = both[..., :width], both[..., width:]
        total = torch.zeros_like(query)
        for level, k in enumerate(KERNELS):
            kernel, pad = weights[f"{at}.focal_layers_temporal.{level}.0.weight"], k // 2
            after = sum(_moved(context, 0, i - pad) @ kernel[:, :, i].T for i in range(k))
            context = _gelu(torch.as_tensor(after))
            total = total + gates[..., level : level + 1] * context
        total = total + gates[..., len(KERNELS) :] * _gelu(context.mean(dim=0, keepdim=True))
        product = product * _linear(weights, f"{at}.h_temporal", total)
    return _linear(weights, f"{at}.proj", product)


def _moved(x: Tensor, axis: int, by: int) -> Tensor:
    """Each place shows the one ``by`` further along an axis, zeros beyond the ends."""
    found = torch.zeros_like(x)
    length = x.shape[axis]
    for i in range(length):
        if 0 <= i + by < length:
            found.select(axis, i).copy_(x.select(axis, i + by))
    return found


def _linear(weights: dict[str, Tensor], at: str, x: Tensor) -> Tensor:
    return x @ weights[f"{at}.weight"].flatten(1).T + weights[f"{at}.bias"]


def _norm(weights: dict[str, Tensor], at: str, x: Tensor) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * weights[f"{at}.weight"] + weights[f"{at}.bias"]


def _gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))

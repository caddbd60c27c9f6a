"""RandAugment (arXiv 1909.13719) for clips: a few of fifteen operations, sampled for each clip.

Operations and strengths are those of timm's ``rand-m7-n4-mstd0.5-inc1``, common in video
recognition, where every operation grows stronger with the magnitude. An operation, its strength and
its statistics are the same for all frames of a clip, so that nothing flickers. Differences from
timm: posterizing keeps at least one bit (0 would be black), and interpolation is always bilinear
(timm samples bilinear or bicubic for each operation).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .color import apply_colors, color_matrices
from .sharpness import sharpen
from .tables import TABLES, look_up
from .warp import MATRICES, warp

OPERATIONS = (
    "nothing",
    "autocontrast",
    "equalize",
    "invert",
    "rotate",
    "posterize",
    "solarize",
    "solarize_add",
    "color",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
"""Names of the operations; parameters refer to them by position."""

MAX_MAGNITUDE = 10.0
_MAGNITUDE_STD = 0.5

_STRENGTHS: dict[str, Callable[[float], float]] = {
    "posterize": lambda share: max(1, 4 - int(4 * share)),
    "solarize": lambda share: 256 - int(256 * share),
    "solarize_add": lambda share: int(110 * share),
}
"""From the magnitude as a share of the largest one, 0 to 1, to the operation's argument."""
_ENHANCED = ("color", "contrast", "brightness", "sharpness")
_LARGEST = {
    **dict.fromkeys(_ENHANCED, 0.9),
    "rotate": 30.0,
    "shear_x": 0.3,
    "shear_y": 0.3,
    "translate_x": 0.45,
    "translate_y": 0.45,
}
"""Argument of two-sided operations at the largest magnitude."""


def strength(name: str, magnitude: float, *, negative: bool = False) -> float:
    """Convert a magnitude to the argument of an operation.

    Args:
        name: One of :data:`OPERATIONS`.
        magnitude: 0 to 10.
        negative: Use the other direction of two-sided operations.

    Returns:
        Degrees, bits, a threshold, a factor or a share of the side; 0 for operations without one.
    """
    share = magnitude / MAX_MAGNITUDE
    if name in _STRENGTHS:
        return _STRENGTHS[name](share)
    way = _LARGEST.get(name, 0.0) * share * (-1 if negative else 1)
    return max(0.1, 1 + way) if name in _ENHANCED else way


def sample_operations(
    number: int, magnitude: float, probability: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Sample the operations for one clip.

    Args:
        number: Number of operations, each sampled from all fifteen.
        magnitude: 0 to 10; each sample varies about it with a standard deviation of 0.5.
        probability: Probability that a sampled operation is applied.
        generator: Source of randomness.

    Returns:
        ``(number,)`` int64 positions in :data:`OPERATIONS` and ``(number,)`` float64 strengths.
    """
    sampled = torch.rand(number, 3, generator=generator, dtype=torch.float64).tolist()
    noise = torch.randn(number, generator=generator, dtype=torch.float64).tolist()
    operations, values = [], []
    for (which, done, way), varied in zip(sampled, noise, strict=True):
        place = 1 + int(which * (len(OPERATIONS) - 1)) if done < probability else 0
        level = min(max(magnitude + _MAGNITUDE_STD * varied, 0.0), MAX_MAGNITUDE)
        operations.append(place)
        values.append(strength(OPERATIONS[place], level, negative=way < 0.5))
    return torch.tensor(operations, dtype=torch.int64), torch.tensor(values, dtype=torch.float64)


def operate(name: str, clips: Tensor, values: Tensor) -> Tensor:
    """Apply one operation to every clip of a batch.

    Args:
        name: One of :data:`OPERATIONS`.
        clips: ``(B, T, 3, H, W)`` uint8 on any device.
        values: ``(B,)`` float64 on the CPU, from :func:`strength`.

    Returns:
        New clips, or the same ones for ``"nothing"``.
    """
    if name == "nothing":
        return clips
    if name in TABLES:
        return look_up(clips, TABLES[name](clips, values))
    if name in MATRICES:
        return warp(clips, MATRICES[name](values, *clips.shape[-2:]))
    if name == "sharpness":
        return sharpen(clips, values)
    factors = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64).repeat(len(values), 1)
    factors[:, 2] = values
    return apply_colors(clips, *color_matrices(clips, factors))

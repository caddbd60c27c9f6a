"""RandAugment (arXiv 1909.13719) for clips: a few of fifteen operations, drawn anew for each clip.

Operations and strengths are those that video recognition took over from timm as
``rand-m7-n4-mstd0.5-inc1``, where every operation grows stronger with the magnitude. An operation
and its strength are the same for all frames, and what it measures it measures over the whole clip,
so that nothing flickers. Departures: posterizing keeps one bit at least (0 would be black), and
pixels are interpolated bilinearly always (there: bilinear or bicubic, drawn for each operation).
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
"""Parameters name an operation by its position here."""

MAX_MAGNITUDE = 10.0
_MAGNITUDE_STD = 0.5

_STRENGTHS: dict[str, Callable[[float], float]] = {
    "posterize": lambda share: max(1, 4 - int(4 * share)),
    "solarize": lambda share: 256 - int(256 * share),
    "solarize_add": lambda share: int(110 * share),
}
"""From the magnitude as a share of the largest one, 0 to 1, to what the operation is given."""
_ENHANCED = ("color", "contrast", "brightness", "sharpness")
_LARGEST = {
    **dict.fromkeys(_ENHANCED, 0.9),
    "rotate": 30.0,
    "shear_x": 0.3,
    "shear_y": 0.3,
    "translate_x": 0.45,
    "translate_y": 0.45,
}
"""What operations that go both ways are given at the largest magnitude."""


def strength(name: str, magnitude: float, *, negative: bool = False) -> float:
    """Turn a magnitude into what an operation is given.

    Args:
        name: One of :data:`OPERATIONS`.
        magnitude: 0 to 10.
        negative: The other way, for operations that have two.

    Returns:
        Degrees, bits, a threshold, a factor or a share of the side; 0 where nothing is asked.
    """
    share = magnitude / MAX_MAGNITUDE
    if name in _STRENGTHS:
        return _STRENGTHS[name](share)
    way = _LARGEST.get(name, 0.0) * share * (-1 if negative else 1)
    return max(0.1, 1 + way) if name in _ENHANCED else way


def draw_operations(
    number: int, magnitude: float, probability: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw the operations for one clip.

    Args:
        number: How many are drawn, each from all fifteen.
        magnitude: 0 to 10; each draw varies about it with a standard deviation of 0.5.
        probability: Chance that a drawn operation is done.
        generator: Source of the choices.

    Returns:
        ``(number,)`` int64 positions in :data:`OPERATIONS` and ``(number,)`` float64 strengths.
    """
    draw = torch.rand(number, 3, generator=generator, dtype=torch.float64).tolist()
    noise = torch.randn(number, generator=generator, dtype=torch.float64).tolist()
    operations, values = [], []
    for (which, done, way), varied in zip(draw, noise, strict=True):
        place = 1 + int(which * (len(OPERATIONS) - 1)) if done < probability else 0
        level = min(max(magnitude + _MAGNITUDE_STD * varied, 0.0), MAX_MAGNITUDE)
        operations.append(place)
        values.append(strength(OPERATIONS[place], level, negative=way < 0.5))
    return torch.tensor(operations, dtype=torch.int64), torch.tensor(values, dtype=torch.float64)


def operate(name: str, clips: Tensor, values: Tensor) -> Tensor:
    """Do one operation on every clip of a batch.

    Args:
        name: One of :data:`OPERATIONS`.
        clips: ``(B, T, 3, H, W)`` uint8 on any device.
        values: ``(B,)`` float64 on the CPU, as :func:`strength` gives them.

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

"""Random erasing (arXiv 1708.04896): a box of noise, the same in all frames of a clip.

The noise is the same in every frame too: fresh noise per frame would be the strongest motion in the
clip. It is a hash of position and seed, so that every device computes the same bytes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

AREA = (0.02, 1 / 3)
"""Smallest and largest erased share of the picture."""
RATIO = (0.3, 1 / 0.3)
"""Smallest and largest height over width of the box."""

_TRIALS = 10
_WORD = 0xFFFFFFFF


def sample_box(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Sample a box to erase.

    Args:
        height: Of the picture in pixels.
        width: Of the picture in pixels.
        generator: Source of randomness.

    Returns:
        ``(5,)`` int64 top, left, height, width and seed of the noise; height 0 if none of ten
        samples fits.
    """
    seed = int(torch.randint(_WORD, (), generator=generator))
    sampled = torch.rand(_TRIALS, 4, generator=generator, dtype=torch.float64).tolist()
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    for area, shape, down, right in sampled:
        pixels = height * width * (AREA[0] + (AREA[1] - AREA[0]) * area)
        ratio = math.exp(low + (high - low) * shape)
        h, w = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 0 < h < height and 0 < w < width:
            top, left = int(down * (height - h + 1)), int(right * (width - w + 1))
            return torch.tensor([top, left, h, w, seed])
    return torch.tensor([0, 0, 0, 0, seed])


def erase(clips: Tensor, boxes: Tensor) -> Tensor:
    """Fill the box of each clip with noise.

    Args:
        clips: ``(B, T, 3, H, W)`` uint8 on any device; changed in place.
        boxes: ``(B, 5)`` int64 on the CPU, from :func:`sample_box`.

    Returns:
        ``clips``.
    """
    for clip, (top, left, height, width, seed) in zip(clips, boxes.tolist(), strict=True):
        if height:
            box = clip[..., top : top + height, left : left + width]
            box.copy_(_noise(height, width, seed, clip.device))
    return clips


def _noise(height: int, width: int, seed: int, device: torch.device) -> Tensor:
    """``(3, height, width)`` uint8, each byte equally likely.

    An integer hash in two rounds of shift and multiply; products wrap around at 64 bits, the lower
    32 of which are kept.
    """
    x = torch.arange(3 * height * width, device=device).add_(seed).bitwise_and_(_WORD)
    for factor in (0x7FEB352D, 0x846CA68B):
        x = x.bitwise_xor_(x >> 16).mul_(factor).bitwise_and_(_WORD)
    return (x >> 24).to(torch.uint8).view(3, height, width)

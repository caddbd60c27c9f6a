"""Rectangles of a frame, and resizing them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Box = tuple[int, int, int, int]
"""A rectangle: top, left, height and width in pixels."""


def random_crop(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> Box:
    """Sample a rectangle of random area and aspect ratio inside a frame.

    Args:
        height: Of the frame in pixels.
        width: Of the frame in pixels.
        scale: Smallest and largest area as a share of the frame.
        ratio: Smallest and largest width over height.
        generator: Source of randomness.

    Returns:
        ``(top, left, height, width)`` in pixels; the largest fitting centred rectangle if ten
        samples do not fit.
    """
    sampled = torch.rand(10, 4, generator=generator, dtype=torch.float64).tolist()
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for area, shape, down, right in sampled:
        pixels = height * width * (scale[0] + (scale[1] - scale[0]) * area)
        aspect = math.exp(low + (high - low) * shape)
        h, w = round(math.sqrt(pixels / aspect)), round(math.sqrt(pixels * aspect))
        if 0 < h <= height and 0 < w <= width:
            return int(down * (height - h + 1)), int(right * (width - w + 1)), h, w
    aspect = min(max(width / height, ratio[0]), ratio[1])
    h, w = min(height, max(1, round(width / aspect))), min(width, max(1, round(height * aspect)))
    return (height - h) // 2, (width - w) // 2, h, w


def resize(clip: Tensor, height: int, width: int) -> Tensor:
    """Resize all frames.

    Args:
        clip: ``(T, 3, H, W)`` uint8; channels-last storage is twice as fast.
        height: New height in pixels.
        width: New width in pixels.

    Returns:
        ``(T, 3, height, width)`` uint8, antialiased; the clip itself if it has that size.
    """
    if clip.shape[-2:] == (height, width):
        return clip
    # Antialiasing costs no more than plain bilinear on uint8, and the kernel is twice as fast on
    # channels-last storage, which is how the decoder stores clips.
    return F.interpolate(
        clip.contiguous(memory_format=torch.channels_last),
        size=(height, width),
        mode="bilinear",
        antialias=True,
    )

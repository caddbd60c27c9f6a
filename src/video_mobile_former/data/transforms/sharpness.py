"""Sharpening and blurring of clips."""

from __future__ import annotations

import torch
from torch import Tensor


def sharpen(clips: Tensor, values: Tensor) -> Tensor:
    """Multiply the difference of each frame from a smoothed copy by ``values``.

    The smoothed pixel is the mean of its 3×3 neighbourhood with the centre weighted five times.
    Edge pixels are unchanged.

    Args:
        clips: ``(B, T, 3, H, W)`` uint8 on any device.
        values: ``(B,)`` factors; below 1 blurs, above 1 sharpens.

    Returns:
        New clips.
    """
    out = clips.clone(memory_format=torch.contiguous_format)
    if min(clips.shape[-2:]) < 3:
        return out
    for clip, result, value in zip(clips, out, values.tolist(), strict=True):
        # Frame by frame the intermediates stay in a CPU's cache; a device takes all at once.
        step = 1 if clip.device.type == "cpu" else len(clip)
        for frames, target in zip(clip.split(step), result.split(step), strict=True):
            target[..., 1:-1, 1:-1] = _sharp(frames, value)
    return out


def _sharp(frames: Tensor, value: float) -> Tensor:
    """``(N, 3, H - 2, W - 2)`` float32 inner pixels, to be truncated."""
    pixels = frames.to(torch.int16)
    rows = pixels[..., :-2, :] + pixels[..., 1:-1, :]
    rows += pixels[..., 2:, :]
    sums = rows[..., :-2] + rows[..., 1:-1]
    sums += rows[..., 2:]
    inner = pixels[..., 1:-1, 1:-1]
    sums += inner * 4
    # value × pixel + (1 − value) × sum / 13
    mixed = sums.float().mul_((1 - value) / 13).add_(inner, alpha=value)
    return mixed.add_(0.5).clamp_(0, 255)

"""Colours of a clip: one affine map of RGB for all its frames, and normalising."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...clip import ClipSpec

# ITU-R BT.601 luma, as in PIL and in the usual colour jitter.
_LUMA = (0.299, 0.587, 0.114)


def normalize(clip: Tensor, spec: ClipSpec, dtype: torch.dtype = torch.float32) -> Tensor:
    """Turn uint8 pixels into what the model was trained on.

    Args:
        clip: ``(..., 3, T, H, W)`` uint8 RGB, on any device.
        spec: Mean and standard deviation.
        dtype: Of the result.

    Returns:
        Same shape and device, ``(clip / 255 - mean) / std``.
    """
    mean = torch.tensor(spec.mean, dtype=torch.float32, device=clip.device)[:, None, None, None]
    std = torch.tensor(spec.std, dtype=torch.float32, device=clip.device)[:, None, None, None]
    # One multiplication and one subtraction, in place on the only copy that is made.
    return clip.to(torch.float32).mul_(1 / (255 * std)).sub_(mean / std).to(dtype)


def color_matrix(
    clip: Tensor, brightness: float, contrast: float, saturation: float, hue: float
) -> tuple[Tensor, Tensor]:
    """Compose brightness, contrast, saturation and hue, in this order, to one affine map of RGB.

    Args:
        clip: ``(T, 3, H, W)`` uint8; contrast turns about its mean luma.
        brightness: Factor.
        contrast: Factor.
        saturation: Factor; 0 is grey.
        hue: Turn as a share of the whole circle.

    Returns:
        ``(3, 3)`` matrix and ``(3,)`` offset for pixels in 0…255, float32.
    """
    luma = torch.tensor(_LUMA, dtype=torch.float64)
    # Every fourth pixel of every second frame tells the mean well enough.
    mean = clip[::2, :, ::4, ::4].to(torch.float64).mean(dim=(0, 2, 3)) @ luma
    matrix = torch.eye(3, dtype=torch.float64) * (brightness * contrast)
    offset = ((1 - contrast) * brightness * mean).expand(3)
    mix = torch.eye(3, dtype=torch.float64) * saturation + (1 - saturation) * luma.expand(3, 3)
    if hue:
        mix = _hue_rotation(hue) @ mix
    return (mix @ matrix).float(), (mix @ offset).float()


def apply_color(clip: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Map the colours of a clip.

    Args:
        clip: ``(T, 3, H, W)`` uint8, contiguous.
        matrix: ``(3, 3)`` float32.
        offset: ``(3,)`` float32 in 0…255.

    Returns:
        A new clip, clamped and rounded.
    """
    out = torch.empty_like(clip, memory_format=torch.contiguous_format)
    bias = (offset + 0.5)[:, None]  # the conversion to uint8 truncates
    for source, target in zip(clip, out, strict=True):
        # Frame by frame the intermediate floats stay in the cache: twice as fast as all at once.
        pixels = torch.addmm(bias, matrix, source.reshape(3, -1).float())
        target.copy_(pixels.clamp_(0, 255).view_as(target))
    return out


def _hue_rotation(turn: float) -> Tensor:
    """Rotation of the chroma plane of YIQ: keeps luma."""
    to_yiq = torch.tensor(
        [_LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)], dtype=torch.float64
    )
    cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
    rotate = torch.tensor([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], dtype=torch.float64)
    return torch.linalg.inv(to_yiq) @ rotate @ to_yiq

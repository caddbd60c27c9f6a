"""Colour changes as one affine map of RGB for all frames of a clip, and normalisation."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...clip_spec import ClipSpec

# ITU-R BT.601 luma, as in PIL and torchvision's colour jitter.
_LUMA = (0.299, 0.587, 0.114)


def normalize(clip: Tensor, spec: ClipSpec, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normalise uint8 pixels to the model's input.

    Args:
        clip: ``(..., 3, T, H, W)`` uint8 RGB, on any device.
        spec: Mean and standard deviation.
        dtype: Of the result.

    Returns:
        Same shape and device, ``(clip / 255 - mean) / std``.
    """
    mean = torch.tensor(spec.mean, dtype=torch.float32, device=clip.device)[:, None, None, None]
    std = torch.tensor(spec.std, dtype=torch.float32, device=clip.device)[:, None, None, None]
    # One multiplication and one subtraction, in place on a single copy.
    return clip.to(torch.float32).mul_(1 / (255 * std)).sub_(mean / std).to(dtype)


def color_matrix(
    clip: Tensor, brightness: float, contrast: float, saturation: float, hue: float
) -> tuple[Tensor, Tensor]:
    """Compose brightness, contrast, saturation and hue, in this order, into an affine map of RGB.

    Args:
        clip: ``(T, 3, H, W)`` uint8; contrast is relative to its mean luma.
        brightness: Factor.
        contrast: Factor.
        saturation: Factor; 0 is grey.
        hue: Rotation as a share of the whole circle.

    Returns:
        ``(3, 3)`` matrix and ``(3,)`` offset for pixels in 0…255, float32.
    """
    factors = torch.tensor([[brightness, contrast, saturation, hue]], dtype=torch.float64)
    matrices, offsets = color_matrices(clip[None], factors)
    return matrices[0], offsets[0]


def color_matrices(clips: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Compose the map of :func:`color_matrix` for each clip of a batch.

    Args:
        clips: ``(B, T, 3, H, W)`` uint8 on any device.
        factors: ``(B, 4)`` float64 on the CPU: brightness, contrast, saturation, hue.

    Returns:
        ``(B, 3, 3)`` matrices and ``(B, 3)`` offsets, float32 on the CPU.
    """
    brightness, contrast, saturation, hue = (column[:, None] for column in factors.unbind(1))
    luma = torch.tensor(_LUMA, dtype=torch.float64)
    one = torch.eye(3, dtype=torch.float64)
    # Every fourth pixel of every second frame gives the mean accurately enough.
    mean = mean_luma(clips[:, ::2, :, ::4, ::4])[:, None]
    matrix = one * (brightness * contrast)[..., None]
    offset = ((1 - contrast) * brightness * mean).expand(-1, 3)
    mix = one * saturation[..., None] + (1 - saturation)[..., None] * luma
    if hue.any():
        mix = _hue_rotations(hue[:, 0]) @ mix
    return (mix @ matrix).float(), (mix @ offset[..., None])[..., 0].float()


def mean_luma(clips: Tensor) -> Tensor:
    """Mean luma of each clip.

    Args:
        clips: ``(B, T, 3, H, W)`` uint8 on any device.

    Returns:
        ``(B,)`` float64 in 0…255 on the CPU, the same on every device, as the sums are integers.
    """
    sums = clips.sum((1, 3, 4), dtype=torch.int64).cpu()
    pixels = clips.shape[1] * clips.shape[3] * clips.shape[4]
    return (sums.double() / pixels) @ torch.tensor(_LUMA, dtype=torch.float64)


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
        # Frame by frame the intermediate floats stay in the cache: twice as fast.
        pixels = torch.addmm(bias, matrix, source.reshape(3, -1).float()).clamp_(0, 255)
        # NumPy converts floats to bytes six times as fast as torch does on a CPU.
        np.copyto(target.view(3, -1).numpy(), pixels.numpy(), casting="unsafe")
    return out


def apply_colors(clips: Tensor, matrices: Tensor, offsets: Tensor) -> Tensor:
    """Map the colours of each clip of a batch.

    Args:
        clips: ``(B, T, 3, H, W)`` uint8 on any device.
        matrices: ``(B, 3, 3)`` float32 on the CPU.
        offsets: ``(B, 3)`` float32 on the CPU, in 0…255.

    Returns:
        New clips, clamped and rounded; on devices other than the CPU a value between two levels
        may be rounded the other way.
    """
    if clips.device.type == "cpu":
        if len(clips) == 1:
            return apply_color(clips[0], matrices[0], offsets[0])[None]
        each = zip(clips, matrices, offsets, strict=True)
        return torch.stack([apply_color(clip, matrix, offset) for clip, matrix, offset in each])
    return weigh_channels(clips, matrices, offsets)


def weigh_channels(clips: Tensor, matrices: Tensor, offsets: Tensor) -> Tensor:
    """:func:`apply_colors` as whole-batch operations without matrix products.

    Matrix products may be computed in TF32, which keeps 10 bits.
    """
    red, green, blue = clips.float().split(1, dim=2)
    weight = matrices.to(clips.device)[:, None, :, :, None, None]
    pixels = (offsets.to(clips.device) + 0.5)[:, None, :, None, None] + weight[..., 0, :, :] * red
    pixels.addcmul_(weight[..., 1, :, :], green).addcmul_(weight[..., 2, :, :], blue)
    return pixels.clamp_(0, 255).to(torch.uint8)


def _hue_rotations(turns: Tensor) -> Tensor:
    """``(B, 3, 3)`` rotations of the chroma plane of YIQ, which keep luma."""
    to_yiq = torch.tensor(
        [_LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)], dtype=torch.float64
    )
    cos, sin = torch.cos(2 * math.pi * turns), torch.sin(2 * math.pi * turns)
    rotate = torch.zeros(len(turns), 3, 3, dtype=torch.float64)
    rotate[:, 0, 0] = 1
    rotate[:, 1, 1] = rotate[:, 2, 2] = cos
    rotate[:, 2, 1], rotate[:, 1, 2] = sin, -sin
    return torch.linalg.inv(to_yiq) @ rotate @ to_yiq

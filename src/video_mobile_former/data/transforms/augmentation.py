"""Random changes of colour and shape after the crop: sampling and applying them.

Parameters are sampled where a clip is read, from its generator. They are applied there, clip by
clip, or later to a whole batch on the training device: equal parameters give equal clips.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .color import apply_colors, color_matrices
from .erasing import erase, sample_box
from .parameters import AugmentParameters
from .randaugment import MAX_MAGNITUDE, OPERATIONS, operate, sample_operations

_SAME_COLOR = (1.0, 1.0, 1.0, 0.0)
_CLIPS_AT_ONCE = 8
"""On a device; intermediate floats take 16 bytes for each byte of these."""


@dataclass(frozen=True)
class Augmentation:
    """Kinds and strengths of random changes."""

    color_jitter: float = 0.0
    """Brightness, contrast and saturation are scaled by up to 1 ± this; in [0, 1]."""
    hue: float = 0.0
    """Largest rotation of the hue, as a share of the whole circle, in [0, 0.5]."""
    grayscale_probability: float = 0.0
    """Probability that a clip becomes grey."""
    randaugment_ops: int = 0
    """Operations of RandAugment sampled for a clip."""
    randaugment_magnitude: float = 7.0
    """Their strength, 0 to 10."""
    randaugment_probability: float = 0.5
    """Probability that a sampled operation is applied."""
    erase_probability: float = 0.0
    """Probability that a box of the clip is replaced by noise."""

    def __post_init__(self) -> None:
        ranges = {
            "color_jitter": 1.0,
            "hue": 0.5,
            "grayscale_probability": 1.0,
            "randaugment_magnitude": MAX_MAGNITUDE,
            "randaugment_probability": 1.0,
            "erase_probability": 1.0,
        }
        for name, largest in ranges.items():
            if not 0 <= getattr(self, name) <= largest:
                raise ValueError(f"{name} must lie in [0, {largest:g}], not {getattr(self, name)}")
        if self.randaugment_ops < 0:
            raise ValueError(f"randaugment_ops must be at least 0, not {self.randaugment_ops}")

    def sample(self, generator: torch.Generator, height: int, width: int) -> AugmentParameters:
        """Sample the parameters of one clip.

        Args:
            generator: Source of randomness.
            height: Of the clip in pixels.
            width: Of the clip in pixels.
        """
        sampled = torch.rand(4, generator=generator, dtype=torch.float64)
        limits = torch.tensor([self.color_jitter] * 3 + [self.hue], dtype=torch.float64)
        color = limits * (2 * sampled - 1)
        color[:3] += 1
        if self.grayscale_probability and _chance(self.grayscale_probability, generator):
            color[2:] = 0.0
        operations, values = sample_operations(
            self.randaugment_ops,
            self.randaugment_magnitude,
            self.randaugment_probability,
            generator,
        )
        erased = torch.zeros(5, dtype=torch.int64)
        if self.erase_probability and _chance(self.erase_probability, generator):
            erased = sample_box(height, width, generator)
        return AugmentParameters(color, operations, values, erased)


def augment(clips: Tensor, parameters: AugmentParameters) -> Tensor:
    """Apply sampled changes: colours, then operations in turn, then the erased box.

    The result for a clip is the same alone and in a batch. On devices other than the CPU single
    pixels may differ by one level of 256, from rounding.

    Args:
        clips: ``(T, 3, H, W)`` uint8, or ``(B, T, 3, H, W)`` on any device.
        parameters: Of the one clip, or of the batch.

    Returns:
        New clips of the same shape, contiguous.
    """
    if clips.dim() == 4:
        return _augment_batch(clips[None], parameters.as_batch())[0]
    at_once = 1 if clips.device.type == "cpu" else _CLIPS_AT_ONCE
    parts = []
    for first in range(0, len(clips), at_once):
        some = slice(first, first + at_once)
        parts.append(_augment_batch(clips[some], parameters.clips(some)))
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts) if parts else clips.clone()


def _augment_batch(clips: Tensor, parameters: AugmentParameters) -> Tensor:
    """Apply each operation to all clips that sampled it, together."""
    color = parameters.color
    changed = (color != torch.tensor(_SAME_COLOR, dtype=color.dtype)).any(1)
    # A change of all clips makes new ones.
    out = clips if changed.all() else clips.clone(memory_format=torch.contiguous_format)
    out = _change(
        out, changed, color, lambda some, values: apply_colors(some, *color_matrices(some, values))
    )
    turns = zip(parameters.operations.unbind(1), parameters.values.unbind(1), strict=True)
    for operations, values in turns:
        for place in operations.unique().tolist():
            out = _change(
                out, operations == place, values, functools.partial(operate, OPERATIONS[place])
            )
    return erase(out, parameters.erased)


def _change(
    clips: Tensor, which: Tensor, values: Tensor, change: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Replace some of the clips by ``change`` of them and of their sampled parameters."""
    if which.all():
        return change(clips, values)
    if which.any():
        places = which.nonzero()[:, 0]
        clips[places] = change(clips[places], values[places])
    return clips


def _chance(probability: float, generator: torch.Generator) -> bool:
    return bool(torch.rand((), generator=generator, dtype=torch.float64) < probability)

"""ClipSpec: what a model takes, stored with every checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from .errors import UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MOST_PIXELS = 2**28
"""Pixels of one clip, of all its frames, at most: 1024 frames of 512², or 16 of 4096²."""


@dataclass(frozen=True)
class ClipSpec:
    """How a video becomes the tensor ``(B, 3, T, H, W)`` that a model was trained on."""

    num_frames: int = 16
    """Frames T per clip, at least 1."""
    sampling: Literal["uniform", "dense"] = "uniform"
    """``uniform``: one frame from each of T equal segments of the whole clip (trimmed actions).
    ``dense``: T frames in a row, ``stride`` apart (long videos such as Kinetics)."""
    stride: int = 4
    """Dense only: step between frames, counted in frames of a ``stride_fps`` video, so that the
    step in seconds is the same whatever the frame rate of the file."""
    stride_fps: float = 30.0
    """Dense only: the frame rate in which ``stride`` is counted."""
    resize_size: int = 256
    """Short side in pixels before the test-time crop."""
    crop_size: int = 224
    """Height H and width W in pixels of the square crop."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Per-channel mean of RGB in [0, 1]."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Per-channel standard deviation of RGB in [0, 1]."""

    def __post_init__(self) -> None:
        for name in ("num_frames", "stride", "resize_size", "crop_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"clip.{name} must be a whole number of at least 1, not {value!r}")
        if self.sampling not in ("uniform", "dense"):
            raise UserError(f"clip.sampling must be 'uniform' or 'dense', not {self.sampling!r}")
        if not self.stride_fps > 0:
            raise UserError(f"clip.stride_fps must be above 0, not {self.stride_fps!r}")
        if self.resize_size < self.crop_size:
            raise UserError(
                f"clip.resize_size ({self.resize_size}) must not be below "
                f"clip.crop_size ({self.crop_size}): the crop would not fit"
            )
        if self.num_frames * self.resize_size**2 > MOST_PIXELS:
            raise UserError(
                f"a clip of {self.num_frames} frames of {self.resize_size} × {self.resize_size} "
                f"pixels is too large; at most {MOST_PIXELS:,} pixels in all"
            )
        for name in ("mean", "std"):
            value = tuple(float(v) for v in getattr(self, name))
            if len(value) != 3 or (name == "std" and min(value) <= 0):
                raise UserError(f"clip.{name} must be three numbers (std above 0), not {value}")
            object.__setattr__(self, name, value)

    @property
    def stride_seconds(self) -> float:
        """Dense only: time between two frames of a clip, in seconds."""
        return self.stride / self.stride_fps

    def sampled(
        self, sampling: Literal["uniform", "dense"] | None = None, stride: int | None = None
    ) -> ClipSpec:
        """The same clip spec with other frame sampling.

        Args:
            sampling: ``uniform`` or ``dense``; None leaves it.
            stride: Dense only: step between frames, of a ``stride_fps`` video; None leaves it.

        Raises:
            UserError: If a value is out of range, or a stride is given for uniform clips.
        """
        spec = dataclasses.replace(
            self,
            sampling=self.sampling if sampling is None else sampling,
            stride=self.stride if stride is None else stride,
        )
        if stride is not None and spec.sampling == "uniform":
            raise UserError(
                f"stride {stride} has no meaning for uniform clips, which take one frame from each "
                "of equal segments: leave it out, or ask for sampling dense"
            )
        return spec

    @property
    def sampling_words(self) -> str:
        """How frames are sampled, in the words of reports."""
        if self.sampling == "uniform":
            return f"uniform: one frame from each of {self.num_frames} equal segments"
        return f"dense: {self.num_frames} frames, {self.stride_seconds:.3g} s apart"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON and YAML."""
        return {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in dataclasses.fields(self)
            for value in [getattr(self, field.name)]
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ClipSpec:
        """Rebuild from :meth:`to_dict`.

        Raises:
            UserError: If a key is unknown or a value out of range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UserError(f"clip has unknown keys {unknown}; known are {sorted(known)}")
        return cls(**values)

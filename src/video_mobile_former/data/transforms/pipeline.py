"""Transforms of clips between decoder and batch, for training and evaluation."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ...clip_spec import ClipSpec
from .augmentation import Augmentation, augment
from .geometry import Box, random_crop, resize
from .parameters import AugmentParameters


class Transform(Protocol):
    """The interface between a data set and its transform of whole frames."""

    @property
    def decode_size(self) -> int:
        """Short side in pixels of the decoded frames."""
        ...

    @property
    def enlarge(self) -> bool:
        """Whether the decoder enlarges smaller videos to that size."""
        ...

    def __call__(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """Map ``(T, 3, H, W)`` uint8 to ``(crops, T, 3, S, S)`` or ``(T, 3, S, S)`` uint8."""
        ...


class TrainTransform:
    """Random resized crop, horizontal flip and augmentation, sampled once per clip.

    A data set crops to the rectangle of ``sample_crop`` during decoding, then applies ``change``
    and ``augment``; calling the transform does all of it to whole frames, with the same random
    choices.

    Args:
        spec: Size of the crop.
        scale: Smallest and largest area of the crop as a share of the frame, in (0, 1].
        ratio: Smallest and largest width over height of the crop.
        horizontal_flip: Mirror half of the clips; False where left and right matter.
        color_jitter: Brightness, contrast and saturation are scaled by up to 1 ± this; in [0, 1].
        hue: Largest rotation of the hue, as a share of the whole circle, in [0, 0.5].
        grayscale_probability: Probability that a clip becomes grey.
        randaugment_ops: Operations of RandAugment sampled for a clip.
        randaugment_magnitude: Their strength, 0 to 10.
        randaugment_probability: Probability that a sampled operation is applied.
        erase_probability: Probability that a box of the clip is replaced by noise.
    """

    def __init__(
        self,
        spec: ClipSpec,
        *,
        scale: tuple[float, float] = (0.35, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        horizontal_flip: bool = True,
        color_jitter: float = 0.0,
        hue: float = 0.0,
        grayscale_probability: float = 0.0,
        randaugment_ops: int = 0,
        randaugment_magnitude: float = 7.0,
        randaugment_probability: float = 0.5,
        erase_probability: float = 0.0,
    ):
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"scale must be two rising shares in (0, 1], not {scale}")
        if not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"ratio must be two rising numbers above 0, not {ratio}")
        self.spec = spec
        self.scale = scale
        self.ratio = ratio
        self.horizontal_flip = horizontal_flip
        self.augmentation = Augmentation(
            color_jitter=color_jitter,
            hue=hue,
            grayscale_probability=grayscale_probability,
            randaugment_ops=randaugment_ops,
            randaugment_magnitude=randaugment_magnitude,
            randaugment_probability=randaugment_probability,
            erase_probability=erase_probability,
        )

    def sample_crop(self, height: int, width: int, generator: torch.Generator) -> Box:
        """Sample the crop rectangle of a clip.

        Args:
            height: Of the frames in pixels.
            width: Of the frames in pixels.
            generator: Source of randomness, to be passed to ``change`` afterwards.

        Returns:
            ``(top, left, height, width)`` in pixels.
        """
        return random_crop(height, width, self.scale, self.ratio, generator)

    def __call__(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """Transform one clip.

        Args:
            clip: ``(T, 3, H, W)`` uint8; channels-last storage is twice as fast.
            generator: Source of randomness.

        Returns:
            ``(T, 3, S, S)`` uint8 with S = ``spec.crop_size``.
        """
        return augment(*self.crop(clip, generator))

    def crop(self, clip: Tensor, generator: torch.Generator) -> tuple[Tensor, AugmentParameters]:
        """Crop and flip one clip, and sample its augmentation without applying it.

        ``augment`` of the two, here or later in a batch on a device, equals calling the transform.

        Args:
            clip: ``(T, 3, H, W)`` uint8; channels-last storage is twice as fast.
            generator: Source of randomness.

        Returns:
            ``(T, 3, S, S)`` uint8 with S = ``spec.crop_size``, and its augmentation parameters.
        """
        size = self.spec.crop_size
        top, left, height, width = self.sample_crop(clip.shape[-2], clip.shape[-1], generator)
        cut = clip[..., top : top + height, left : left + width]
        return self.change(resize(cut, size, size).contiguous(), generator)

    def change(self, clip: Tensor, generator: torch.Generator) -> tuple[Tensor, AugmentParameters]:
        """Flip a cropped clip, and sample its augmentation without applying it.

        Args:
            clip: ``(T, 3, S, S)`` uint8 with S = ``spec.crop_size``.
            generator: Source of randomness.

        Returns:
            ``(T, 3, S, S)`` uint8, and its augmentation parameters.
        """
        flip = torch.rand((), generator=generator, dtype=torch.float64) < 0.5
        parameters = self.augmentation.sample(generator, clip.shape[-2], clip.shape[-1])
        return (clip.flip(-1) if self.horizontal_flip and flip else clip), parameters


class EvalTransform:
    """Resize the short side to ``spec.resize_size`` and crop, deterministically.

    Args:
        spec: Sizes.
        crops: 1 takes the centre, more are spread evenly over the long side, both ends included
            (2: the ends alone; 3: the ends and the centre).
    """

    enlarge = True

    def __init__(self, spec: ClipSpec, crops: int = 1):
        if crops < 1:
            raise ValueError(f"crops must be at least 1, not {crops}")
        self.spec = spec
        self.crops = crops

    @property
    def decode_size(self) -> int:
        """Short side in pixels of the decoded frames."""
        return self.spec.resize_size

    def __call__(self, clip: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Transform one clip.

        Args:
            clip: ``(T, 3, H, W)`` uint8.
            generator: Not used.

        Returns:
            ``(crops, T, 3, S, S)`` uint8 with S = ``spec.crop_size``.
        """
        size, short = self.spec.crop_size, self.spec.resize_size
        height, width = clip.shape[-2:]
        if min(height, width) != short:
            scale = short / min(height, width)
            height, width = (max(short, round(side * scale)) for side in (height, width))
            clip = resize(clip, height, width)
        places = [0.5] if self.crops == 1 else [i / (self.crops - 1) for i in range(self.crops)]
        out = []
        for place in places:
            # Along the short side the crop stays centred.
            down, right = (0.5, place) if width >= height else (place, 0.5)
            top, left = round((height - size) * down), round((width - size) * right)
            out.append(clip[..., top : top + size, left : left + size])
        return torch.stack(out)

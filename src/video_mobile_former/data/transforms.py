"""Cropping, flipping and colouring clips in plain torch on uint8, the same for all frames.

Nothing draws from a global random state: the random transform takes its generator.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip import ClipSpec

# ITU-R BT.601 luma, as in PIL and in the usual colour jitter.
_LUMA = (0.299, 0.587, 0.114)


class Transform(Protocol):
    """What a data set needs of a transform."""

    @property
    def decode_size(self) -> int:
        """Short side in pixels at which frames are wanted from the decoder."""
        ...

    @property
    def enlarge(self) -> bool:
        """Whether the decoder enlarges smaller videos to that."""
        ...

    def __call__(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """Turn ``(T, 3, H, W)`` uint8 into ``(crops, T, 3, S, S)`` or ``(T, 3, S, S)`` uint8."""
        ...


class TrainTransform:
    """Random resized crop, horizontal flip and colour jitter, drawn once for a clip.

    Args:
        spec: Size of the crop.
        scale: Smallest and largest area of the crop as a share of the frame, in (0, 1].
        ratio: Smallest and largest width over height of the crop.
        horizontal_flip: Mirror half of the clips; False where left and right mean something.
        color_jitter: Brightness, contrast and saturation are scaled by up to 1 ± this; in [0, 1].
        hue: Largest turn of the hue, as a share of the whole circle, in [0, 0.5].
    """

    enlarge = False

    def __init__(
        self,
        spec: ClipSpec,
        *,
        scale: tuple[float, float] = (0.35, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        horizontal_flip: bool = True,
        color_jitter: float = 0.0,
        hue: float = 0.0,
    ):
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"scale must be two rising shares in (0, 1], not {scale}")
        if not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"ratio must be two rising numbers above 0, not {ratio}")
        if not 0 <= color_jitter <= 1:
            raise ValueError(f"color_jitter must lie in [0, 1], not {color_jitter}")
        if not 0 <= hue <= 0.5:
            raise ValueError(f"hue must lie in [0, 0.5], not {hue}")
        self.spec = spec
        self.scale = scale
        self.ratio = ratio
        self.horizontal_flip = horizontal_flip
        self.color_jitter = color_jitter
        self.hue = hue

    @property
    def decode_size(self) -> int:
        """Short side in pixels: enough that the smallest crop needs no enlarging, within limits.

        At most 1.25 times the size that testing uses (320 for 256, the size at which Kinetics is
        usually stored): beyond that decoding costs more than the extra sharpness is worth.
        """
        enough = math.ceil(self.spec.crop_size / math.sqrt(self.scale[0]))
        return max(self.spec.resize_size, min(enough, round(1.25 * self.spec.resize_size)))

    def __call__(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """Transform one clip.

        Args:
            clip: ``(T, 3, H, W)`` uint8; channels-last storage is twice as fast.
            generator: Source of all random choices.

        Returns:
            ``(T, 3, S, S)`` uint8 with S = ``spec.crop_size``.
        """
        size = self.spec.crop_size
        draw = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
        top, left, height, width = random_crop(
            clip.shape[-2], clip.shape[-1], self.scale, self.ratio, generator
        )
        clip = _resize(clip[..., top : top + height, left : left + width], size, size)
        clip = clip.contiguous()
        if self.horizontal_flip and draw[0] < 0.5:
            clip = clip.flip(-1)
        if self.color_jitter > 0 or self.hue > 0:
            brightness, contrast, saturation = (
                1 + self.color_jitter * (2 * u - 1) for u in draw[1:4]
            )
            hue = self.hue * (2 * draw[4] - 1)
            clip = apply_color(clip, *color_matrix(clip, brightness, contrast, saturation, hue))
        return clip


class EvalTransform:
    """Resize the short side to ``spec.resize_size`` and crop, without any randomness.

    Args:
        spec: Sizes.
        crops: 1 takes the centre, more are spread evenly over the long side (3: both ends and the
            centre).
    """

    enlarge = True

    def __init__(self, spec: ClipSpec, crops: int = 1):
        if crops < 1:
            raise ValueError(f"crops must be at least 1, not {crops}")
        self.spec = spec
        self.crops = crops

    @property
    def decode_size(self) -> int:
        """Short side in pixels that the decoder shall give."""
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
            clip = _resize(clip, height, width)
        places = [0.5] if self.crops == 1 else [i / (self.crops - 1) for i in range(self.crops)]
        out = []
        for place in places:
            # Along the short side the crop stays centred.
            down, right = (0.5, place) if width >= height else (place, 0.5)
            top, left = round((height - size) * down), round((width - size) * right)
            out.append(clip[..., top : top + size, left : left + size])
        return torch.stack(out)


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


def random_crop(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> tuple[int, int, int, int]:
    """Draw a rectangle of random area and proportions inside a frame.

    Args:
        height: Of the frame in pixels.
        width: Of the frame in pixels.
        scale: Smallest and largest area as a share of the frame.
        ratio: Smallest and largest width over height.
        generator: Source of the choices.

    Returns:
        ``(top, left, height, width)`` in pixels; the largest fitting centred rectangle where ten
        draws do not fit.
    """
    draw = torch.rand(10, 4, generator=generator, dtype=torch.float64).tolist()
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for area, shape, down, right in draw:
        pixels = height * width * (scale[0] + (scale[1] - scale[0]) * area)
        aspect = math.exp(low + (high - low) * shape)
        h, w = round(math.sqrt(pixels / aspect)), round(math.sqrt(pixels * aspect))
        if 0 < h <= height and 0 < w <= width:
            return int(down * (height - h + 1)), int(right * (width - w + 1)), h, w
    aspect = min(max(width / height, ratio[0]), ratio[1])
    h, w = min(height, max(1, round(width / aspect))), min(width, max(1, round(height * aspect)))
    return (height - h) // 2, (width - w) // 2, h, w


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


def _resize(clip: Tensor, height: int, width: int) -> Tensor:
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

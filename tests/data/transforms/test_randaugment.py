"""Every operation against PIL, on a strip of all frames where it measures something."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from video_mobile_former.data.transforms.randaugment import (
    OPERATIONS,
    operate,
    sample_operations,
    strength,
)

FRAMES, HEIGHT, WIDTH = 3, 40, 56


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth_clip(seed: int = 0) -> torch.Tensor:
    """Frames with soft structure, of other brightness each, that do not use the whole range."""
    coarse = torch.rand(FRAMES, 3, 7, 9, generator=rng(seed)) * 150
    fine = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic")
    levels = 20 + 15 * torch.arange(FRAMES).view(-1, 1, 1, 1)
    noise = 6 * torch.rand(FRAMES, 3, HEIGHT, WIDTH, generator=rng(seed + 1))
    return (fine + levels + noise).clamp(0, 255).to(torch.uint8)


def strip(clip: torch.Tensor) -> Image.Image:
    """All frames, one below the other, so that PIL measures what we measure."""
    frames = clip.permute(0, 2, 3, 1).numpy()
    return Image.fromarray(frames.reshape(-1, clip.shape[-1], 3))


def from_strip(image: Image.Image) -> torch.Tensor:
    pixels = np.asarray(image).reshape(FRAMES, HEIGHT, WIDTH, 3)
    return torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2)


def frame_by_frame(
    clip: torch.Tensor, change: Callable[[Image.Image], Image.Image]
) -> torch.Tensor:
    images = [change(Image.fromarray(f.permute(1, 2, 0).numpy())) for f in clip]
    return torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images])


def one(name: str, clip: torch.Tensor, value: float) -> torch.Tensor:
    return operate(name, clip[None], torch.tensor([value], dtype=torch.float64))[0]


def affine(*matrix: float) -> Callable[[Image.Image], Image.Image]:
    def change(image: Image.Image) -> Image.Image:
        return image.transform(
            image.size,
            Image.Transform.AFFINE,
            matrix,
            resample=Image.Resampling.BILINEAR,
            fillcolor=(128, 128, 128),
        )

    return change


def rotated(degrees: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.rotate(
        degrees, resample=Image.Resampling.BILINEAR, fillcolor=(128, 128, 128)
    )


# Exact: whole numbers in, whole numbers out.


@pytest.mark.parametrize("seed", range(3))
def test_equalize(seed: int) -> None:
    clip = smooth_clip(seed)
    assert torch.equal(one("equalize", clip, 0), from_strip(ImageOps.equalize(strip(clip))))


def test_invert() -> None:
    clip = smooth_clip()
    assert torch.equal(one("invert", clip, 0), from_strip(ImageOps.invert(strip(clip))))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_posterize(bits: int) -> None:
    clip = smooth_clip()
    assert torch.equal(
        one("posterize", clip, bits), from_strip(ImageOps.posterize(strip(clip), bits))
    )


@pytest.mark.parametrize("threshold", [0, 77, 128, 256])
def test_solarize(threshold: int) -> None:
    clip = smooth_clip()
    assert torch.equal(
        one("solarize", clip, threshold), from_strip(ImageOps.solarize(strip(clip), threshold))
    )


@pytest.mark.parametrize("amount", [0, 33, 110])
def test_solarize_add(amount: int) -> None:
    clip = smooth_clip()
    table = [min(255, i + amount) if i < 128 else i for i in range(256)] * 3
    assert torch.equal(one("solarize_add", clip, amount), from_strip(strip(clip).point(table)))


# Rounded here, truncated in PIL: at most one level apart.


def test_autocontrast() -> None:
    clip = smooth_clip()
    got, wanted = one("autocontrast", clip, 0), from_strip(ImageOps.autocontrast(strip(clip)))
    assert (got.int() - wanted.int()).abs().max() <= 1
    assert got.amin((0, 2, 3)).tolist() == [0, 0, 0]
    assert got.amax((0, 2, 3)).tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("name", "enhancer"),
    [
        ("color", ImageEnhance.Color),
        ("contrast", ImageEnhance.Contrast),
        ("brightness", ImageEnhance.Brightness),
    ],
)
@pytest.mark.parametrize("factor", [0.1, 0.6, 1.0, 1.4, 1.9])
def test_enhancing(name: str, enhancer: type, factor: float) -> None:
    clip = smooth_clip()
    got, wanted = one(name, clip, factor), from_strip(enhancer(strip(clip)).enhance(factor))
    # PIL rounds the grey value that colours are mixed with, which is then multiplied.
    assert (got.int() - wanted.int()).abs().max() <= (2 if name == "color" else 1)


@pytest.mark.parametrize("factor", [0.1, 0.6, 1.0, 1.4, 1.9])
def test_sharpness(factor: float) -> None:
    clip = smooth_clip()
    wanted = frame_by_frame(clip, lambda image: ImageEnhance.Sharpness(image).enhance(factor))
    got = one("sharpness", clip, factor)
    assert (got.int() - wanted.int()).abs().max() <= 1
    if factor == 1.0:
        assert torch.equal(got, clip)


@pytest.mark.parametrize(
    ("name", "value", "change"),
    [
        ("rotate", 21.0, rotated(21.0)),
        ("rotate", -7.5, rotated(-7.5)),
        ("shear_x", 0.21, affine(1, 0.21, 0, 0, 1, 0)),
        ("shear_x", -0.3, affine(1, -0.3, 0, 0, 1, 0)),
        ("shear_y", 0.17, affine(1, 0, 0, 0.17, 1, 0)),
        ("translate_x", 0.3, affine(1, 0, 0.3 * WIDTH, 0, 1, 0)),
        ("translate_x", -0.13, affine(1, 0, -0.13 * WIDTH, 0, 1, 0)),
        ("translate_y", 0.45, affine(1, 0, 0, 0, 1, 0.45 * HEIGHT)),
    ],
)
def test_moving(name: str, value: float, change: Callable[[Image.Image], Image.Image]) -> None:
    clip = smooth_clip()
    got, wanted = one(name, clip, value), frame_by_frame(clip, change)
    assert (wanted == 128).float().mean() > 0.05
    assert (got.int() - wanted.int()).abs().max() <= 1
    # Weights in parts of 256 show where neighbours have nothing in common.
    noise = torch.randint(0, 256, clip.shape, dtype=torch.uint8, generator=rng(4))
    difference = one(name, noise, value).int() - frame_by_frame(noise, change).int()
    assert difference.abs().max() <= 2


def test_not_moving_changes_nothing() -> None:
    clip = smooth_clip()
    for name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y"):
        assert torch.equal(one(name, clip, 0.0), clip)


# All of them


@pytest.mark.parametrize("name", OPERATIONS[1:])
def test_equal_frames_stay_equal_and_clips_apart(name: str) -> None:
    """Clips of a batch do not see each other, and no operation makes a still clip flicker."""
    values = torch.tensor([strength(name, 3.0), strength(name, 9.0)], dtype=torch.float64)
    clips = torch.stack([smooth_clip(3)[:1].expand(FRAMES, -1, -1, -1), smooth_clip(5)])
    out = operate(name, clips, values)
    assert out.dtype == torch.uint8
    assert torch.equal(out[0], out[0, :1].expand(FRAMES, -1, -1, -1))
    for clip, value, got in zip(clips, values.tolist(), out, strict=True):
        assert torch.equal(got, one(name, clip, value))
    assert not torch.equal(out[1], clips[1])


@pytest.mark.parametrize("name", OPERATIONS[1:])
def test_plain_clips(name: str) -> None:
    """One colour only, and a picture too small for a neighbourhood."""
    for clip in (torch.full((2, 3, 8, 8), 90, dtype=torch.uint8), smooth_clip()[:, :, :2, :1]):
        assert one(name, clip, strength(name, 7.0)).shape == clip.shape
    if name in ("autocontrast", "equalize", "sharpness", "color", "contrast"):
        flat = torch.full((2, 3, 8, 8), 90, dtype=torch.uint8)
        assert torch.equal(one(name, flat, strength(name, 7.0)), flat)


@pytest.mark.parametrize(
    ("name", "magnitude", "negative", "wanted"),
    [
        ("rotate", 10, False, 30),
        ("rotate", 5, True, -15),
        ("shear_x", 10, True, -0.3),
        ("translate_y", 10, False, 0.45),
        ("posterize", 0, False, 4),
        ("posterize", 7, False, 2),
        ("posterize", 10, False, 1),
        ("solarize", 0, False, 256),
        ("solarize", 7, False, 77),
        ("solarize_add", 7, False, 77),
        ("color", 7, False, 1.63),
        ("brightness", 7, True, 0.37),
        ("contrast", 10, True, 0.1),
        ("invert", 7, False, 0),
    ],
)
def test_strengths(name: str, magnitude: float, negative: bool, wanted: float) -> None:
    assert strength(name, magnitude, negative=negative) == pytest.approx(wanted)


def test_drawing() -> None:
    draws = [sample_operations(4, 7.0, 0.5, rng(i)) for i in range(600)]
    operations = torch.stack([d[0] for d in draws]).flatten()
    counts = torch.bincount(operations, minlength=len(OPERATIONS))
    assert abs(counts[0] / 2400 - 0.5) < 0.05
    assert len(counts) == len(OPERATIONS)
    assert (counts[1:] - 80).abs().max() < 40
    values = torch.stack([d[1] for d in draws]).flatten()
    degrees = values[operations == OPERATIONS.index("rotate")]
    assert degrees.abs().mean() == pytest.approx(21, abs=1)
    assert degrees.abs().std() == pytest.approx(1.5, abs=0.5)
    assert 0.2 < (degrees < 0).float().mean() < 0.8
    again = sample_operations(4, 7.0, 0.5, rng(5))
    assert torch.equal(again[0], draws[5][0])
    assert torch.equal(again[1], draws[5][1])


def test_drawing_at_the_ends_of_the_scale() -> None:
    for magnitude in (0.0, 10.0):
        operations, values = sample_operations(50, magnitude, 1.0, rng())
        assert (operations > 0).all()
        degrees = values[operations == OPERATIONS.index("rotate")]
        assert degrees.abs().max() <= 30

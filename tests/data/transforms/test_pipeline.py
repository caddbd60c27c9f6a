from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.transforms import (
    EvalTransform,
    TrainTransform,
    apply_color,
    augment,
    color_matrix,
    normalize,
    random_crop,
    resize,
)

SPEC = ClipSpec(num_frames=4, crop_size=32, resize_size=40)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(frames: int = 4, height: int = 48, width: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (frames, 3, height, width), dtype=torch.uint8, generator=rng(9))


def still(frames: int = 4, height: int = 48, width: int = 64) -> torch.Tensor:
    """The same picture in every frame."""
    return noise(1, height, width).expand(frames, -1, -1, -1)


# Training


@settings(deadline=None)
@given(
    height=st.integers(1, 500),
    width=st.integers(1, 500),
    low=st.floats(0.05, 1),
    high=st.floats(0.05, 1),
    narrow=st.floats(0.3, 3),
    wide=st.floats(0.3, 3),
    seed=st.integers(0, 1000),
)
def test_random_crop_fits(
    height: int, width: int, low: float, high: float, narrow: float, wide: float, seed: int
):
    scale, ratio = (min(low, high), max(low, high)), (min(narrow, wide), max(narrow, wide))
    top, left, h, w = random_crop(height, width, scale, ratio, rng(seed))
    assert 0 <= top <= top + h <= height
    assert 0 <= left <= left + w <= width
    assert min(h, w) >= 1


def test_random_crop_draws_the_whole_range():
    crops = [random_crop(1000, 1000, (0.25, 0.5), (0.5, 2), rng(i)) for i in range(500)]
    areas = [h * w / 1e6 for _, _, h, w in crops]
    ratios = [math.log2(w / h) for _, _, h, w in crops]
    assert 0.249 < min(areas) < 0.26
    assert 0.49 < max(areas) < 0.501
    assert abs(np.mean(areas) - 0.375) < 0.01
    assert -1.01 < min(ratios) < -0.95
    assert 0.95 < max(ratios) < 1.01
    assert abs(np.mean(ratios)) < 0.06
    tops = [top / (1000 - h) for top, _, h, _ in crops if h < 1000]
    assert abs(np.mean(tops) - 0.5) < 0.05


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("color_jitter", [0.0, 0.4])
def test_train_shape_and_sameness_of_frames(layout: torch.memory_format, color_jitter: float):
    transform = TrainTransform(SPEC, color_jitter=color_jitter, hue=0.1)
    clip = still().contiguous(memory_format=layout)
    for seed in range(5):
        out = transform(clip, rng(seed))
        assert out.shape == (4, 3, 32, 32)
        assert out.dtype == torch.uint8
        assert (out == out[:1]).all()


def test_train_layouts_agree():
    transform = TrainTransform(SPEC, color_jitter=0.4)
    clip = noise()
    first = transform(clip, rng(3))
    second = transform(clip.contiguous(memory_format=torch.channels_last), rng(3))
    assert (first.int() - second.int()).abs().max() <= 1


def test_train_depends_on_its_generator_alone():
    transform = TrainTransform(SPEC, color_jitter=0.4, hue=0.1)
    clip = noise()
    before = torch.random.get_rng_state()
    first = transform(clip, rng(1))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(5)
    assert torch.equal(transform(clip, rng(1)), first)
    assert not torch.equal(transform(clip, rng(2)), first)


def test_flip_has_a_switch():
    ramp = torch.arange(64, dtype=torch.uint8).mul(4).expand(2, 3, 48, 64).contiguous()
    rises = {
        flip: sum(
            bool(out[..., -1].float().mean() > out[..., 0].float().mean())
            for out in (TrainTransform(SPEC, horizontal_flip=flip)(ramp, rng(i)) for i in range(60))
        )
        for flip in (True, False)
    }
    assert rises[False] == 60
    assert 18 < rises[True] < 42


def test_cropping_now_and_the_rest_later():
    transform = TrainTransform(
        SPEC,
        color_jitter=0.4,
        hue=0.1,
        grayscale_probability=0.3,
        randaugment_ops=2,
        erase_probability=0.5,
    )
    clip = noise()
    for seed in range(6):
        cropped, parameters = transform.crop(clip, rng(seed))
        assert torch.equal(augment(cropped, parameters), transform(clip, rng(seed)))


def test_identity_crop_returns_the_pixels():
    spec = ClipSpec(crop_size=32, resize_size=32)
    transform = TrainTransform(spec, scale=(1, 1), ratio=(1, 1), horizontal_flip=False)
    clip = noise(4, 32, 32)
    assert torch.equal(transform(clip, rng()), clip)


def test_a_clip_cropped_by_the_decoder_is_drawn_alike():
    transform = TrainTransform(SPEC, color_jitter=0.4, randaugment_ops=2, erase_probability=0.5)
    clip = noise()
    for seed in range(4):
        generator = rng(seed)
        top, left, height, width = transform.sample_crop(48, 64, generator)
        cut = resize(clip[..., top : top + height, left : left + width], 32, 32)
        changed = augment(*transform.change(cut, generator))
        assert torch.equal(changed, transform(clip, rng(seed)))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"scale": (0.0, 1.0)},
        {"scale": (0.9, 0.5)},
        {"scale": (0.5, 1.5)},
        {"ratio": (2.0, 1.0)},
        {"ratio": (0.0, 1.0)},
        {"color_jitter": -0.1},
        {"color_jitter": 1.5},
        {"hue": 0.6},
    ],
)
def test_train_arguments_out_of_range(kwargs: dict):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        TrainTransform(SPEC, **kwargs)


# Colour


def test_neutral_colour_changes_nothing():
    clip = noise()
    assert torch.equal(apply_color(clip, *color_matrix(clip, 1.0, 1.0, 1.0, 0.0)), clip)


@settings(deadline=None, max_examples=30)
@given(
    brightness=st.floats(0.2, 1.8),
    contrast=st.floats(0.2, 1.8),
    saturation=st.floats(0.0, 1.8),
    hue=st.floats(-0.5, 0.5),
)
def test_colour_against_step_by_step(
    brightness: float, contrast: float, saturation: float, hue: float
):
    clip = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8, generator=rng(4))
    got = apply_color(clip, *color_matrix(clip, brightness, contrast, saturation, hue))
    luma = np.array([0.299, 0.587, 0.114])
    pixels = clip.permute(0, 2, 3, 1).numpy().astype(float)
    # The mean that contrast turns about is estimated on a part of the pixels.
    mean = float((pixels[::2, ::4, ::4] @ luma).mean())
    x = pixels * brightness
    x = (x - mean * brightness) * contrast + mean * brightness
    grey = (x @ luma)[..., None]
    x = grey + (x - grey) * saturation
    angle = 2 * math.pi * hue
    yiq = np.array([luma, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    i, q = x @ yiq[1], x @ yiq[2]
    turned = np.stack(
        [
            x @ luma,
            i * math.cos(angle) - q * math.sin(angle),
            i * math.sin(angle) + q * math.cos(angle),
        ],
        axis=-1,
    )
    wanted = np.clip(turned @ np.linalg.inv(yiq).T, 0, 255)
    assert np.abs(got.permute(0, 2, 3, 1).numpy() - wanted).max() <= 0.51


def test_hue_turns_the_colour_wheel():
    """Not the wheel of HSV, but near it: a third of the circle turns red into green or blue."""
    red = torch.tensor([160, 110, 110], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 4, 4)
    red = red.contiguous()
    got = apply_color(red, *color_matrix(red, 1.0, 1.0, 1.0, 1 / 3))[0, :, 0, 0].tolist()
    hue, _, _ = colorsys.rgb_to_hsv(*(value / 255 for value in got))
    assert min(abs(hue - 1 / 3), abs(hue - 2 / 3)) < 0.12
    assert torch.tensor([0.299, 0.587, 0.114]) @ torch.tensor(got).float() == pytest.approx(
        0.299 * 160 + 0.701 * 110, abs=1
    )


def test_no_saturation_is_grey():
    clip = noise()
    grey = apply_color(clip, *color_matrix(clip, 1.0, 1.0, 0.0, 0.0))
    assert (grey.int().amax(1) - grey.int().amin(1)).max() <= 1


# Testing


def test_centre_crop():
    clip = noise(4, 40, 70)
    out = EvalTransform(SPEC)(clip)
    assert out.shape == (1, 4, 3, 32, 32)
    assert torch.equal(out[0], clip[..., 4:36, 19:51])


@pytest.mark.parametrize("upright", [True, False])
def test_three_crops_lie_along_the_long_side(upright: bool):
    clip = noise(4, 40, 70)
    if upright:
        clip = clip.transpose(2, 3)
    left, centre, right = EvalTransform(SPEC, crops=3)(clip)
    wanted = [clip[..., 4:36, 0:32], clip[..., 4:36, 19:51], clip[..., 4:36, 38:70]]
    if upright:
        wanted = [clip[..., 0:32, 4:36], clip[..., 19:51, 4:36], clip[..., 38:70, 4:36]]
    for got, want in zip((left, centre, right), wanted, strict=True):
        assert torch.equal(got, want)


def test_two_crops_are_the_ends():
    clip = noise(4, 40, 70)
    left, right = EvalTransform(SPEC, crops=2)(clip)
    assert torch.equal(left, clip[..., 4:36, 0:32])
    assert torch.equal(right, clip[..., 4:36, 38:70])


@pytest.mark.parametrize(("height", "width"), [(80, 120), (20, 35), (40, 40), (33, 400)])
def test_other_sizes_are_resized_first(height: int, width: int):
    clip = torch.full((2, 3, height, width), 77, dtype=torch.uint8)
    for crops in (1, 3, 5):
        out = EvalTransform(SPEC, crops)(clip)
        assert out.shape == (crops, 2, 3, 32, 32)
        assert (out == 77).all()


def test_crops_start_at_one():
    with pytest.raises(ValueError, match="crops"):
        EvalTransform(SPEC, 0)


# Normalising


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (2, 3, 4, 5, 6), (2, 7, 3, 4, 5, 6)])
def test_normalize(shape: tuple[int, ...]):
    spec = ClipSpec(mean=(0.1, 0.5, 0.9), std=(0.2, 0.5, 1.5))
    clip = torch.randint(0, 256, shape, dtype=torch.uint8, generator=rng(2))
    before = clip.clone()
    got = normalize(clip, spec)
    assert torch.equal(clip, before)
    assert got.dtype == torch.float32
    for channel in range(3):
        wanted = (clip.double() / 255 - spec.mean[channel]) / spec.std[channel]
        got_channel = got.movedim(-4, 0)[channel].double()
        assert (got_channel - wanted.movedim(-4, 0)[channel]).abs().max() < 1e-5
    assert normalize(clip, spec, torch.bfloat16).dtype == torch.bfloat16

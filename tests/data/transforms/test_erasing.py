from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.data.transforms.erasing import erase, sample_box


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300), seed=st.integers(0, 1000))
def test_a_box_lies_inside(height: int, width: int, seed: int) -> None:
    top, left, h, w, _ = sample_box(height, width, rng(seed)).tolist()
    assert 0 <= top <= top + h <= height
    assert 0 <= left <= left + w <= width
    assert (h == 0) == (w == 0)


def test_boxes_have_the_sizes_of_the_paper() -> None:
    boxes = torch.stack([sample_box(300, 200, rng(i)) for i in range(400)]).double()
    _, _, h, w, seeds = boxes.unbind(1)
    assert len(seeds.unique()) == 400
    shares, ratios = h * w / 60000, (h / w).log() / np.log(10 / 3)
    assert 0.019 < shares.min() < 0.03
    assert 0.3 < shares.max() < 0.336
    assert shares.mean() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.015)
    assert -1.03 < ratios.min() < -0.95
    assert 0.95 < ratios.max() < 1.03


def test_the_noise_stands_still_and_nothing_else_changes() -> None:
    clips = torch.full((3, 4, 3, 50, 60), 7, dtype=torch.uint8)
    boxes = torch.tensor([[5, 10, 30, 40, 11], [0, 0, 0, 0, 12], [20, 0, 30, 60, 13]])
    out = erase(clips.clone(), boxes)
    for clip, (top, left, h, w, _) in zip(out, boxes.tolist(), strict=True):
        assert torch.equal(clip, clip[:1].expand(4, -1, -1, -1))
        rest = clip.clone()
        rest[..., top : top + h, left : left + w] = 7
        assert (rest == 7).all()
    assert not torch.equal(out[0, 0, :, 20:35, 10:50], out[2, 0, :, 20:35, 10:50])
    alone = erase(clips[2:].clone(), boxes[2:])
    assert torch.equal(alone[0], out[2])


def test_the_noise_is_even() -> None:
    clip = erase(
        torch.zeros(1, 1, 3, 256, 256, dtype=torch.uint8), torch.tensor([[0, 0, 256, 256, 3]])
    )
    counts = torch.bincount(clip.flatten(), minlength=256).double()
    expected = 3 * 256
    assert ((counts - expected) ** 2 / expected).sum() < 340  # chi-square, 255 degrees: 0.9998
    channels = clip[0, 0].double().flatten(1)
    assert torch.corrcoef(channels).triu(1).abs().max() < 0.02
    assert torch.corrcoef(torch.stack([channels[0, 1:], channels[0, :-1]]))[0, 1].abs() < 0.02

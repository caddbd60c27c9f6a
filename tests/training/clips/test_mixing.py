from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.training.clips.mixing import Mix, Mixing, mix_clips, mix_targets
from video_mobile_former.training.objectives.supervised import classification_loss

Kind = Literal["spatial", "temporal", "spatiotemporal"]
SHAPE = (6, 3, 8, 20, 30)
KINDS: tuple[Kind, ...] = ("spatial", "temporal", "spatiotemporal")


def numbered() -> torch.Tensor:
    """Every value of a clip is the clip's number."""
    return torch.arange(6.0).view(-1, 1, 1, 1, 1).expand(SHAPE).clone()


def drawn(mixing: Mixing, count: int = 300) -> list[Mix]:
    mixes = [mixing.sample([0, 0, batch, 0], SHAPE) for batch in range(count)]
    return [mix for mix in mixes if mix is not None]


def test_mixup_adds_clips_and_labels_alike() -> None:
    for mix in drawn(Mixing(mixup_alpha=0.8), 20):
        clips = mix_clips(numbered(), mix)
        targets = mix_targets(torch.arange(6), 6, mix)
        wanted = targets @ torch.arange(6.0)
        torch.testing.assert_close(clips, wanted.view(-1, 1, 1, 1, 1).expand(SHAPE))
        torch.testing.assert_close(targets.sum(1), torch.ones(6))


@pytest.mark.parametrize("kind", KINDS)
def test_cutmix_mixes_labels_by_exact_volume(kind: Kind) -> None:
    for mix in drawn(Mixing(cutmix_alpha=1.0, cutmix_kind=kind), 40):
        clips = mix_clips(numbered(), mix)
        targets = mix_targets(torch.arange(6), 6, mix)
        for i in range(6):
            own, other = clips[i] == i, clips[i] == mix.partners[i]
            assert (own | other).all()
            assert own.double().mean() == pytest.approx(float(targets[i, i]), abs=1e-6)
            where = other.any(0)
            assert torch.equal(other, where.expand_as(other))
            if kind == "spatial":
                assert torch.equal(where, where[:1].expand_as(where))
            if kind == "temporal":
                assert all(bool(frame.all()) or not frame.any() for frame in where)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_boxes_of_all_sizes_and_places(kind: Kind) -> None:
    mixing = Mixing(cutmix_alpha=1.0, cutmix_kind=kind)
    shares = np.array([mix.share for mix in drawn(mixing, 1500)])
    assert 0 <= shares.min() < 0.2
    assert shares.max() > 0.99
    # A box about a random centre loses a part at the borders: so the mean is above a half.
    assert 0.55 < shares.mean() < 0.85
    boxes = [mix.box for mix in drawn(mixing, 1500)]
    starts = [box[2 if kind != "temporal" else 0].start for box in boxes if box is not None]
    assert len(set(starts)) > 5


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(2, 9),
    sides=st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 12)),
    kind=st.sampled_from(KINDS),
    place=st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4),
)
def test_any_shape(count: int, sides: tuple[int, int, int], kind: Kind, place: list[int]) -> None:
    mix = Mixing(mixup_alpha=0.4, cutmix_alpha=1.0, cutmix_kind=kind).sample(
        place, (count, 3, *sides)
    )
    assert mix is not None
    assert sorted(mix.partners.tolist()) == list(range(count))
    assert (mix.partners != torch.arange(count)).all()
    assert 0 <= mix.share <= 1
    if mix.box is not None:
        assert all(
            0 <= part.start <= part.stop <= side for part, side in zip(mix.box, sides, strict=True)
        )
        volume = math.prod(part.stop - part.start for part in mix.box)
        assert mix.share == pytest.approx(1 - volume / math.prod(sides))


def test_half_of_each_and_some_of_none() -> None:
    mixes = drawn(Mixing(mixup_alpha=0.8, cutmix_alpha=1.0, probability=0.5), 600)
    assert 250 < len(mixes) < 350
    assert 0.4 < np.mean([mix.box is None for mix in mixes]) < 0.6
    assert not drawn(Mixing(), 5)
    assert not drawn(Mixing(mixup_alpha=1.0, probability=0.0), 5)
    assert Mixing(mixup_alpha=1.0).sample([0, 0, 0, 0], (1, *SHAPE[1:])) is None


@pytest.mark.slow
def test_shares_follow_beta() -> None:
    for alpha in (0.2, 0.8, 5.0):
        shares = [mix.share for mix in drawn(Mixing(mixup_alpha=alpha), 1500)]
        assert np.mean(shares) == pytest.approx(0.5, abs=0.04)
        assert np.var(shares) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.12)


def test_the_place_decides() -> None:
    mixing = Mixing(mixup_alpha=0.8, cutmix_alpha=1.0)
    places = [[s, e, b, r] for s in (0, 1) for e in (0, 1) for b in (0, 1) for r in (0, 1)]
    shares = {tuple(place): mixing.sample(place, SHAPE) for place in places}
    again = {tuple(place): mixing.sample(place, SHAPE) for place in places}
    assert len({mix.share for mix in shares.values() if mix}) == 16
    for place, mix in shares.items():
        other = again[place]
        assert mix is not None
        assert other is not None
        assert (mix.share, mix.box) == (other.share, other.box)
        assert torch.equal(mix.partners, other.partners)


def test_several_labels_a_clip() -> None:
    labels = torch.tensor([[1.0, 1, 0], [0, 0, 1], [0, 0, 0]])
    mix = Mix(torch.tensor([1, 2, 0]), 0.75, None)
    wanted = torch.tensor([[0.75, 0.75, 0.25], [0, 0, 0.75], [0.25, 0.25, 0]])
    torch.testing.assert_close(mix_targets(labels, 3, mix), wanted)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_mix_is_the_mix_of_losses(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 1])
    mix = Mix(torch.tensor([1, 2, 3, 4, 0]), 0.7, None)
    got = classification_loss(logits, mix_targets(labels, 4, mix), label_smoothing=smoothing)
    own, other = (
        classification_loss(logits, wanted, label_smoothing=smoothing)
        for wanted in (labels, labels[mix.partners])
    )
    torch.testing.assert_close(got, 0.7 * own + 0.3 * other)

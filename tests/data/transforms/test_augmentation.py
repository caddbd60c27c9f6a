"""The same parameters give the same clips: one by one, as a batch, on another device."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from video_mobile_former.data.transforms import Augmentation, augment, stack_parameters
from video_mobile_former.data.transforms import augmentation as module
from video_mobile_former.data.transforms.color import apply_colors, weigh_channels
from video_mobile_former.data.transforms.parameters import AugmentParameters
from video_mobile_former.data.transforms.randaugment import OPERATIONS

ALL = Augmentation(
    color_jitter=0.4,
    hue=0.1,
    grayscale_probability=0.2,
    randaugment_ops=4,
    randaugment_probability=0.9,
    erase_probability=0.5,
)
COUNT, SIZE = 24, 32


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(settings: Augmentation = ALL, count: int = COUNT) -> AugmentParameters:
    return stack_parameters([settings.sample(rng(i), SIZE, SIZE) for i in range(count)])


def clips(count: int = COUNT) -> torch.Tensor:
    coarse = torch.rand(count * 3, 3, 6, 6, generator=rng()) * 255
    fine = torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bilinear")
    return fine.to(torch.uint8).view(count, 3, 3, SIZE, SIZE)


@pytest.mark.slow
def test_one_by_one_and_as_a_batch() -> None:
    batch, drawn = clips(), draw()
    assert len(drawn.operations.unique()) == len(OPERATIONS)
    together = augment(batch, drawn)
    alone = [augment(clip, ALL.sample(rng(i), SIZE, SIZE)) for i, clip in enumerate(batch)]
    assert torch.equal(together, torch.stack(alone))
    changed = (together != batch).flatten(1).any(1)
    assert changed.sum() > 20


def test_clips_that_share_an_operation_go_together_as_on_a_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The road that a device takes, on the CPU: equal but for the order of sums of colours."""
    batch, drawn = clips(), draw()
    together = module._augment_batch(batch, drawn)
    assert torch.equal(together, augment(batch, drawn))
    monkeypatch.setattr(module, "apply_colors", weigh_channels)
    other = module._augment_batch(batch, drawn._replace(operations=drawn.operations * 0))
    wanted = augment(batch, drawn._replace(operations=drawn.operations * 0))
    assert (other.int() - wanted.int()).abs().max() <= 1


def test_whole_batch_colours() -> None:
    matrices = torch.randn(COUNT, 3, 3, generator=rng(1))
    offsets = torch.randn(COUNT, 3, generator=rng(2)) * 50
    got = weigh_channels(clips(), matrices, offsets)
    assert (got.int() - apply_colors(clips(), matrices, offsets).int()).abs().max() <= 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_cuda_device() -> None:
    batch, drawn = clips(), draw()
    # Tables, moved pixels and noise: to the bit.
    exact = drawn._replace(color=torch.tensor([[1.0, 1.0, 1.0, 0.0]]).double().expand(COUNT, -1))
    rounded = [OPERATIONS.index(name) for name in ("color", "sharpness")]
    keep = ~torch.isin(drawn.operations, torch.tensor(rounded))
    exact = exact._replace(operations=drawn.operations * keep)
    assert torch.equal(augment(batch.cuda(), exact).cpu(), augment(batch, exact))
    # Colours and sharpness, one at a time: to one level.
    for operations in (
        drawn.operations * 0,
        *(torch.full_like(drawn.operations, r) for r in rounded),
    ):
        single = drawn._replace(
            operations=operations[:, :1],
            values=torch.full_like(drawn.values[:, :1], 1.6),
            color=drawn.color if not operations.any() else exact.color,
        )
        got, wanted = augment(batch.cuda(), single).cpu(), augment(batch, single)
        assert (got.int() - wanted.int()).abs().max() <= 1


def test_a_view_with_time_after_channels() -> None:
    batch, drawn = clips(), draw()
    view = batch.transpose(1, 2).contiguous().transpose(1, 2)
    assert not view.is_contiguous()
    assert torch.equal(augment(view, drawn), augment(batch, drawn))


def test_the_input_stays() -> None:
    batch, drawn = clips(), draw()
    before = batch.clone()
    augment(batch, drawn)
    augment(batch[0], ALL.sample(rng(), SIZE, SIZE))
    assert torch.equal(batch, before)


def test_nothing_asked_nothing_changed() -> None:
    batch, drawn = clips(4), draw(Augmentation(), 4)
    assert torch.equal(augment(batch, drawn), batch)
    assert drawn.operations.shape == (4, 0)
    assert augment(batch[:0], drawn.clips(slice(0))).shape == batch[:0].shape


def test_drawing_depends_on_the_generator_alone() -> None:
    before = torch.random.get_rng_state()
    one, again, other = (ALL.sample(rng(seed), SIZE, SIZE) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one.color, other.color)


def test_chances() -> None:
    drawn = draw(dataclasses.replace(ALL, grayscale_probability=0.3, erase_probability=0.25), 800)
    grey = (drawn.color[:, 2] == 0) & (drawn.color[:, 3] == 0)
    assert grey.double().mean() == pytest.approx(0.3, abs=0.05)
    assert (drawn.erased[:, 2] > 0).double().mean() == pytest.approx(0.25, abs=0.05)
    factors = drawn.color[:, :2]
    assert 0.6 <= factors.min() < 0.61
    assert 1.39 < factors.max() <= 1.4


def test_grey_clips_are_grey() -> None:
    settings = Augmentation(color_jitter=0.3, hue=0.2, grayscale_probability=1.0)
    out = augment(clips(), draw(settings))
    assert torch.equal(out[:, :, 0], out[:, :, 1])
    assert torch.equal(out[:, :, 0], out[:, :, 2])


@pytest.mark.parametrize(
    "wrong",
    [
        {"grayscale_probability": 1.1},
        {"randaugment_ops": -1},
        {"randaugment_magnitude": 10.5},
        {"randaugment_probability": -0.1},
        {"erase_probability": float("nan")},
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)

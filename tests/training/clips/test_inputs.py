from __future__ import annotations

import dataclasses

import pytest
import torch

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.loading.dataset import Batch
from video_mobile_former.data.transforms import Augmentation, augment, normalize, stack_parameters
from video_mobile_former.training.clips.inputs import mixing, train_transform, training_inputs
from video_mobile_former.training.clips.mixing import Mixing, mix_clips, mix_targets
from video_mobile_former.training.recipe.fields import AugmentRecipe

SPEC = ClipSpec(num_frames=4, crop_size=24, resize_size=32)
PLACE = [0, 1, 2, 0]
HARD = AugmentRecipe(
    hue=0.1,
    grayscale_probability=0.3,
    randaugment_ops=3,
    randaugment_magnitude=9.0,
    randaugment_probability=0.8,
    erase_probability=0.5,
)


def _batch(count: int = 5, repeats: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(0)
    shape = (count, repeats, 3, 4, 24, 24)
    return Batch(
        clips=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        labels=torch.arange(count) % 4,
        indices=torch.arange(count),
        failures=[],
        padded=[],
    )


def test_every_field_arrives() -> None:
    recipe = dataclasses.replace(HARD, scale=(0.2, 0.9), ratio=(0.9, 1.1), horizontal_flip=False)
    transform = train_transform(SPEC, recipe)
    for field in dataclasses.fields(Augmentation):
        assert getattr(transform.augmentation, field.name) == getattr(recipe, field.name)
        if field.name != "color_jitter":
            assert getattr(recipe, field.name) != field.default
    for name in ("scale", "ratio", "horizontal_flip"):
        assert getattr(transform, name) == getattr(recipe, name)
    mixed = AugmentRecipe(
        mixup_alpha=0.3, cutmix_alpha=0.4, cutmix_kind="temporal", mix_probability=0.6
    )
    assert mixing(mixed) == Mixing(0.3, 0.4, "temporal", 0.6)


def test_a_plain_batch() -> None:
    batch = _batch(repeats=1)
    clips, targets = training_inputs(batch, SPEC, 4, Mixing(), PLACE)
    assert torch.equal(clips, normalize(batch["clips"][:, 0], SPEC))
    assert torch.equal(targets, batch["labels"])


def test_repeats_carry_their_label() -> None:
    batch = _batch()
    clips, targets = training_inputs(batch, SPEC, 4, Mixing(), PLACE)
    assert torch.equal(clips, normalize(batch["clips"].flatten(0, 1), SPEC))
    assert targets.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 0, 0]
    batch["labels"] = torch.eye(5)[:, :4]
    _, several = training_inputs(batch, SPEC, 4, Mixing(), PLACE)
    assert torch.equal(several, torch.eye(5)[:, :4].repeat_interleave(2, 0))


@pytest.mark.parametrize("several", [False, True])
def test_changes_left_to_do_then_mixing(several: bool) -> None:
    batch = _batch()
    if several:
        batch["labels"] = torch.tensor([[1.0, 0, 1, 0]] * 5)
    settings = train_transform(SPEC, HARD).augmentation
    drawn = [settings.sample(torch.Generator().manual_seed(i), 24, 24) for i in range(10)]
    batch["parameters"] = stack_parameters(
        [stack_parameters(drawn[i : i + 2]) for i in range(0, 10, 2)]
    )
    wanted = torch.stack(
        [
            augment(clip.transpose(0, 1), parameters).transpose(0, 1)
            for clip, parameters in zip(batch["clips"].flatten(0, 1), drawn, strict=True)
        ]
    )
    asked = Mixing(mixup_alpha=0.8, cutmix_alpha=1.0)
    for number in range(4):
        place = [0, 0, number, 0]
        clips, targets = training_inputs(batch, SPEC, 4, asked, place)
        mix = asked.sample(place, wanted.shape)
        assert mix is not None
        assert torch.equal(clips, mix_clips(normalize(wanted, SPEC), mix))
        labels = batch["labels"].repeat_interleave(2, 0)
        assert torch.equal(targets, mix_targets(labels, 4, mix))
        assert clips.is_contiguous()


def test_mixed_precision_is_for_the_model() -> None:
    batch = _batch()
    settings = Augmentation(color_jitter=0.4, hue=0.2)
    drawn = [settings.sample(torch.Generator().manual_seed(i), 24, 24) for i in range(10)]
    batch["parameters"] = stack_parameters(
        [stack_parameters(drawn[i : i + 2]) for i in range(0, 10, 2)]
    )
    asked = Mixing(mixup_alpha=0.8)
    clips, targets = training_inputs(batch, SPEC, 4, asked, PLACE)
    with torch.autocast("cpu", torch.bfloat16):
        again, targets_again = training_inputs(batch, SPEC, 4, asked, PLACE)
    assert torch.equal(again, clips)
    assert torch.equal(targets_again, targets)

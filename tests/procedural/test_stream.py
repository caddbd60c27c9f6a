"""Batches: functions of seed, number and place; classes in turn; single frames that say nothing."""

import dataclasses
import json

import pytest
import torch

from video_mobile_former.errors import UserError
from video_mobile_former.procedural import FAMILIES, ProceduralSpec, ProceduralVideo
from video_mobile_former.procedural.cast import SUBSTEPS, sample_cast
from video_mobile_former.procedural.keyed_random import KeyedRandom

SMALL = ProceduralSpec(size=32, motion_blur=0.0)
ALIKE = ("motion", "periodic", "order", "long_range")
"""Families whose classes have one distribution of places in every frame."""


def all_classes(video: ProceduralVideo, place: int = 0) -> torch.Tensor:
    """One scene in all classes, (classes, 3, T, S, S)."""
    labels = torch.arange(len(video.class_names))
    return video.draw(0, torch.full_like(labels, place), labels).clips


@pytest.mark.slow
def test_a_batch_is_as_documented():
    video = ProceduralVideo(SMALL, seed=3)
    batch = video.batch(2, 5)
    assert batch.clips.shape == (5, 3, 8, 32, 32)
    assert batch.clips.dtype == torch.uint8
    assert batch.labels.dtype == torch.int64
    assert len(video.class_names) == len(video.class_family) >= 24
    assert len(set(video.class_names)) == len(video.class_names)
    assert set(video.class_family) == set(FAMILIES)
    for name, target in video.targets.items():
        value, mask = batch.targets[name], batch.masks[name]
        assert mask.shape == (5,)
        if target.kind == "regression":
            assert value.shape == (5, target.width)
            assert value.dtype == torch.float32
        else:
            assert value.shape == (5,)
            assert 0 <= int(value.min()) <= int(value.max()) < target.width
        assert bool((value[~mask] == 0).all())


@pytest.mark.slow
def test_a_clip_depends_on_seed_number_and_place_alone():
    video = ProceduralVideo(dataclasses.replace(SMALL, motion_blur=0.3), seed=0)
    many = video.batch(40, 9)
    again = ProceduralVideo(video.spec, seed=0)
    again.batch(0, 2)  # what was drawn before changes nothing
    few = again.batch(40, 4)
    assert torch.equal(few.labels, many.labels[:4])
    # To one level: the last digits of a sum may depend on how many are added at once.
    assert int((few.clips.int() - many.clips[:4].int()).abs().max()) <= 1
    assert (few.clips != many.clips[:4]).float().mean() < 1e-3
    for name in few.targets:
        torch.testing.assert_close(few.targets[name], many.targets[name][:4])
        assert torch.equal(few.masks[name], many.masks[name][:4])
    others = (video.batch(41, 4), ProceduralVideo(video.spec, seed=1).batch(40, 4))
    for other in others:
        assert (other.clips != few.clips).float().mean() > 0.9


def test_classes_come_in_turn():
    video = ProceduralVideo(dataclasses.replace(SMALL, families=("periodic",)), seed=0)
    count = len(video.class_names)
    first, second = (video.labels(index, torch.arange(3 * count)) for index in (0, 1))
    for turn in first.split(count):
        assert turn.sort().values.tolist() == list(range(count))
    assert not torch.equal(first, second)


@pytest.mark.slow
def test_some_classes_of_families_are_drawn_alone():
    spec = dataclasses.replace(SMALL, families=("motion", "limbs"))
    video = ProceduralVideo(dataclasses.replace(spec, classes=("walk", "move_up")), seed=4)
    assert video.class_names == ("move_up", "walk")
    assert video.class_family == ("motion", "limbs")
    assert sorted(video.batch(0, 4).labels.tolist()) == [0, 0, 1, 1]
    every = ProceduralVideo(spec, seed=4)
    for k, name in enumerate(video.class_names):  # a class is drawn as it is among all
        label = every.class_names.index(name)
        alone, among = (
            v.draw(0, torch.tensor([7]), torch.tensor([n])) for v, n in ((video, k), (every, label))
        )
        assert torch.equal(alone.clips, among.clips)
    for classes, message in {
        ("walk", "swing_vertical"): "no class 'swing_vertical' in motion, limbs",
        ("walk", "jmp"): "did you mean 'jump'",
        ("walk", "walk"): "at least two",
    }.items():
        with pytest.raises(UserError, match=message):
            ProceduralVideo(dataclasses.replace(spec, classes=classes))


@pytest.mark.slow
@pytest.mark.parametrize("family", [*ALIKE, "interaction", "camera"])
def test_the_first_frame_is_the_same_in_all_classes(family: str):
    """From equal random numbers; so its distribution is the same, too."""
    video = ProceduralVideo(dataclasses.replace(SMALL, families=(family,)), seed=5)
    groups: dict[bytes, int] = {}
    for place in range(3):
        clips = all_classes(video, place)
        for clip in clips:
            key = bytes(clip[:, 0].numpy())
            groups[key] = groups.get(key, 0) + 1
        assert (clips[:, :, 0] != clips[:, :, -1]).any()
    names = video.class_names
    if family == "long_range":  # lamps stand apart, so they have a first frame of their own
        assert sorted(groups.values()) == sorted([2, len(names) - 2] * 3)
    else:
        assert list(groups.values()) == [len(names)] * 3


def test_places_are_spread_alike_in_every_frame_and_class():
    """On a torus a uniform place stays uniform; shown by a chi-squared test of a 3 × 3 grid."""
    video = ProceduralVideo(dataclasses.replace(SMALL, families=ALIKE), seed=0)
    places = torch.arange(400)
    random = KeyedRandom.of(0, 0, places)
    for label in range(len(video.class_names)):
        cast = video._cast(label, sample_cast(random.fork("cast"), ProceduralSpec()), random)
        for moment in (0, 3 * SUBSTEPS, 7 * SUBSTEPS):
            spot = ((cast.xy[:, 0, moment] + 0.5) % 1.0 * 3).long().clamp(0, 2)
            cells = torch.bincount(spot[:, 0] * 3 + spot[:, 1], minlength=9).float()
            expected = len(places) / 9
            # 8 degrees of freedom: above 35 in one of 40,000 random.
            assert ((cells - expected) ** 2 / expected).sum() < 35, video.class_names[label]


@pytest.mark.slow
def test_frozen_clips_show_one_of_their_frames():
    video = ProceduralVideo(SMALL, seed=0)
    moving, still = video.batch(0, 12), video.batch(0, 12, frozen=True)
    assert torch.equal(moving.labels, still.labels)
    assert bool((still.clips == still.clips[:, :, :1]).all())
    found = (moving.clips == still.clips).flatten(3).all(-1).all(1)  # (B, T)
    assert bool(found.any(1).all())
    assert len(found.float().argmax(1).unique()) > 3


@pytest.mark.slow
def test_open_shutters_blur_what_moves():
    spec = dataclasses.replace(SMALL, families=("motion",), background_motion=0.0)
    sharp, blurred = (
        ProceduralVideo(dataclasses.replace(spec, motion_blur=share), seed=0).batch(0, 10).clips
        for share in (0.0, 1.0)
    )
    rough, smooth = (clips.float().diff(dim=-1).abs().mean() for clips in (sharp, blurred))
    assert smooth < rough
    assert (sharp != blurred).any()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"families": ("motions",)}, "motions"),
        ({"families": ()}, "families"),
        ({"num_frames": 3}, "num_frames"),
        ({"size": 33}, "size"),
        ({"clutter": 1.5}, "clutter"),
        ({"speed": float("nan")}, "speed"),
    ],
)
def test_what_is_out_of_range_is_named(values: dict, word: str):
    with pytest.raises(UserError, match=word):
        ProceduralSpec(**values)


def test_a_spec_goes_through_json():
    spec = ProceduralSpec(families=("motion", "order"), classes=("spin_clockwise", "grow"), size=64)
    assert "classes" not in SMALL.to_dict()  # folders drawn before there was a choice go on
    assert json.loads(json.dumps(spec.to_dict()))["classes"] == ["spin_clockwise", "grow"]
    assert ProceduralSpec.from_dict(spec.to_dict()) == spec
    with pytest.raises(UserError, match="colour"):
        ProceduralSpec.from_dict({"colour": 1})
    with pytest.raises(UserError, match="index"):
        ProceduralVideo(spec).batch(-1, 2)


@pytest.mark.gpu
def test_a_gpu_draws_the_same():
    here, there = (ProceduralVideo(SMALL, seed=0, device=d).batch(3, 8) for d in ("cpu", "cuda"))
    assert torch.equal(here.labels, there.labels.cpu())
    assert (here.clips.int() - there.clips.cpu().int()).abs().float().mean() < 0.5

"""Clips to calibrate on: drawn by seed, read as evaluation does, unreadable ones named."""

import dataclasses

import pytest
import torch

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.loading.dataset import ClipDataset, ClipFailure
from video_mobile_former.data.transforms import normalize
from video_mobile_former.errors import DataError, UserError
from video_mobile_former.export.quantize import sample_calibration

SPEC = ClipSpec(num_frames=4, resize_size=32, crop_size=32)


@pytest.mark.slow
def test_clips_are_those_of_evaluation_in_an_order_drawn_by_the_seed(procedural_index):
    found = sample_calibration(procedural_index, SPEC, num_clips=8, seed=3)
    assert found.clips.shape == (8, 3, 4, 32, 32)
    assert found.clips.dtype == torch.uint8
    dataset = ClipDataset(procedural_index.split("train"), SPEC, train=False)
    samples = [dataset[i] for i in range(len(dataset))]
    known = [sample["clip"][0] for sample in samples if not isinstance(sample, ClipFailure)]
    places = [
        next(i for i, clip in enumerate(known) if torch.equal(clip, wanted))
        for wanted in found.clips
    ]
    assert len(set(places)) == 8
    again = sample_calibration(procedural_index, SPEC, num_clips=8, seed=3)
    assert torch.equal(found.clips, again.clips)
    other = sample_calibration(procedural_index, SPEC, num_clips=8, seed=4)
    assert not torch.equal(found.clips, other.clips)
    assert found.to_dict() == {
        "data": procedural_index.source,
        "split": "train",
        "num_clips": 8,
        "seed": 3,
        "excluded": [],
    }


@pytest.mark.slow
def test_another_split_can_be_named_and_a_missing_one_is(procedural_index):
    found = sample_calibration(procedural_index, SPEC, num_clips=8, split="test")
    assert found.split == "test"
    with pytest.raises(DataError, match="no split 'val'"):
        sample_calibration(procedural_index, SPEC, num_clips=8, split="val")


def test_data_without_splits_is_taken_whole(procedural_index):
    clips = [dataclasses.replace(clip, split=None) for clip in procedural_index.clips]
    index = ClipIndex(clips, procedural_index.class_names, "folder")
    found = sample_calibration(index, SPEC, num_clips=24)
    assert found.split is None
    assert len(found.clips) == 24


def test_fewer_clips_than_wanted_are_all_taken_and_said(procedural_index, capsys):
    found = sample_calibration(procedural_index, SPEC, num_clips=40)
    assert len(found.clips) == 16
    assert "calibrating on all 16 clips, not on 40" in capsys.readouterr().err


def test_an_unreadable_clip_is_named_and_another_one_drawn(with_broken, capsys):
    found = sample_calibration(with_broken(16, 2), SPEC, num_clips=16)
    assert len(found.clips) == 16
    told = capsys.readouterr().err
    assert sorted(name.split(":")[0] for name in found.excluded) == ["broken0.mp4", "broken1.mp4"]
    for name in ("broken0.mp4", "broken1.mp4"):
        assert f"calibration goes on without {name}: " in told


def test_mostly_unreadable_clips_are_refused(with_broken):
    with pytest.raises(DataError, match=r"9 of 17 clips .* cannot be read: broken\d\.mp4: "):
        sample_calibration(with_broken(8, 9), SPEC, num_clips=17)


def test_too_few_readable_clips_are_refused(with_broken):
    with pytest.raises(DataError, match="1 of 8 clips"):
        sample_calibration(with_broken(7, 1), SPEC, num_clips=8)


def test_too_few_clips_are_refused_before_any_is_read(with_broken):
    with pytest.raises(DataError, match=r"clips.csv \(train\): 5 clips are too few"):
        sample_calibration(with_broken(5, 0), SPEC)
    with pytest.raises(UserError, match="num_clips must be at least 8, not 4"):
        sample_calibration(with_broken(16, 0), SPEC, num_clips=4)


@pytest.mark.parametrize("layout", ["BCTHW", "BTHWC", "(BT)CHW"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_inputs_are_what_the_graph_takes(procedural_index, layout, dtype):
    found = sample_calibration(procedural_index, SPEC, num_clips=8)
    inputs = found.inputs(SPEC, layout=layout, dtype=dtype)
    assert len(inputs) == len(list(inputs)) == 8
    wanted = found.clips[5] if dtype == "uint8" else normalize(found.clips[5], SPEC)
    if layout == "BCTHW":
        assert torch.equal(inputs[5][0], wanted)
        assert inputs[5].shape == (1, 3, 4, 32, 32)
    elif layout == "BTHWC":
        assert torch.equal(inputs[5][0], wanted.permute(1, 2, 3, 0))
    else:
        assert torch.equal(inputs[5], wanted.transpose(0, 1))
    assert inputs[5].is_contiguous()
    part = inputs[5:7]
    assert len(part) == 2
    assert torch.equal(part[0], inputs[5])

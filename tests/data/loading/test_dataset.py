from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from video_files import read_number, write_video
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.loading.batches import collate
from video_mobile_former.data.loading.dataset import ClipDataset, ClipFailure, ClipSample
from video_mobile_former.data.transforms import TrainTransform, augment
from video_mobile_former.data.video.reader import VideoReader

SPEC = ClipSpec(num_frames=4, crop_size=48, resize_size=56)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> ClipIndex:
    root = tmp_path_factory.mktemp("clips")
    clips = [
        Clip(str(write_video(root / f"{i}.mp4", count)), labels=(i % 2,), name=f"{i}.mp4")
        for i, count in enumerate((40, 30, 3, 50))
    ]
    text = root / "text.mp4"
    text.write_text("no video " * 100)
    clips.append(Clip(str(text), labels=(0,), name="text.mp4"))
    clips.append(Clip(clips[3].path, labels=(1,), name="3.mp4", start_seconds=0.5, end_seconds=1.0))
    clips.append(Clip(clips[3].path, labels=(1,), name="3.mp4", start_seconds=5.0, end_seconds=6.0))
    return ClipIndex(tuple(clips), ("a", "b"), "clips")


def good(item: ClipSample | ClipFailure) -> ClipSample:
    assert not isinstance(item, ClipFailure), item
    return item


def shown(sample: ClipSample) -> list[int]:
    """Numbers of the frames of the first view; the crop must show the whole width."""
    return [read_number(p.permute(1, 2, 0).numpy()) for p in sample["clip"][0].transpose(0, 1)]


class WholeFrame:
    """A transform that leaves the picture as it is."""

    decode_size = 64
    enlarge = True

    def __call__(self, clip: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return clip


def test_training_item(index: ClipIndex):
    dataset = ClipDataset(index, SPEC, train=True)
    sample = good(dataset[3])
    assert sample["clip"].shape == (1, 3, 4, 48, 48)
    assert sample["clip"].dtype == torch.uint8
    assert sample["clip"].is_contiguous()
    assert (sample["label"], sample["index"], sample["padded"]) == (1, 3, False)


def test_items_depend_on_seed_epoch_and_clip_alone(index: ClipIndex):
    transform = TrainTransform(SPEC, color_jitter=0.3)

    def item(seed: int, epoch: int, i: int) -> bytes:
        dataset = ClipDataset(index, SPEC, train=True, transform=transform, seed=seed)
        torch.manual_seed(int(torch.randint(1000, ())))
        np.random.seed(torch.initial_seed() % 1000)
        return good(dataset[epoch, i])["clip"].numpy().tobytes()

    drawn = {(s, e, i): item(s, e, i) for s in (0, 1) for e in (0, 1) for i in (0, 1)}
    assert len(set(drawn.values())) == 8
    assert all(item(*key) == value for key, value in drawn.items())
    dataset = ClipDataset(index, SPEC, train=True, transform=transform)
    assert good(dataset[1])["clip"].numpy().tobytes() == drawn[0, 0, 1]


def test_right_frames_in_order(index: ClipIndex):
    dataset = ClipDataset(index, SPEC, train=False, transform=WholeFrame())
    assert shown(good(dataset[0])) == [5, 15, 25, 35]
    assert shown(good(dataset[5])) == [15 + n for n in (1, 5, 9, 13)]
    assert shown(good(dataset[2])) == [0, 1, 2, 2]
    assert good(dataset[2])["padded"]
    dense = ClipSpec(num_frames=4, crop_size=48, resize_size=56, sampling="dense", stride=5)
    dataset = ClipDataset(index, dense, train=False, transform=WholeFrame(), num_views=2)
    sample = good(dataset[0])
    assert sample["clip"].shape == (2, 3, 4, 64, 96)
    assert shown(sample) == [0, 5, 10, 15]


def test_random_frames_in_order(index: ClipIndex):
    dataset = ClipDataset(index, SPEC, train=True, transform=WholeFrame())
    seen = [shown(good(dataset[epoch, 0])) for epoch in range(12)]
    assert all(10 * k <= n < 10 * k + 10 for clip in seen for k, n in enumerate(clip))
    assert len({tuple(clip) for clip in seen}) > 6


def test_views_and_crops(index: ClipIndex):
    dataset = ClipDataset(index, SPEC, train=False, num_views=2, num_crops=3)
    both = good(dataset[0])["clip"]
    assert both.shape == (6, 3, 4, 48, 48)
    single = good(ClipDataset(index, SPEC, train=False, num_views=2)[0])["clip"]
    assert single.shape == (2, 3, 4, 48, 48)
    # Crops of a view lie together, the centre in the middle.
    assert torch.equal(both[[1, 4]], single)


def test_failures_are_values(index: ClipIndex):
    dataset = ClipDataset(index, SPEC, train=False)
    failure = dataset[4]
    assert isinstance(failure, ClipFailure)
    assert (failure.index, failure.path) == (4, "text.mp4")
    assert str(failure).startswith("text.mp4: not a video file")
    late = dataset[6]
    assert isinstance(late, ClipFailure)
    assert late.reason == "no frames from 5 s to 6 s; the last one appears at 1.63 s"
    # Failures cross from worker processes.
    assert pickle.loads(pickle.dumps(failure)) == failure  # noqa: S301 (our own bytes)


def test_a_file_that_vanishes_is_a_failure(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 5)
    index = ClipIndex((Clip(str(path), (0,), name="a.mp4"),), ("a",), "clips")
    dataset = ClipDataset(index, SPEC, train=False)
    good(dataset[0])
    path.unlink()
    assert dataset[0] == ClipFailure(0, "a.mp4", "no such file")


def test_collate(index: ClipIndex):
    dataset = ClipDataset(index, SPEC, train=False)
    batch = collate([dataset[i] for i in (2, 4, 1)])
    assert batch["clips"].shape == (2, 1, 3, 4, 48, 48)
    assert batch["labels"].tolist() == [0, 1]
    assert batch["labels"].dtype == torch.int64
    assert batch["indices"].tolist() == [2, 1]
    assert [failure.path for failure in batch["failures"]] == ["text.mp4"]
    assert batch["padded"] == [2]
    nothing = collate([dataset[4], dataset[6]])
    assert nothing["clips"].shape[0] == len(nothing["labels"]) == len(nothing["indices"]) == 0
    assert len(nothing["failures"]) == 2


def test_wrong_arguments(index: ClipIndex):
    with pytest.raises(ValueError, match="start at 1"):
        ClipDataset(index, SPEC, train=False, num_views=0)
    with pytest.raises(ValueError, match="one view and one crop"):
        ClipDataset(index, SPEC, train=True, num_crops=3)
    with pytest.raises(IndexError, match="clip 7 of 7"):
        ClipDataset(index, SPEC, train=False)[7]


def test_labels(index: ClipIndex):
    assert ClipDataset(index, SPEC, train=False).labels.tolist() == [0, 1, 0, 1, 0, 1, 1]


def test_clips_of_several_classes(index: ClipIndex):
    clips = [
        dataclasses.replace(index.clips[0], labels=(2, 0)),
        dataclasses.replace(index.clips[1], labels=()),
        dataclasses.replace(index.clips[4], labels=(1,)),
    ]
    dataset = ClipDataset(
        ClipIndex(clips, ("a", "b", "c"), "clips", multi_label=True), SPEC, train=False
    )
    batch = collate([dataset[0], dataset[1], dataset[2]])
    assert batch["labels"].dtype == torch.float32
    assert batch["labels"].tolist() == [[1, 0, 1], [0, 0, 0]]
    assert len(batch["failures"]) == 1
    assert len(collate([dataset[2]])["labels"]) == 0
    assert dataset.targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


# Repeats, and changes left to the device

CHANGES = TrainTransform(
    SPEC, color_jitter=0.4, grayscale_probability=0.3, randaugment_ops=3, erase_probability=0.5
)


def test_repeats_decode_once(index: ClipIndex, monkeypatch: pytest.MonkeyPatch):
    calls = []
    read = VideoReader.frames

    def frames(self: VideoReader, *args: Any, **options: Any) -> torch.Tensor:
        calls.append(args)
        return read(self, *args, **options)

    monkeypatch.setattr(VideoReader, "frames", frames)
    dataset = ClipDataset(index, SPEC, train=True, transform=CHANGES, repeats=3)
    sample = good(dataset[2, 0])
    assert len(calls) == 1
    assert sample["clip"].shape == (3, 3, 4, 48, 48)
    assert len({clip.numpy().tobytes() for clip in sample["clip"]}) == 3
    # The first is what a run without repeats sees; more repeats leave the others as they are.
    single = good(ClipDataset(index, SPEC, train=True, transform=CHANGES)[2, 0])
    assert torch.equal(sample["clip"][:1], single["clip"])
    more = good(ClipDataset(index, SPEC, train=True, transform=CHANGES, repeats=4)[2, 0])
    assert torch.equal(sample["clip"], more["clip"][:3])


def test_repeats_show_the_same_frames(index: ClipIndex):
    dataset = ClipDataset(index, SPEC, train=True, transform=WholeFrame(), repeats=2)
    sample = good(dataset[0, 0])
    assert torch.equal(sample["clip"][0], sample["clip"][1])


@pytest.mark.parametrize("repeats", [1, 2])
def test_changes_now_or_later(index: ClipIndex, repeats: int):
    now, later = (
        ClipDataset(index, SPEC, train=True, transform=CHANGES, repeats=repeats, augment_later=wait)
        for wait in (False, True)
    )
    batches = [collate([dataset[1, i] for i in (0, 4, 1, 3)]) for dataset in (now, later)]
    assert "parameters" not in batches[0]
    assert "parameters" in batches[1]
    assert batches[1]["parameters"].color.shape == (3, repeats, 4)
    clips = batches[1]["clips"].flatten(0, 1).transpose(1, 2)
    done = augment(clips, batches[1]["parameters"].flatten()).transpose(1, 2)
    assert torch.equal(done, batches[0]["clips"].flatten(0, 1))
    assert not torch.equal(batches[0]["clips"], batches[1]["clips"])
    assert "parameters" not in collate([later[0, 4]])


@pytest.mark.parametrize(
    "options",
    [
        {"train": True, "repeats": 0},
        {"train": False, "repeats": 2},
        {"train": True, "augment_later": True, "transform": WholeFrame()},
        {"train": False, "augment_later": True},
    ],
)
def test_repeats_and_later_are_for_training(index: ClipIndex, options: dict[str, Any]):
    with pytest.raises(ValueError, match=r"repeats|augment_later"):
        ClipDataset(index, SPEC, **options)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.loading import whole_videos
from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.loading.sampling import full_views
from video_mobile_former.procedural.write import write_video

LENGTHS = (3, 23, 9, 14)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> ClipIndex:
    folder = tmp_path_factory.mktemp("lengths")
    clips = []
    for i, length in enumerate(LENGTHS):
        path = folder / f"{length}.mp4"
        levels = torch.linspace(0, 255, length).to(torch.uint8)
        write_video(
            path, levels[:, None, None, None].expand(length, 3, 32, 32).contiguous(), fps=10
        )
        clips.append(Clip(path=str(path), labels=(i % 2,), name=path.name))
    return ClipIndex(clips=tuple(clips), class_names=("a", "b"), source="clips.csv")


def spec_of(how: str) -> ClipSpec:
    values = {"num_frames": 2, "resize_size": 32, "crop_size": 32, "stride": 1, "stride_fps": 10.0}
    return ClipSpec.from_dict({**values, "sampling": how})


@pytest.mark.parametrize("how", ["dense", "uniform"])
@pytest.mark.parametrize("num_crops", [1, 3])
def test_parts_together_are_all_views_in_order(
    index: ClipIndex, monkeypatch: pytest.MonkeyPatch, how: str, num_crops: int
) -> None:
    monkeypatch.setattr(whole_videos, "FRAMES_AT_ONCE", 2 * num_crops * 3)
    spec = spec_of(how)
    found: dict[int, list[torch.Tensor]] = {i: [] for i in range(len(LENGTHS))}
    order = []
    for batch in whole_videos.whole_videos(index, spec, num_crops=num_crops, num_workers=0):
        (i,) = batch["indices"].tolist()
        assert batch["clips"].shape[1] <= 3 * num_crops
        assert batch["labels"].tolist() == [i % 2]
        found[i].append(batch["clips"][0])
        order.append(i)
    assert order == [0, 1, 2, 3, 1, 1, 1, 2, 3, 3]
    for i, length in enumerate(LENGTHS):
        count = full_views(np.arange(length) / 10, spec)
        assert count == -(-length // 2)
        whole = ClipDataset(index, spec, train=False, num_views=count, num_crops=num_crops)[i]
        assert isinstance(whole, dict)
        assert torch.equal(torch.cat(found[i]), whole["clip"])


def test_a_clip_longer_than_a_part_is_still_taken(
    index: ClipIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_videos, "FRAMES_AT_ONCE", 1)
    short = ClipIndex(index.table.take(np.array([2])), index.class_names, index.source)
    batches = list(whole_videos.whole_videos(short, spec_of("dense"), num_workers=0))
    assert [batch["clips"].shape[1] for batch in batches] == [1] * 5


def test_a_file_that_cannot_be_read_comes_as_a_failure(index: ClipIndex, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    clips = (*index.clips[:1], Clip(path=str(bad), labels=(0,), name="bad.mp4"))
    broken = ClipIndex(clips, index.class_names, index.source)
    first, second = whole_videos.whole_videos(broken, spec_of("dense"), num_workers=0)
    assert first["failures"] == []
    assert [failure.path for failure in second["failures"]] == ["bad.mp4"]

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.loading.dataset import Batch, ClipFailure
from video_mobile_former.errors import CheckpointError, UserError, VideoError
from video_mobile_former.evaluation.views import freeze, score_clips
from video_mobile_former.inference.scorer import Average, Scorer


def ramp(step: int) -> torch.Tensor:
    """``(1, 3, 4, 32, 32)`` uint8: brightness changes by ``step`` from frame to frame."""
    levels = (120 + step * torch.arange(4)).to(torch.uint8)
    return levels[None, None, :, None, None].expand(1, 3, 4, 32, 32)


def batch(first: int, *steps: int, failures: list[ClipFailure] | None = None) -> Batch:
    return Batch(
        clips=torch.stack([ramp(step) for step in steps]),
        labels=torch.tensor([int(step > 0) for step in steps]),
        indices=torch.arange(first, first + len(steps)),
        failures=failures or [],
        padded=[first],
    )


INDEX = ClipIndex(
    clips=tuple(Clip(path=f"/data/{i}.mp4", labels=(0,), name=f"{i}.mp4") for i in range(3)),
    class_names=("falling", "rising"),
    source="clips.csv",
)


def test_all_clips_are_scored_in_order(motion_model: Callable) -> None:
    scorer = Scorer(motion_model(INDEX.class_names), device="cpu")
    found = score_clips(scorer, [batch(0, 20, -20), batch(2, 10)], INDEX)
    assert found.probabilities.argmax(1).tolist() == [1, 0, 1]
    assert found.labels.tolist() == [1, 0, 1]
    assert found.num_padded == 2
    assert found.seconds > 0


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_a_video_may_come_in_parts(motion_model: Callable, average: Average) -> None:
    scorer = Scorer(motion_model(INDEX.class_names), device="cpu", average=average)
    views = torch.stack([ramp(step)[0] for step in (3, -1, 1, 2, -2)])[None]
    rest = batch(1, 20, -20)
    whole = batch(0, 0)
    whole["clips"] = views
    parts = [batch(0, 0), batch(0, 0)]
    parts[0]["clips"], parts[1]["clips"] = views[:, :3], views[:, 3:]
    parts[1]["padded"] = []
    once = score_clips(scorer, [whole, rest], INDEX)
    apart = score_clips(scorer, [parts[0], rest, parts[1]], INDEX)
    torch.testing.assert_close(apart.probabilities, once.probabilities)
    torch.testing.assert_close(apart.probabilities[0], scorer(views)[0])
    assert apart.labels.tolist() == once.labels.tolist() == [0, 1, 0]
    assert (apart.mean_views, apart.num_padded) == (once.mean_views, once.num_padded) == (7 / 3, 2)


@pytest.mark.parametrize("k", [0, 3])
def test_frozen_clips_have_no_motion_left(motion_model: Callable, k: int) -> None:
    clips = torch.arange(4, dtype=torch.uint8)[:, None, None].expand(2, 1, 3, 4, 5, 6)
    frozen = freeze(clips, k)
    assert frozen.shape == clips.shape
    assert frozen.unique().tolist() == [k]
    scorer = Scorer(motion_model(INDEX.class_names), device="cpu")
    found = score_clips(scorer, [batch(0, 20, -20, 10)], INDEX, freeze_frames=k)
    assert found.probabilities.argmax(1).tolist() == [0, 0, 0]


@pytest.mark.parametrize("k", [-1, 4])
def test_a_frame_that_is_not_there_is_refused(motion_model: Callable, k: int) -> None:
    scorer = Scorer(motion_model(INDEX.class_names), device="cpu")
    with pytest.raises(UserError, match=f"between 0 and 3 for clips of 4 frames, not {k}"):
        score_clips(scorer, [batch(0, 1)], INDEX, freeze_frames=k)


def test_a_bad_file_is_left_out_and_told(motion_model: Callable) -> None:
    bad = ClipFailure(1, "1.mp4", "no video stream")
    scorer = Scorer(motion_model(INDEX.class_names), device="cpu")
    found = score_clips(scorer, [batch(0, -20, failures=[bad]), batch(2, 20)], INDEX)
    assert (found.failures, found.kept) == ((bad,), (0, 2))
    assert found.probabilities.argmax(1).tolist() == found.labels.tolist() == [0, 1]
    assert found.mean_views == 1


def test_a_video_of_which_a_later_part_is_bad_is_excluded(motion_model: Callable) -> None:
    bad = ClipFailure(0, "0.mp4", "damaged")
    last = batch(2, 20, failures=[bad])
    scorer = Scorer(motion_model(INDEX.class_names), device="cpu")
    found = score_clips(scorer, [batch(0, 20, 20), last], INDEX)
    assert (found.failures, found.kept) == ((bad,), (1, 2))
    assert len(found.probabilities) == len(found.labels) == 2


def test_more_than_half_of_bad_files_stop_it(motion_model: Callable) -> None:
    failures = [ClipFailure(i, f"{i}.mp4", "no video stream") for i in (1, 0)]
    empty = batch(0, 0, failures=failures)
    empty["clips"] = torch.empty((0, 0, 3, 0, 0, 0), dtype=torch.uint8)
    empty["indices"], empty["padded"] = torch.empty(0, dtype=torch.int64), []
    scorer = Scorer(motion_model(INDEX.class_names), device="cpu")
    with pytest.raises(VideoError) as error:
        score_clips(scorer, [empty], INDEX)
    assert (error.value.path, error.value.reason) == (
        "0.mp4",
        "no video stream (2 of 3 clips cannot be read)",
    )


def test_a_disk_that_is_gone_stops_it_early(motion_model: Callable) -> None:
    read = 0

    def gone() -> Iterator[Batch]:
        nonlocal read
        for i in range(1000):
            empty = batch(0, 0, failures=[ClipFailure(i, f"{i}.mp4", "no such file")])
            empty["indices"], empty["padded"] = torch.empty(0, dtype=torch.int64), []
            read += 1
            yield empty

    index = ClipIndex([INDEX.clips[0]] * 1000, INDEX.class_names, "many.csv")
    with pytest.raises(VideoError, match=r"^0\.mp4: no such file \(20 of 1000 clips"):
        score_clips(Scorer(motion_model(INDEX.class_names), device="cpu"), gone(), index)
    assert read == 20


def test_a_head_of_another_size_is_refused(motion_model: Callable) -> None:
    scorer = Scorer(motion_model(None, num_classes=3), device="cpu")
    with pytest.raises(CheckpointError, match=r"3 classes, clips\.csv has 2"):
        score_clips(scorer, [batch(0, 20)], INDEX)


def test_scores_that_are_no_numbers_are_refused_with_the_clip(motion_model: Callable) -> None:
    model = motion_model(INDEX.class_names)
    model.linear.weight.data.fill_(float("inf"))
    with pytest.raises(CheckpointError, match=r"scores for 0\.mp4 are not finite"):
        score_clips(Scorer(model, device="cpu"), [batch(0, 20)], INDEX)

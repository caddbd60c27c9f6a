from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from video_mobile_former import create_model
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.index.measurable import measurable
from video_mobile_former.data.loading.dataset import ClipDataset, ClipFailure
from video_mobile_former.errors import DataError, UserError, VideoError
from video_mobile_former.evaluation import Evaluation, evaluate, write_report

MOTIONS = ("falling", "rising")


def test_accuracy_and_every_clip(evaluation: Evaluation) -> None:
    assert evaluation.metrics.num_correct == 5
    assert evaluation.metrics.confusion_matrix == ((3, 0), (1, 2))
    assert [clip.correct for clip in evaluation.clips] == [True] * 5 + [False]
    wrong = evaluation.wrong_clips()
    assert [(c.name, c.true, c.predicted) for c in wrong] == [("5.mp4", "rising", "falling")]
    assert wrong[0].score > 0.5 > wrong[0].true_score
    assert wrong[0].score + wrong[0].true_score == pytest.approx(1, abs=1e-5)
    assert evaluation.class_names == MOTIONS


def test_how_it_was_measured(evaluation: Evaluation) -> None:
    method = evaluation.method
    assert (method.model, method.data, method.split) == ("runs/x/best", "motions.csv", "test")
    assert (method.num_clips, method.num_padded) == (6, 0)
    assert method.class_order_checked
    assert method.versions["torch"] == torch.__version__
    assert evaluation.notes == ()


def test_cost_is_that_of_all_views(motion_index: ClipIndex, motion_model: Callable) -> None:
    model = motion_model(MOTIONS, sampling="dense", stride=1, stride_fps=10.0)
    found = evaluate(
        model, motion_index, num_views=2, num_crops=3, num_workers=0, device="cpu", batch_size=4
    )
    # One Linear(1, 2): two multiply-accumulates and four parameters.
    assert found.cost.macs_per_view == 2
    assert found.cost.total_views == 6
    assert found.cost.total_macs == 12
    assert found.cost.parameters == 4
    assert found.metrics.num_correct == 5


def test_frozen_clips_are_at_chance_and_it_is_said(
    motion_index: ClipIndex, motion_model: Callable
) -> None:
    found = evaluate(
        motion_model(MOTIONS), motion_index, freeze_frames=2, num_workers=0, device="cpu"
    )
    assert found.metrics.confusion_matrix == ((3, 0), (3, 0))
    assert found.method.freeze_frames == 2
    assert "every frame was replaced by sampled frame 2" in found.notes[0]


def test_the_model_is_not_changed(motion_index: ClipIndex, motion_model: Callable) -> None:
    model = motion_model(MOTIONS).train()
    evaluate(model, motion_index, num_workers=0, device="cpu")
    assert model.training
    assert model.linear.weight.requires_grad


def with_splits(index: ClipIndex, *splits: str | None) -> ClipIndex:
    clips = (dataclasses.replace(c, split=s) for c, s in zip(index.clips, splits, strict=True))
    return dataclasses.replace(index, clips=tuple(clips))


def test_a_split_is_chosen_and_unseen_clips_are_told_from_seen_ones(
    motion_index: ClipIndex, motion_model: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    index = with_splits(motion_index, "train", "train", "test", "test", "test", "val")
    found = evaluate(motion_model(MOTIONS), index, split="test", num_workers=0, device="cpu")
    assert (found.method.split, found.method.num_clips) == ("test", 3)
    assert found.notes == ()
    assert capsys.readouterr().err == ""
    found = evaluate(motion_model(MOTIONS), index, num_workers=0, device="cpu")
    assert (found.method.split, found.method.num_clips) == (None, 6)
    assert "Training clips are among those measured (2 of 6)" in found.notes[0]
    assert "Training clips" in capsys.readouterr().err
    with pytest.raises(DataError, match="no split 'dev'"):
        evaluate(
            motion_model(MOTIONS), with_splits(index, *["test"] * 6), split="dev", num_workers=0
        )


def listed(index: ClipIndex, folder: Path, labels: Sequence[str], splits: Sequence[str]) -> Path:
    """A list of the clips of an index."""
    rows = zip((clip.path for clip in index.clips), labels, splits, strict=True)
    table = folder / "clips.csv"
    table.write_text("path,label,split\n" + "".join(f"{','.join(row)}\n" for row in rows), "utf-8")
    return table


@pytest.mark.slow
def test_of_a_list_the_clips_are_chosen_as_by_the_command(
    motion_index: ClipIndex,
    motion_model: Callable,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = [MOTIONS[clip.label] for clip in motion_index.clips]
    table = listed(motion_index, tmp_path, labels, ["train", "test"] * 3)
    # The class order is the model's, whatever it would be by name.
    run = partial(evaluate, motion_model(MOTIONS[::-1]), num_workers=0, device="cpu")
    found = run(table)
    assert (found.method.split, found.method.num_clips) == ("test", 3)
    assert found.class_names == MOTIONS[::-1]
    assert "measuring the test split" in capsys.readouterr().err
    assert run(str(table), split="all").method.num_clips == 6
    capsys.readouterr()
    chosen = measurable(table, class_names=MOTIONS[::-1], split="train")
    again = run(chosen)
    assert (again.method.split, again.method.num_clips) == ("train", 3)
    assert "measuring" not in capsys.readouterr().err


def test_of_a_list_a_multi_label_model_reads_several_classes(
    motion_index: ClipIndex, motion_model: Callable, tmp_path: Path
) -> None:
    model = motion_model(MOTIONS)
    model.multi_label = True
    labels = ["falling", "", "falling|rising", "rising", "rising", "falling"]
    table = listed(motion_index, tmp_path, labels, ["test"] * 6)
    found = evaluate(model, table, num_workers=0, device="cpu")
    assert found.to_dict()["task"] == found.metrics.task == "multi_label"
    assert [clip.true for clip in found.clips][1:3] == [(), MOTIONS]


def test_what_a_reader_must_know_is_noted(
    motion_index: ClipIndex, motion_model: Callable, tmp_path: Path
) -> None:
    clips = tuple(
        dataclasses.replace(clip, group=f"scene {i // 2}", labels=(0,))
        for i, clip in enumerate(motion_index.clips[:4])
    )
    index = dataclasses.replace(motion_index, clips=clips)
    found = evaluate(motion_model(None, num_frames=8), index, num_workers=0, device="cpu")
    text = "\n".join(found.notes)
    assert "The 4 clips come from 2 groups" in text
    assert "1 of 2 classes have no clip" in text
    assert "no class names" in text
    assert "4 of 4 videos are shorter than the model" in text
    assert not found.method.class_order_checked
    assert found.metrics.per_class[1].accuracy is None


def test_the_seed_of_the_training_is_told(motion_index: ClipIndex, motion_model: Callable) -> None:
    model = motion_model(MOTIONS)
    model.info = {"training": {"recipe": {"seed": 7}}}
    assert evaluate(model, motion_index, num_workers=0, device="cpu").method.training_seed == 7
    model.info = {"training": None}
    assert evaluate(model, motion_index, num_workers=0, device="cpu").method.training_seed is None


def test_class_order_is_checked_before_anything_is_read(
    motion_index: ClipIndex, motion_model: Callable
) -> None:
    with pytest.raises(DataError, match="position 0"):
        evaluate(motion_model(MOTIONS[::-1]), motion_index, num_workers=0)


@pytest.mark.parametrize("num_views", [1, "full"])
def test_a_bad_file_is_left_out_with_name_and_reason(
    num_views: Any, motion_index: ClipIndex, motion_model: Callable, tmp_path: Path
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    clips = list(motion_index.clips)
    clips[1] = dataclasses.replace(clips[1], path=str(text), name="text.mp4")
    index = dataclasses.replace(motion_index, clips=clips)
    run = partial(evaluate, motion_model(MOTIONS), num_workers=0, device="cpu")
    found = run(index, num_views=num_views, batch_size=1)
    assert (found.method.num_clips, found.metrics.num_clips) == (5, 5)
    assert found.metrics.confusion_matrix == ((2, 0), (1, 2))
    assert [clip.name for clip in found.clips] == ["0.mp4", "2.mp4", "3.mp4", "4.mp4", "5.mp4"]
    (bad,) = found.method.failures
    assert bad["name"] == "text.mp4"
    assert bad["start_seconds"] is bad["end_seconds"] is None
    assert bad["reason"] in found.notes[0]
    assert found.notes[0].startswith("1 of 6 clips could not be read and are excluded: text")
    assert found.to_dict()["method"]["failures"] == [bad]
    two = dataclasses.replace(index, clips=[clips[1]])
    with pytest.raises(VideoError, match=r"^text\.mp4: "):
        run(two)


@pytest.mark.parametrize("num_views", [1, "full"])
def test_bad_parts_of_a_file_cost_its_good_ones_nothing(
    num_views: Any,
    motion_index: ClipIndex,
    motion_model: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = motion_index.clips[0]
    parts = [dataclasses.replace(whole, name="long.mp4", start_seconds=0.0)] * 6
    index = dataclasses.replace(motion_index, clips=parts)
    read = ClipDataset.__getitem__

    def damaged(self: ClipDataset, key: Any) -> Any:
        i = key if isinstance(key, int) else key[-1]
        return ClipFailure(i, "long.mp4", "damaged") if i < 2 else read(self, key)

    monkeypatch.setattr(ClipDataset, "__getitem__", damaged)
    found = evaluate(
        motion_model(MOTIONS),
        index,
        num_views=num_views,
        num_workers=0,
        device="cpu",
        batch_size=1,
    )
    assert found.method.num_clips == 4
    assert len(found.method.failures) == 2


@pytest.mark.parametrize("name", ["num_views", "num_crops", "batch_size"])
def test_counts_start_at_one(motion_index: ClipIndex, motion_model: Callable, name: str) -> None:
    counts: dict[str, Any] = {name: 0}
    with pytest.raises(UserError, match=f"{name} must be at least 1, not 0"):
        evaluate(motion_model(MOTIONS), motion_index, **counts)


def test_no_clips_are_refused(motion_index: ClipIndex, motion_model: Callable) -> None:
    with pytest.raises(DataError, match="no clips to evaluate"):
        evaluate(motion_model(MOTIONS), dataclasses.replace(motion_index, clips=()))


@pytest.mark.slow
def test_the_real_model(motion_index: ClipIndex, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = create_model("vmf_500m", num_classes=2, num_frames=4, crop_size=32)
    model.class_names = MOTIONS
    found = evaluate(model, motion_index, num_views=2, num_workers=0, device="cpu")
    assert found.cost.parameters == sum(p.numel() for p in model.parameters())
    assert found.cost.total_macs == 2 * found.cost.macs_per_view > 10**6
    assert len(found.clips) == 6
    assert all(0.5 <= clip.score <= 1 for clip in found.clips)
    assert write_report(found, tmp_path / "report").is_file()


@pytest.mark.slow
def test_what_a_model_with_balanced_classes_was_trained_for_is_said(
    motion_index: ClipIndex, motion_model: Callable
) -> None:
    model = motion_model(MOTIONS)
    for recipe in ({"data": {"class_balanced": True}}, {"optim": {"class_weights": "balanced"}}):
        model.info = {"training": {"recipe": recipe}}
        found = evaluate(model, motion_index, num_workers=0, device="cpu")
        assert "mean per-class accuracy" in found.notes[0]
    model.info = {"training": {"recipe": {"optim": {"class_weights": "none"}}}}
    assert evaluate(model, motion_index, num_workers=0, device="cpu").notes == ()


def test_a_head_that_has_learned_no_classes_is_told(
    motion_index: ClipIndex, motion_model: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    model = motion_model(MOTIONS)
    model.info = {"training": {"recipe": {"pretrain": {"task": "masked_features"}}}}
    found = evaluate(model, motion_index, num_workers=0, device="cpu")
    assert "head is untrained" in found.notes[0]
    # Lines of a terminal are wrapped.
    assert "head is untrained" in " ".join(capsys.readouterr().err.split())


def test_full_coverage_tells_its_mean_cost(motion_index: ClipIndex, motion_model: Callable) -> None:
    # Five frames at 10 a second: dense clips of 2 frames need three.
    model = motion_model(MOTIONS, num_frames=2, sampling="dense", stride=1, stride_fps=10.0)
    found = evaluate(model, motion_index, num_views="full", num_workers=0, device="cpu")
    assert (found.method.num_views, found.method.full_views) == (3, True)
    assert found.cost.total_macs == 3 * found.cost.macs_per_view
    assert found.metrics.num_correct == 5
    assert "3 views" in found.summary()


@pytest.mark.slow
def test_other_frames_than_those_of_training(
    motion_index: ClipIndex, motion_model: Callable
) -> None:
    # Two neighbouring frames of five, the middle ones, against the first and last quarter.
    model = motion_model(MOTIONS, num_frames=2, stride_fps=10.0)
    run = partial(evaluate, model, motion_index, num_workers=0, device="cpu")
    as_it_is, dense = run(), run(sampling="dense", stride=1)
    assert as_it_is.notes == ()
    assert dense.method.clip == dataclasses.replace(model.clip, sampling="dense", stride=1)
    assert "not the model's own: dense: 2 frames, 0.1 s apart" in dense.notes[0]
    # The change from frame to frame is a half or less of what the ends of the clip differ by.
    surer = [clip.score for clip in as_it_is.clips]
    assert all(clip.score < sure for clip, sure in zip(dense.clips, surer, strict=True))
    assert run(sampling="uniform").to_dict()["clips"] == as_it_is.to_dict()["clips"]
    with pytest.raises(UserError, match="stride 2 has no meaning for uniform clips"):
        run(stride=2)
    with pytest.raises(UserError, match=r"clip\.stride must be .* at least 1, not 0"):
        run(sampling="dense", stride=0)

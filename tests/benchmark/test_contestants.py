"""From what a user types to what is measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from video_mobile_former.benchmark import Contestant, ModelChoice, prepare, time_contestants
from video_mobile_former.benchmark.contestants import example_clips, load_contestant
from video_mobile_former.benchmark.prepare import eager_forms, target_forms
from video_mobile_former.errors import UserError
from video_mobile_former.export.targets.table import get_target
from video_mobile_former.models import create_model
from video_mobile_former.profiling.cost import count_macs
from video_mobile_former.profiling.operators.eager import profile_eager

SMALL = ModelChoice.parse("vmf_500m@2x32")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vmf_6g", ("vmf_6g", None, None)),
        ("vmf_6g@16", ("vmf_6g", 16, None)),
        ("vmf_6g@16x160", ("vmf_6g", 16, 160)),
        ("runs/a@b/best", ("runs/a@b/best", None, None)),
        ("runs/a/best@8", ("runs/a/best", 8, None)),
    ],
)
def test_a_name_may_say_frames_and_size(text: str, expected: tuple) -> None:
    choice = ModelChoice.parse(text)
    assert (choice.name, choice.num_frames, choice.size) == expected
    assert choice.label == text


@pytest.mark.parametrize("at", ["abc", "0", "16x0", "16×160", ""])
def test_what_follows_a_name_must_be_frames_and_size(at: str) -> None:
    with pytest.raises(UserError, match=f"vmf_6g@{at}: after @ stand frames, .*, not '{at}'"):
        ModelChoice.parse(f"vmf_6g@{at}")


def test_options_hold_where_the_name_says_nothing(tmp_path: Path) -> None:
    choice = ModelChoice.parse("vmf_6g@16", num_frames=8, size=96)
    assert (choice.num_frames, choice.size) == (16, 96)
    folder = tmp_path / "best@8"
    folder.mkdir()
    assert ModelChoice.parse(str(folder)).name == str(folder)


@pytest.mark.slow
def test_fresh_weights_are_the_same_each_time_and_have_seen_data() -> None:
    first, second = SMALL.open(), SMALL.open()
    assert (first.clip.num_frames, first.clip.crop_size) == (2, 32)
    assert not first.training
    state = first.state_dict()
    for name, value in second.state_dict().items():
        assert torch.equal(state[name], value), name
    means = [value for name, value in state.items() if name.endswith("running_mean")]
    assert means
    assert all(bool((value != 0).any()) for value in means)


@pytest.mark.slow
def test_a_checkpoint_is_fed_other_clips(tmp_path: Path) -> None:
    model = create_model("vmf_500m", 3, num_frames=4, crop_size=64)
    model.save_pretrained(tmp_path / "best")
    opened = ModelChoice.parse(f"{tmp_path / 'best'}@2x32").open()
    assert (opened.clip.num_frames, opened.clip.crop_size) == (2, 32)
    assert torch.equal(opened.classifier.weight, model.classifier.weight)


@pytest.mark.parametrize("name", ["vmf_7g", "nowhere/best", "model.onnx"])
def test_what_does_not_exist_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=name):
        prepare([ModelChoice.parse(name)], folder=tmp_path)


def test_a_misspelt_name_is_told_before_anything_is_exported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="x3d_q"):
        prepare([SMALL, ModelChoice.parse("x3d_q@4")], runtimes=["onnx"], folder=tmp_path)
    with pytest.raises(UserError, match="missing"):
        prepare([SMALL, ModelChoice.parse("missing.onnx")], runtimes=["onnx"], folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_eager_contestants_and_their_cost(tmp_path: Path) -> None:
    found = prepare([SMALL], form="all", batches=[1, 4], folder=tmp_path)
    assert [(each.form, each.batch) for each in found] == [
        ("frames", 1),
        ("frames", 4),
        ("volume", 1),
        ("volume", 4),
    ]
    model = create_model("vmf_500m")
    assert found[0].macs == count_macs(model, (1, 3, 2, 32, 32))
    assert found[0].clip == (2, 32)
    assert tuple(example_clips(found[1]).shape) == (4, 3, 2, 32, 32)
    assert not list(tmp_path.iterdir())


def test_forms_of_eager_and_of_a_target() -> None:
    model = create_model("vmf_500m")
    assert eager_forms(model, "all") == ["frames", "volume"]
    assert eager_forms(model, "auto") == ["frames"]
    assert eager_forms(model, "volume") == ["volume"]
    model.set_form("volume")
    assert eager_forms(model, "auto") == ["volume"]
    onnx = get_target("onnx")
    assert target_forms(onnx, "auto") == [onnx.forms[0]]
    assert target_forms(onnx, "all") == list(onnx.forms)
    assert target_forms(onnx, "frames") == ["frames"]
    only_frames = dataclasses.replace(onnx, name="narrow", forms=("frames",))
    with pytest.raises(UserError, match="narrow runs the form frames, not volume"):
        target_forms(only_frames, "volume")


@pytest.mark.parametrize("runtime", ["onyx", "tensorrt"])
def test_an_unknown_runtime_is_named(runtime: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=runtime):
        prepare([SMALL], runtimes=[runtime], folder=tmp_path)


def test_batches_and_threads_begin_at_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="batch must be at least 1, not 0"):
        prepare([SMALL], batches=[0], folder=tmp_path)
    with pytest.raises(UserError, match="threads must be at least 1, not 0"):
        time_contestants([], threads=[0])


@pytest.mark.slow
def test_fused_and_unfused_are_what_they_say() -> None:
    eager = Contestant(SMALL, "eager", "volume", 1, (2, 32), 1)
    assert "not fused" not in eager.label
    plain = Contestant(SMALL, "eager", "volume", 1, (2, 32), 1, fused=False)
    assert "not fused" in plain.label
    threads = torch.get_num_threads()
    try:
        calls = {}
        for each in (eager, plain):
            run = load_contestant(each, 1)
            calls[each.fused] = {kind.kind for kind in profile_eager(run, passes=1).operators}
    finally:
        torch.set_num_threads(threads)
    assert any("batch_norm" in name for name in calls[False])
    assert not any("batch_norm" in name for name in calls[True])


@pytest.mark.slow
def test_a_stream_is_timed_step_by_step(tmp_path: Path) -> None:
    [stream] = prepare([ModelChoice.parse("vmf_500m_stream@8x32")], folder=tmp_path)
    assert (stream.streams, stream.clip) == (True, (4, 32))
    whole = count_macs(create_model("vmf_500m_stream"), (1, 3, 8, 32, 32))
    assert stream.macs == round(whole / 2)
    [row] = time_contestants([stream], rounds=5, seconds=0.1, memory=False)
    assert row["streams"] is True
    assert row["ms_per_frame"] == pytest.approx(row["ms_per_clip"] / 4, abs=1e-3)

"""Procedural clips as files: whole, reusable, the same whatever else is written."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from video_mobile_former.data.index.index import load_index
from video_mobile_former.errors import DataError, UserError
from video_mobile_former.procedural import ProceduralSpec, ProceduralVideo, write, write_procedural
from video_mobile_former.procedural.stream import BATCHES_A_BANK

SPEC = ProceduralSpec(
    families=("motion",), classes=("move_left", "grow"), size=32, num_frames=4, motion_blur=0.0
)
CLASSES = 2


def read(path: Path) -> Tensor:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def rows_of(index: Path) -> list[dict[str, str]]:
    with index.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*.mp4")
    }


@pytest.mark.slow
def test_written_clips_are_a_data_set(tmp_path: Path) -> None:
    index = write_procedural(tmp_path / "d", SPEC, {"train": 2, "test": 1}, fps=8)
    rows = rows_of(index)
    assert len(rows) == len(load_index(index).clips) == 3 * CLASSES
    assert {row["label"] for row in rows} == set(SPEC.classes)
    groups = {(row["group"], row["split"]) for row in rows}
    assert len(groups) == len({group for group, _ in groups}) == 3
    assert all(read(index.parent / row["path"]).shape == (4, 3, 32, 32) for row in rows)
    with av.open(str(index.parent / rows[0]["path"])) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 8


@pytest.mark.slow
def test_files_show_the_clip_and_equal_first_frames(tmp_path: Path) -> None:
    spec = ProceduralSpec(families=("motion",), size=64, num_frames=6, motion_blur=0.0)
    index = write_procedural(tmp_path, spec, {"test": 1}, seed=3)
    clips = {row["label"]: read(tmp_path / row["path"]) for row in rows_of(index)}
    video = ProceduralVideo(spec, seed=3)
    labels = torch.arange(len(video.class_names))
    made = video.draw(write._start_of("test"), torch.zeros_like(labels), labels).clips
    for name, clip in zip(video.class_names, made.transpose(1, 2), strict=True):
        assert (clips[name].float() - clip.float()).abs().mean() < 8  # chroma is halved in H.264
        assert torch.equal(clips[name][0], clips["grow"][0])


@pytest.mark.slow
def test_splits_do_not_depend_on_each_other(tmp_path: Path) -> None:
    first = write_procedural(tmp_path / "a", SPEC, {"train": 2, "test": 1}).parent
    second = write_procedural(tmp_path / "b", SPEC, {"test": 1}).parent
    name = "test/grow/0000.mp4"
    assert torch.equal(read(first / name), read(second / name))
    assert not torch.equal(read(first / name), read(first / "train/grow/0000.mp4"))


def test_no_two_splits_share_patterns_and_outlines() -> None:
    starts = [write._start_of(split) for split in ("train", "val", "test")]
    assert all(start % BATCHES_A_BANK == 0 for start in starts)
    assert min(abs(a - b) for a in starts for b in starts if a != b) > 10**6


@pytest.mark.slow
def test_complete_set_is_reused(tmp_path: Path) -> None:
    write_procedural(tmp_path, SPEC, {"train": 1})
    before = stamps(tmp_path)
    write_procedural(tmp_path, SPEC, {"train": 1})
    assert stamps(tmp_path) == before


@pytest.mark.slow
def test_interrupted_set_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video, calls = write.write_video, []

    def stops_midway(path: Path, clip: Tensor, *, fps: int) -> None:
        calls.append(path)
        if len(calls) == 4:
            path.write_bytes(b"half a file")
            raise KeyboardInterrupt
        write_video(path, clip, fps=fps)

    with monkeypatch.context() as patch:
        patch.setattr(write, "write_video", stops_midway)
        with pytest.raises(KeyboardInterrupt):
            write_procedural(tmp_path, SPEC, {"train": 3})
    before = stamps(tmp_path)
    assert len(before) == 3
    assert not (tmp_path / "clips.csv").exists()
    index = write_procedural(tmp_path, SPEC, {"train": 3})
    after = stamps(tmp_path)
    assert before.items() <= after.items()
    assert len(after) == len(rows_of(index)) == 3 * CLASSES
    whole = write_procedural(tmp_path / "whole", SPEC, {"train": 3}).parent
    name = "train/grow/0001.mp4"  # the scene that was half written is one scene
    assert torch.equal(read(tmp_path / name), read(whole / name))


@pytest.mark.slow
def test_other_arguments_replace_the_old_clips(tmp_path: Path) -> None:
    write_procedural(tmp_path, SPEC, {"train": 2, "val": 1})
    kept = tmp_path / "train" / "notes.txt"
    kept.write_text("not ours")
    index = write_procedural(tmp_path, SPEC, {"train": 1}, seed=1)
    assert {row["path"] for row in rows_of(index)} == set(stamps(tmp_path))
    assert kept.exists()
    assert json.loads((tmp_path / "procedural.json").read_text())["seed"] == 1


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").write_bytes(b"precious")
    with pytest.raises(DataError, match="other things"):
        write_procedural(tmp_path, SPEC, {"train": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.mp4"]


@pytest.mark.parametrize("text", ["{", "{}", '{"spec": {"colour": 1}}'])
def test_damaged_note_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "procedural.json").write_text(text)
    with pytest.raises(DataError, match=r"procedural\.json.*damaged"):
        write_procedural(tmp_path, SPEC, {"train": 1})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"clips_per_class": {}}, "clips_per_class"),
        ({"clips_per_class": {"train": 0}}, "clips_per_class"),
        ({"clips_per_class": {"../up": 1}}, "split"),
        ({"fps": 0}, "fps"),
    ],
)
def test_bad_arguments_write_nothing(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    arguments: dict[str, Any] = {"clips_per_class": {"train": 1}, **change}
    with pytest.raises(UserError, match=word):
        write_procedural(tmp_path / "d", SPEC, **arguments)
    assert not (tmp_path / "d").exists()

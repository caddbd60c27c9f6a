"""`vmf predict --attention`: videos of what the tokens look at, and what stops it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from exported import Written
from procedural_files import write_clips
from video_mobile_former.cli.main import main
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.models import create_model


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("attention")
    clips = write_clips(folder / "clips", {"test": 1}, size=80, num_frames=8)
    return sorted(clips.parent.rglob("*.mp4"))[:2]


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    capsys.readouterr()
    assert main(["predict", *map(str, argv)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.strip().splitlines()[-1]


@pytest.mark.slow
def test_one_file_and_a_folder_of_several(
    checkpoint: Path, videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "seen.mp4"
    argv = ["predict", str(checkpoint), str(videos[0]), "--attention", str(out)]
    assert main(argv) == 0
    with VideoReader(out) as reader:
        assert len(reader.timestamps()) == 4 + 1
    capsys.readouterr()
    assert main([*argv, "--attention_block", "1", "--json"]) == 0  # ours may be replaced
    results = json.loads(capsys.readouterr().out)
    assert results["results"][0]["attention"] == str(out)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    folder = tmp_path / "many"
    sources = [*map(str, videos), str(broken)]
    assert main(["predict", str(checkpoint), *sources, "--attention", str(folder)]) == 1
    # Both are called 0000.mp4, in two folders.
    assert {path.name for path in folder.iterdir()} == {"0000.mp4", "0000-2.mp4"}


@pytest.mark.slow
def test_what_cannot_be_shown_is_said_before_work_starts(
    checkpoint: Path,
    artefacts: Callable[..., Written],
    videos: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "seen.mp4"
    baseline = tmp_path / "x3d"
    create_model("x3d_xs", num_classes=2, num_frames=4, crop_size=32).save_pretrained(baseline)
    show = ("--attention", out)
    assert "no tokens" in refused(capsys, baseline, videos[0], *show)
    assert "artefact" in refused(capsys, artefacts(target="onnx").path, videos[0], *show)
    line = refused(capsys, checkpoint, videos[0], *show, "--attention_block", 0)
    assert "block 0" in line
    assert "-1, 1, 2" in line
    assert "--attention" in refused(capsys, checkpoint, videos[0], "--attention_block", 1)
    assert "folder" in refused(capsys, checkpoint, *videos, *show)
    assert ".mp4" in refused(capsys, checkpoint, videos[0], "--attention", tmp_path / "a.gif")
    line = refused(capsys, checkpoint, videos[0], "--attention", videos[0], "--overwrite")
    assert "one of the videos" in line
    out.write_text("mine")
    assert "not written by vmf" in refused(capsys, checkpoint, videos[0], *show)
    assert out.read_text() == "mine"

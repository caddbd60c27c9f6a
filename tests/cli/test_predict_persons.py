"""`vmf predict --boxes` and `--detector`: a line a person, and what stops it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onnx_detectors import write_detector
from video_files import write_video
from video_mobile_former.cli.main import main


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    capsys.readouterr()
    assert main(["predict", *map(str, argv)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.strip().splitlines()[-1]


@pytest.mark.slow
def test_a_line_for_each_person(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, boxes = tmp_path / "a.mp4", tmp_path / "boxes.csv"
    write_video(video, 30)
    rows = [f"{f},{1 + 30 * t},1,{25 + 30 * t},30,{t + 1}" for f in range(30) for t in range(2)]
    boxes.write_text("\n".join(["frame,x1,y1,x2,y2,track", *rows]))
    argv = ["predict", str(checkpoint), str(video), "--boxes", str(boxes)]
    assert main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["person", "1"], ["person", "2"]]
    assert main([*argv, "--json", "--top_k", "2"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert [one["track"] for one in result["persons"]] == [1, 2]
    assert [len(one["predictions"]) for one in result["persons"]] == [2, 2]


@pytest.mark.slow
def test_what_stops_it(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, boxes = tmp_path / "a.mp4", tmp_path / "boxes.csv"
    write_video(video, 8)
    boxes.write_text("frame,x1,y1,x2,y2\n99,1,1,9,9\n")
    detector = write_detector(tmp_path / "scores.onnx", "classifier")
    base = (checkpoint, video)
    assert "another video" in refused(capsys, *base, "--boxes", boxes)
    assert "no known detector" in refused(capsys, *base, "--detector", detector)
    assert "not both" in refused(capsys, *base, "--boxes", boxes, "--detector", detector)
    assert "needs --detector" in refused(capsys, *base, "--person", 1)
    assert "--num_crops" in refused(capsys, *base, "--boxes", boxes, "--num_crops", 3)
    assert "--json" in refused(capsys, *base, "--boxes", boxes, "--csv", tmp_path / "o.csv")

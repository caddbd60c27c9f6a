"""Lists of boxes: what they say, and one line for each way to be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from video_mobile_former.errors import DataError
from video_mobile_former.inference.persons.boxes import read_boxes

TIMES = np.arange(10) / 10


def read(path: Path, text: str, **more: object):
    path.write_text(text, encoding="utf-8")
    return read_boxes(path, TIMES, 64, 48, **more)  # type: ignore[arg-type]


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    rows = [
        {"frame": 3, "x1": 30, "y1": 4, "x2": 40, "y2": 20, "score": 0.5, "track": 2},
        {"frame": 1, "x1": -5, "y1": 4.5, "x2": 20, "y2": 60, "score": 0.75, "track": 7},
    ]
    head = ",".join(rows[0])
    lines = "\n".join(",".join(str(value) for value in row.values()) for row in rows)
    table = read(tmp_path / "a.csv", f"\ufeff{head}\n{lines}\n")
    listed = read(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    for found in (table, listed):
        assert found.seconds.tolist() == [0.1, pytest.approx(0.3)]
        assert found.corners.tolist() == [[0, 4.5, 20, 48], [30, 4, 40, 20]]  # cut to the picture
        assert found.scores.tolist() == [0.75, 0.5]
        assert found.tracks.tolist() == [7, 2]
        assert found.tracked


def test_seconds_mean_the_nearest_frame_and_the_rest_may_be_missing(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "seconds,x1,y1,x2,y2\n0.44,1,1,9,9\n0.46,1,1,9,9\n")
    assert found.seconds == pytest.approx([0.4, 0.5])
    assert found.scores.tolist() == [1, 1]
    assert not found.tracked


def test_boxes_of_other_videos_are_left_aside(tmp_path: Path) -> None:
    text = "path,frame,x1,y1,x2,y2\nb/clip.mp4,0,1,1,9,9\nc/clip.mp4,1,1,1,9,9\n"
    found = read(tmp_path / "a.csv", text, video=tmp_path / "b" / "clip.mp4")
    assert found.seconds.tolist() == [0]
    with pytest.raises(DataError, match="all 2 boxes are of other videos"):
        read(tmp_path / "a.csv", text, video=tmp_path / "d" / "clip.mp4")


HEAD = "frame,x1,y1,x2,y2,score,track\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column"),
        ("frame,left,top\n0,1,2\n", "no column x1, y1, x2, y2"),
        ("x1,y1,x2,y2\n1,1,9,9\n", "no column frame or seconds"),
        (HEAD, "no boxes"),
        (HEAD + "0,1,1,9,9,1\n", "line 2: 7 columns"),
        (HEAD + "0,1,1,9,9,1,1,5\n", "line 2: 7 columns"),
        (HEAD + "0,nan,1,9,9,1,1\n", "line 2: x1 must be a number"),
        (HEAD + "0,1,1,inf,9,1,1\n", "x2 must be a number"),
        (HEAD + "0,1,1,nine,9,1,1\n", "x2 must be a number.*nine"),
        (HEAD + "0,9,1,1,9,1,1\n", "right of and below"),
        (HEAD + "0,1,1,9,9,2,1\n", "score must lie in 0 to 1"),
        (HEAD + "0,1,1,9,9,1,-1\n", "track must be a whole number"),
        (HEAD + "0.5,1,1,9,9,1,1\n", "frame must be a whole number"),
        (HEAD + "10,1,1,9,9,1,1\n", "frame 10, but the video has 10.*another video"),
        (HEAD + "0,100,1,120,9,1,1\n", "outside of the picture of 64 × 48.*another video"),
        (HEAD + "0,1,1,9,9,1,1\n1,1,1,9,9,1,\n", "1 of 2 boxes have a track"),
        (HEAD + "0,1,1,9,9,1,1\n0,2,2,9,9,1,1\n", "track 1 has two boxes at 0.000 s"),
        ("seconds,x1,y1,x2,y2\n7,1,1,9,9\n", "7 s, but the video runs from 0 to 0.9 s"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path / "a.csv", text)
    assert "\n" not in str(caught.value)
    assert "a.csv" in str(caught.value)


@pytest.mark.parametrize("text", ["[1]\n", "{\n", '{"frame": 0}\n', "[" * 100_000])
def test_lines_that_are_no_boxes(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="line 1"):
        read(tmp_path / "a.jsonl", text)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\x9c")
    for path in (tmp_path / "a.csv", tmp_path / "missing.csv", tmp_path):
        with pytest.raises(DataError, match="no list of boxes"):
            read_boxes(path, TIMES, 64, 48)

"""What ``auto`` says of data that needs the name of its format."""

from __future__ import annotations

from pathlib import Path

import pytest

from format_files import touch, write
from video_mobile_former.data.index.formats import FORMATS, find_format
from video_mobile_former.data.index.formats.guess import advise
from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.index.source import DataSource
from video_mobile_former.errors import DataError


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("train.csv", "a/b.mp4 3\n", "slowfast"),
        ("train.csv", "\ufeff\na/b.mp4,3\n", "slowfast"),
        ("list.txt", "frames/a 163 2\n", "slowfast"),
        ("list.csv", "a b.mp4,jump\n", "slowfast"),
        ("train.csv", "original_vido_id video_id frame_id path labels\n", "slowfast"),
        ("val.csv", "label,youtube_id,time_start,time_end,split\n", "kinetics400, 600 or 700"),
        ("test.csv", "youtube_id,time_start,time_end,split\n", "kinetics400, 600 or 700"),
        ("something-something-v2-train.json", "[]", "something_something_v2"),
        ("jester-v1-train.csv", "1;Swiping Left\n", "jester"),
        ("trainlist01.txt", "Archery/v_Archery_g08_c01.avi 3\n", "ucf101"),
        ("kick_test_split1.txt", "a_kick.avi 1\n", "hmdb51"),
        ("Diving48_V2_train.json", "[]", "diving48"),
        ("Charades_v1_train.csv", "id,subject,actions\n", "charades"),
        ("clips.csv", "path,label\na.mp4,3\n", None),
        ("train.csv", "label;path;split\n", None),
        ("clips.csv", "file,class\nx,y\n", None),
        ("clips.csv", "", None),
    ],
)
def test_files_and_folders_of_them(tmp_path: Path, name: str, text: str, form: str | None):
    path = write(tmp_path / "lists" / name, text)
    if form is None:
        assert advise(path) == advise(path.parent) == ""
        return
    for listing in (path, path.parent):
        assert f"--format {form}" in advise(listing)
    with pytest.raises(DataError, match=rf"^{path}: .*--format"):
        load_index(path)


def test_lists_beside_class_folders_are_left_alone(tmp_path: Path):
    write(tmp_path / "labels.json", "{}")
    touch(tmp_path, "run/a.mp4", "jump/b.mp4")
    assert load_index(tmp_path).class_names == ("jump", "run")


def test_every_format_is_named_in_the_help_of_recipes():
    from video_mobile_former.ranges import docs

    told = docs(DataSource)["format"]
    assert [name for name in FORMATS if name not in told] == []


def test_unknown_formats():
    with pytest.raises(DataError, match="unknown data format 'kinetics'; did you mean 'kinetics"):
        find_format(DataSource("x", format="kinetics"))
    with pytest.raises(DataError, match="known: folder, list, "):
        find_format(DataSource("x", format="xyz"))

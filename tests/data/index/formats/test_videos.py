from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from format_files import touch
from video_mobile_former.data.index.formats.videos import Videos, without_ending
from video_mobile_former.data.suffixes import VIDEO_SUFFIXES
from video_mobile_former.errors import DataError


def test_videos_of_any_ending_and_depth_are_found_by_their_name(tmp_path: Path):
    touch(
        tmp_path, "a.MP4", "x/b.webm", "x/y/z/c.d.mkv", "x/notes.txt", ".hidden/e.mp4", "x/.f.mp4"
    )
    videos = Videos(tmp_path)
    assert len(videos) == 3
    assert videos.find("a") == "a.MP4"
    assert videos.find("b") == "x/b.webm"
    assert videos.find("c.d") == "x/y/z/c.d.mkv"
    assert [videos.find(name) for name in ("e", ".f", "notes", "c", "A")] == [None] * 5
    assert videos.find("none", "b", "a") == "x/b.webm"
    assert Path(videos.absolute("x/b.webm")) == tmp_path.absolute() / "x" / "b.webm"


def test_of_several_the_one_in_the_folders_asked_for_wins(tmp_path: Path):
    names = ["train/air_drumming/a.mp4", "validate/air_drumming/a.mp4", "val/zumba/a.mp4"]
    videos = Videos(touch(tmp_path, *names))
    assert len(videos) == 3
    assert videos.find("a", prefer=("air drumming", "val")) == names[1]
    assert videos.find("a", prefer=("air drumming", "train")) == names[0]
    assert videos.find("a", prefer=("zumba", "")) == names[2]
    assert videos.find("a") == names[0]


def test_folders_of_pictures_are_videos(tmp_path: Path):
    many = [f"x/long/img_{i:05}.jpg" for i in range(40)]
    touch(tmp_path, *many, "x/short/1.PNG", "x/short/readme.txt", "y/12.34/00001.jpeg")
    touch(tmp_path, "x/poster.jpg", "z/clip.mp4", "z/clip.jpg", "w/empty.txt")
    videos = Videos(tmp_path)
    assert videos.frame_folders() == ["x/long", "x/short", "y/12.34"]
    assert videos.find("12.34") == "y/12.34"
    assert videos.find("clip") == "z/clip.mp4"
    assert videos.find("x", "z", "w") is None


def test_a_video_wins_over_its_frames(tmp_path: Path):
    videos = Videos(touch(tmp_path, "frames/run/a/1.jpg", "videos/run/a.avi"))
    assert videos.find("a", prefer=("run",)) == "videos/run/a.avi"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_followed_but_not_in_circles(tmp_path: Path):
    elsewhere = touch(tmp_path / "elsewhere", "run/a.mp4")
    root = touch(tmp_path / "root", "jump/b.mp4")
    (root / "linked").symlink_to(elsewhere, target_is_directory=True)
    (root / "jump" / "circle").symlink_to(root, target_is_directory=True)
    (elsewhere / "self").symlink_to(elsewhere, target_is_directory=True)
    videos = Videos(root)
    assert len(videos) == 2
    assert videos.find("a") == "linked/run/a.mp4"


def test_a_folder_that_is_none(tmp_path: Path):
    with pytest.raises(DataError, match=r"absent: no such folder of videos; .* --root"):
        Videos(tmp_path / "absent")


def test_rows_are_found_or_stay_as_listed(tmp_path: Path):
    videos = Videos(touch(tmp_path, "all/v_a.mp4"))
    row = videos.row("Run/v_a.avi", ("Run",), "list.txt", 3, split="train", group="g")
    assert (row.name, row.split, row.group) == ("all/v_a.mp4", "train", "g")
    assert Path(row.path).is_file()
    row = videos.row("Run/v_b.avi", ("Run",), "list.txt", 4)
    assert row.name == "Run/v_b.avi"
    assert Path(row.path) == tmp_path.absolute() / "Run" / "v_b.avi"
    assert row.where == "list.txt:4"


@pytest.mark.slow
@given(
    stem=st.text(string.ascii_letters + string.digits + "._-#& ()[]", min_size=1, max_size=20),
    ending=st.sampled_from(sorted(VIDEO_SUFFIXES)),
    folder=st.sampled_from(["", "a/b.mp4/", "x\\y\\"]),
    upper=st.booleans(),
)
def test_endings_of_videos_come_off_once(stem: str, ending: str, folder: str, upper: bool):
    assert without_ending(folder + stem + (ending.upper() if upper else ending)) == stem
    assert without_ending(f"{folder}{stem}.unknown") == f"{stem}.unknown"


def test_frame_folders_named_like_videos(tmp_path: Path):
    videos = Videos(touch(tmp_path, "run/a.avi/00001.jpg", "b.mp4/1.png"))
    assert videos.find("a") == "run/a.avi"
    assert videos.frame_folders() == ["b.mp4", "run/a.avi"]

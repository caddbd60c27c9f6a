from __future__ import annotations

from pathlib import Path

import pytest

from format_files import rows_of, touch
from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.index.source import DataSource, Faults
from video_mobile_former.errors import DataError


def test_leaves_of_class_folders_are_clips(tmp_path: Path):
    touch(tmp_path, "run/a/img_00001.jpg", "run/deep/b/frame-1.PNG", "jump/c.d/000001.jpeg")
    touch(tmp_path, "run/a/img_00002.jpg", "run/note.txt", "jump/video.mp4")
    index = load_index(DataSource(str(tmp_path), format="frames"))
    assert index.class_names == ("jump", "run")
    assert [(c.name, c.label, c.split) for c in index.clips] == [
        ("jump/c.d", 0, None),
        ("run/a", 1, None),
        ("run/deep/b", 1, None),
    ]
    assert all(Path(c.path).is_dir() for c in index.clips)


def test_split_folders(tmp_path: Path):
    touch(tmp_path, "train/run/a/1.jpg", "Validation/run/b/1.jpg")
    rows = rows_of("frames", tmp_path)
    assert {(r.name, r.label, r.split) for r in rows} == {
        ("train/run/a", "run", "train"),
        ("Validation/run/b", "run", "val"),
    }
    touch(tmp_path, "jump/a/1.jpg")
    with pytest.raises(DataError, match="is the name of a split but 'jump' is not"):
        rows_of("frames", tmp_path)


def test_pictures_in_a_class_folder(tmp_path: Path):
    touch(tmp_path, "run/a/1.jpg", "jump/1.jpg")
    with pytest.raises(DataError, match="jump: pictures lie in a class folder itself"):
        rows_of("frames", tmp_path)
    faults = Faults(collect=True)
    assert [r.name for r in rows_of("frames", tmp_path, faults=faults)] == ["run/a"]
    assert [fault.name for fault in faults.found] == ["jump"]


def test_no_pictures(tmp_path: Path):
    touch(tmp_path, "run/a.mp4")
    with pytest.raises(
        DataError, match=r"no folders of pictures in it; expected .*/<class>/<clip>/"
    ):
        rows_of("frames", tmp_path)

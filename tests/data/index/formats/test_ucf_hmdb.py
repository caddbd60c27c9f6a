from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from format_files import rows_of, touch, write
from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.index.labels import label_names
from video_mobile_former.data.index.source import DataSource, Faults
from video_mobile_former.errors import DataError

UCF_TRAIN = (
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\n"
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g09_c01.avi 1 \r\n"
    "\r\nHandstandPushups/v_HandStandPushups_g10_c02.avi 37\r\n"
)
UCF_TEST = "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\r\nYoYo/v_YoYo_g01_c02\r\n"


def ucf(root: Path, fold: int = 1) -> Path:
    names = label_names("ucf101")
    write(root / f"trainlist{fold:02}.txt", UCF_TRAIN)
    write(root / f"testlist{fold:02}.txt", UCF_TEST)
    lines = (f"{i} {name}\r\n" for i, name in enumerate(names, start=1))
    write(root / "classInd.txt", "".join(lines))
    return root


def test_ucf101(tmp_path: Path):
    lists = ucf(tmp_path / "ucfTrainTestlist")
    touch(tmp_path / "UCF-101" / "ApplyEyeMakeup", "v_ApplyEyeMakeup_g08_c01.avi")
    touch(tmp_path / "UCF-101", "v_ApplyEyeMakeup_g09_c01.mp4")
    touch(tmp_path / "UCF-101", "HandstandPushups/v_HandStandPushups_g10_c02.AVI")
    touch(tmp_path / "frames", "v_ApplyEyeMakeup_g01_c01/img_00001.jpg", "YoYo/v_YoYo_g01_c02.avi")
    index = load_index(DataSource(str(tmp_path), format="ucf101"))
    assert index.class_names == label_names("ucf101")
    assert [(index.class_names[c.label], c.split, c.group) for c in index.clips] == [
        ("ApplyEyeMakeup", "train", "ApplyEyeMakeup_g08"),
        ("ApplyEyeMakeup", "train", "ApplyEyeMakeup_g09"),
        ("HandstandPushups", "train", "HandstandPushups_g10"),
        ("ApplyEyeMakeup", "test", "ApplyEyeMakeup_g01"),
        ("YoYo", "test", "YoYo_g01"),
    ]
    assert Path(index.clips[3].path).is_dir()
    assert [r.split for r in rows_of("ucf101", tmp_path, lists / "testlist01.txt")] == ["test"] * 2


def test_ucf101_folds(tmp_path: Path):
    ucf(tmp_path, fold=1)
    write(tmp_path / "trainlist02.txt", "YoYo/v_YoYo_g01_c02.avi 101\n")
    assert [r.label for r in rows_of("ucf101", tmp_path, fold=2)] == ["YoYo"]
    with pytest.raises(DataError, match=r"no UCF101 list .* of fold 3; there are: 1, 2 \(--fold\)"):
        rows_of("ucf101", tmp_path, fold=3)
    with pytest.raises(DataError, match="fold must be 1 to 100, not 0"):
        rows_of("ucf101", tmp_path, fold=0)


def test_ucf101_in_another_order_is_refused(tmp_path: Path):
    path = ucf(tmp_path) / "classInd.txt"
    text = path.read_text()
    swapped = text.replace("2 ApplyLipstick", "2 X").replace("3 Archery", "3 ApplyLipstick")
    write(path, swapped.replace("2 X", "2 Archery"))
    with pytest.raises(DataError, match=r"classInd.* position 1 \(from 0\): 'Archery' in .*, 'App"):
        rows_of("ucf101", tmp_path)
    write(path, text.replace("3 Archery", "4 Archery"))
    with pytest.raises(DataError, match="its numbers must be 1 to 100, each once"):
        rows_of("ucf101", tmp_path)
    write(path, "ApplyEyeMakeup\n")
    with pytest.raises(DataError, match=r"classInd\.txt:1: expected 'number name'"):
        rows_of("ucf101", tmp_path)


def test_ucf101_lines_that_contradict_themselves(tmp_path: Path):
    write(tmp_path / "trainlist01.txt", "YoYo/v_YoYo_g01_c02.avi 3\nv_YoYo_g01_c03.avi 101\nx 1\n")
    faults = Faults(collect=True)
    assert [r.label for r in rows_of("ucf101", tmp_path, faults=faults)] == ["YoYo"]
    texts = [f"{fault.where}: {fault.text}" for fault in faults.found]
    assert "trainlist01.txt:1: YoYo/v_YoYo_g01_c02.avi has the number 3 of Archery" in texts[0]
    assert "trainlist01.txt:3: expected <class>/v_<class>_g01_c01.avi, not 'x'" in texts[1]
    with pytest.raises(DataError, match=r"trainlist01\.txt:1"):
        rows_of("ucf101", tmp_path)


def test_ucf101_official_lists(shared_data: Path, tmp_path: Path):
    rows = rows_of("ucf101", tmp_path, shared_data / "lists")
    assert Counter(row.split for row in rows) == {"train": 9537, "test": 3783}
    groups = {split: {r.group for r in rows if r.split == split} for split in ("train", "test")}
    assert not groups["train"] & groups["test"]
    assert len(groups["train"] | groups["test"]) == 101 * 25
    assert {row.label for row in rows} == set(label_names("ucf101"))


def hmdb(root: Path, label: str, text: str, fold: int = 1) -> Path:
    write(root / f"{label}_test_split{fold}.txt", text)
    return root


def test_hmdb51(tmp_path: Path):
    lists = tmp_path / "splits"
    names = [
        f"Film_2_brush_hair_u_nm_np1_{view}_goo_{i}.avi" for i, view in enumerate(("fr", "ba"))
    ]
    hmdb(lists, "brush_hair", f"{names[0]} 1 \r\n{names[1]} 0 \r\n")
    hmdb(lists, "kick", "#20 (x)_kick_f_cm_np1_ba_med_19.avi 2\nFilm_2_kick_h_cm_np1_ba_bad_1 1\n")
    hmdb(lists, "kick", "Film_2_kick_h_cm_np1_ba_bad_1.avi 2\n", fold=2)
    touch(tmp_path / "videos", f"brush_hair/{names[0]}", "#20 (x)_kick_f_cm_np1_ba_med_19.mp4")
    touch(tmp_path / "videos", "kick/Film_2_kick_h_cm_np1_ba_bad_1.avi")
    source = DataSource(format="hmdb51", root=str(tmp_path / "videos"), annotations=str(lists))
    index = load_index(source)
    assert index.class_names == label_names("hmdb51")
    assert [(index.class_names[c.label], c.split, c.group) for c in index.clips] == [
        ("brush_hair", "train", "Film_2"),
        ("kick", "test", "#20 (x)"),
        ("kick", "train", "Film_2"),
    ]
    assert [r.split for r in rows_of("hmdb51", tmp_path, lists, fold=2)] == ["test"]


def test_hmdb51_wrong_lines(tmp_path: Path):
    path = hmdb(tmp_path, "kick", "a.avi 1\nb.avi\nc.avi 3\n") / "kick_test_split1.txt"
    with pytest.raises(
        DataError, match=r"split1\.txt:2: expected a file and 0, 1 or 2, not 'b\.avi'"
    ):
        rows_of("hmdb51", tmp_path)
    faults = Faults(collect=True)
    rows = rows_of("hmdb51", tmp_path, path, faults)
    assert [(r.name, r.group) for r in rows] == [("a.avi", None)]
    assert len(faults.found) == 2
    hmdb(tmp_path, "dancing", "a.avi 1\n")
    with pytest.raises(DataError, match=r"no HMDB51 lists .* of fold 4; there are: 1 "):
        rows_of("hmdb51", tmp_path, fold=4)


def test_hmdb51_official_lists(shared_data: Path, tmp_path: Path):
    rows = rows_of("hmdb51", tmp_path, shared_data / "lists")
    assert Counter((row.label, row.split) for row in rows) == {
        (label, split): count
        for label in ("kick", "punch", "push")
        for split, count in (("train", 70), ("test", 30))
    }
    assert all(row.group for row in rows)
    assert rows[0].group == "50_FIRST_DATES"

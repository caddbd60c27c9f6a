from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from format_files import rows_of, touch, write
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.formats import plain
from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.index.source import DataSource, Faults
from video_mobile_former.errors import DataError


def read(folder: Path, text: str, **more: Any) -> list[Clip[str]]:
    path = write(folder / "list.txt", text)
    source = DataSource(str(path), format="slowfast", **more)
    return list(plain.plain_rows(source, Faults()))


@pytest.mark.parametrize("separator", [" ", ",", "\t", ";", ", "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_separators_are_told(tmp_path: Path, separator: str, end: str, mark: str):
    lines = [f"run/a b.mp4{separator}3", "", f"run/c,d;e.avi{separator}0 ", f"x/12{separator}1"]
    rows = read(tmp_path, mark + end.join(lines))
    assert [(r.name, r.labels, r.line) for r in rows] == [
        ("run/a b.mp4", ("3",), 1),
        ("run/c,d;e.avi", ("0",), 3),
        ("x/12", ("1",), 4),
    ]
    assert rows[0].path == str(tmp_path.absolute() / "run" / "a b.mp4")
    assert {r.split for r in rows} == {None}


@pytest.mark.parametrize(
    ("line", "name", "labels"),
    [
        ("a.mp4 1 4 7", "a.mp4", "147"),
        ("a.mp4,1,4,7", "a.mp4", "147"),
        ('a.mp4 "1,4,7"', "a.mp4", "147"),
        ("a.mp4 1,4,7", "a.mp4", "147"),
        ('a.mp4,"1,4,7"', "a.mp4", "147"),
        ("a.mp4\t1, 4, 7", "a.mp4", "147"),
        ("a.mp4;1;4", "a.mp4", "14"),
        ('"a, b.mp4",1,4', "a, b.mp4", "14"),
        ('"a b.mp4" 5', "a b.mp4", "5"),
        ("a.mp4  07", "a.mp4", "7"),
        ("a 1 2.mp4 3", "a 1 2.mp4", "3"),
        ("#20_Rhythm.avi 5", "#20_Rhythm.avi", "5"),
        ("/data/a.mp4 2", "/data/a.mp4", "2"),
        ("frames/a 163 2", "frames/a", "2"),
        ("frames/a b 163 2", "frames/a b", "2"),
        ("frames/a 163 2 8", "frames/a", "28"),
        ('frames/a "2,8"', "frames/a", "28"),
        ("frames/a 2", "frames/a", "2"),
        ("a b.mp4,playing guitar", "a b.mp4", ["playing guitar"]),
        ("a b.mp4 playing guitar", "a b.mp4", ["playing guitar"]),
        ("frames/a\tplaying guitar", "frames/a", ["playing guitar"]),
        ("frames/a jump", "frames/a", ["jump"]),
        ("a,b.mp4 class 3", "a,b.mp4", ["class 3"]),
    ],
)
def test_lines(tmp_path: Path, line: str, name: str, labels: str | list[str]):
    (row,) = read(tmp_path, f"{line}\n", multi_label=len(labels) > 1)
    assert (row.name, list(row.labels)) == (name, list(labels))


def test_addresses_stay(tmp_path: Path):
    rows = read(tmp_path, "s3://bucket/a.mp4 0\nb.mp4 1\n", root=str(tmp_path / "videos"))
    assert [r.path for r in rows] == ["s3://bucket/a.mp4", str(tmp_path / "videos" / "b.mp4")]


def test_a_header_is_passed_over(tmp_path: Path):
    assert [r.name for r in read(tmp_path, "path label\na.mp4 1\n")] == ["a.mp4"]


def test_numbers_are_positions_in_a_label_file(tmp_path: Path):
    labels = write(tmp_path / "labels.txt", "zebra\napple\n")
    rows = read(tmp_path, "a.mp4 1\nb.mp4 0\n", label_file=str(labels))
    assert [r.label for r in rows] == ["apple", "zebra"]
    rows = read(tmp_path, "a.mp4 399\n", label_file="kinetics400")
    assert rows[0].label == "zumba"
    with pytest.raises(DataError, match=r"list\.txt:1: label 2 is not in 0 to 1, the classes of"):
        read(tmp_path, "a.mp4 2\n", label_file=str(labels))
    rows = read(tmp_path, "a.mp4 apple\n", label_file=str(labels))
    assert rows[0].label == "apple"


def test_without_one_the_numbers_are_the_names(tmp_path: Path):
    touch(tmp_path, "a.mp4", "b.mp4")
    path = write(tmp_path / "list.txt", "a.mp4 11\nb.mp4 2\n")
    index = load_index(DataSource(str(path), format="mmaction"))
    assert index.class_names == tuple(str(i) for i in range(12))
    assert [clip.label for clip in index.clips] == [11, 2]
    assert not index.multi_label
    write(path, "a.mp4 b\nb.mp4 a\n")
    assert load_index(DataSource(str(path), format="mmaction")).class_names == ("a", "b")
    with pytest.raises(DataError, match="label 5000000 is no number of a class"):
        plain.plain_names({"5000000"})


def test_several_labels_are_taken_where_they_are_asked_for(tmp_path: Path):
    touch(tmp_path, "a.mp4", "b.mp4")
    path = write(tmp_path / "list.txt", "a.mp4 1\nb.mp4 2 0 2\n")
    with pytest.raises(DataError, match=r"list\.txt:2: b\.mp4: 2, 0, 2: .* --multi_label"):
        load_index(DataSource(str(path), format="slowfast"))
    index = load_index(DataSource(str(path), format="slowfast", multi_label=True))
    assert index.multi_label
    assert [clip.labels for clip in index.clips] == [(1,), (2, 0)]
    write(path, "a.mp4 1\nb.mp4 0\n")
    assert not load_index(DataSource(str(path), format="slowfast")).multi_label
    assert load_index(DataSource(str(path), format="slowfast", multi_label=True)).multi_label


def test_a_number_of_frames_behind_each_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """VideoMAE's lists; a single line that differs makes it unclear what the numbers are."""
    rows = read(tmp_path, "a.mp4 12 0\nb.mp4 9 1\n")
    assert [row.labels for row in rows] == [("0",), ("1",)]
    assert "number of frames" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"list\.txt:1: a\.mp4: 12, 0: more than one class"):
        read(tmp_path, "a.mp4 12 0\nb.mp4 1\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jump/v0 2 5 0\nrun/v0 2 5 1\n", "first frame, a number of frames and a class"),
        ("a.mp4 0 1 0\nb.mp4 1 0 0\n", "columns of 0 and 1"),
        ("a.mp4 3 0 10\nb.mp4 4 10 20\n", "counts or times"),
        ("a.mp4 3 0.1 0.3\nb.mp4 4 0.5 1.5\n", "start_seconds"),
        ("a.mp4,3,0.1,0.3\nb.mp4,4,0.5,1.5\n", "start_seconds"),
        ("a.mp4 0.5\nb.mp4 0.25\n", "looks like numbers"),
        ('a.mp4 "1,4"\nb.mp4 "2"\n', "more than one class"),
    ],
)
def test_surplus_numbers_are_no_classes(tmp_path: Path, text: str, words: str):
    with pytest.raises(DataError, match=rf"list\.txt:1: .*{words}"):
        read(tmp_path, text)


def test_lists_of_other_people(shared_data: Path):
    """Lists as VideoMAE and mmaction2 write them, from their bug reports."""
    odd = shared_data / "odd"
    source = DataSource(str(odd / "lists" / "path_frames_label.csv"), format="slowfast")
    index = load_index(source)
    assert index.class_names == ("0", "1")
    assert not index.multi_label
    folder = odd / "rawframes_with_flow"
    listed = DataSource(str(folder), format="mmaction", annotations=str(folder / "list.txt"))
    assert load_index(listed).class_names == ("0", "1")
    with pytest.raises(DataError, match=r"list_with_offset\.txt:1: .*first frame"):
        load_index(
            DataSource(
                str(folder), format="mmaction", annotations=str(folder / "list_with_offset.txt")
            )
        )


def test_splits_are_files_of_a_folder(tmp_path: Path):
    lists = tmp_path / "lists"
    write(lists / "ucf101_train_split_1_videos.txt", "a.mp4 0\n")
    write(lists / "ucf101_val_split_1_videos.txt", "b.mp4 0\n")
    write(lists / "ucf101_train_split_2_videos.txt", "b.mp4 0\n")
    write(lists / "label_map.txt", "one\n")
    rows = rows_of("mmaction", tmp_path, lists)
    assert [(r.name, r.split) for r in rows] == [("a.mp4", "train"), ("b.mp4", "val")]
    rows = rows_of("mmaction", tmp_path, lists, fold=2)
    assert [(r.name, r.split) for r in rows] == [("b.mp4", "train")]
    write(lists / "ucf101_train_split_1_rawframes.txt", "a 30 0\n")
    with pytest.raises(DataError, match="two lists of the split 'train'"):
        rows_of("mmaction", tmp_path, lists)


FRAMES = """original_vido_id video_id frame_id path labels
AO8RW 0 0 AO8RW/AO8RW-000001.jpg ""
AO8RW 0 1 AO8RW/AO8RW-000002.jpg "1,4"
B 1 0 x/B/B-000001.jpg "4"
B 1 1 x/B/B-000002.jpg "4"
C 2 0 C/C-000001.jpg \"\"\"\"
"""


def test_lists_of_single_frames_give_clips(tmp_path: Path):
    touch(tmp_path, "AO8RW/AO8RW-000001.jpg", "x/B/B-000001.jpg", "C/C-000001.jpg")
    path = write(tmp_path / "train.csv", FRAMES)
    index = load_index(DataSource(str(path), format="slowfast"))
    assert [(clip.name, clip.labels) for clip in index.clips] == [
        ("AO8RW", (1, 4)),
        ("x/B", (4,)),
        ("C", ()),
    ]
    faults = Faults(collect=True)
    write(path, FRAMES.replace('"1,4"', '"4"'))
    rows_of("slowfast", path, faults=faults)
    assert [fault.text for fault in faults.found] == ["no label"]
    write(path, FRAMES + "D 3 0 D/D-000001.jpg\n")
    with pytest.raises(DataError, match=r"train\.csv:7: 4 fields where 5 should be"):
        rows_of("slowfast", path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty; expected a list of 'path label' lines"),
        (
            "a.mp4 1\nb.mp4\n",
            r":2: expected a path and numbers of classes, divided by a space, not",
        ),
        ("a.mp4 1\nb.mp4 jump\na.mp4 2\n", r":2: expected a path and numbers"),
        ("a.mp4\nb.mp4\n", r":1: expected a path and a label"),
        ("a.mp4 -1\n", ":1: label -1 is negative"),
        ("a.mp4," + "9" * 5000, "label '9+' is not in the class list"),
    ],
)
def test_wrong_lines(tmp_path: Path, text: str, message: str):
    touch(tmp_path, "a.mp4", "b.mp4")
    path = write(tmp_path / "list.txt", text)
    with pytest.raises(DataError, match=message):
        load_index(DataSource(str(path), format="slowfast", label_file="ucf101"))


NAMES = st.text(string.ascii_letters + string.digits + " ,;._-#'()", min_size=1, max_size=20).map(
    str.strip
)


@pytest.mark.slow
@given(
    clips=st.lists(
        st.tuples(
            NAMES.filter(bool), st.lists(st.integers(0, 999), min_size=1, max_size=4, unique=True)
        ),
        min_size=1,
        max_size=10,
    ),
    separator=st.sampled_from("\t; ,"),
    quoted=st.booleans(),
    ending=st.sampled_from([".mp4", ".avi", ".WEBM"]),
)
def test_whatever_is_in_a_path_it_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    clips: list[tuple[str, list[int]]],
    separator: str,
    quoted: bool,
    ending: str,
):
    text = ""
    for name, labels in clips:
        several = ",".join(map(str, labels))
        told = f'"{several}"' if quoted else separator.join(map(str, labels))
        text += f"{name}{ending}{separator}{told}\n"
    # Quoted lines are CSV, in which such a path would be quoted as well.
    path = write(tmp_path_factory.getbasetemp() / f"{separator == ' '}.txt", text)
    rows = rows_of("slowfast", path, multi_label=True)
    assert [(r.name, r.labels) for r in rows] == [
        (f"{name}{ending}", tuple(map(str, labels))) for name, labels in clips
    ]


def test_counts_are_compared_with_the_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, count in (("a", 5), ("b", 15), ("c", 6)):
        (tmp_path / name).mkdir()
        for i in range(count):
            (tmp_path / name / f"img_{i:05d}.jpg").touch()
            (tmp_path / name / f"flow_x_{i:05d}.jpg").touch()
    rows = read(tmp_path, "a 5 0\nb 5 1\nc 5 1\nmissing 9 1\n")
    assert [(row.name, row.labels) for row in rows[:3]] == [
        ("a", ("0",)),
        ("b", ("1",)),
        ("c", ("1",)),
    ]
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "frames" in line]
    assert "b (line 2): 5 listed, 15 there" in line
    assert "1 name" in line

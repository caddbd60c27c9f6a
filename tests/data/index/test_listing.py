from __future__ import annotations

import os
from pathlib import Path

import pytest

from format_files import touch
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.folders import folder_rows
from video_mobile_former.data.index.listing import list_rows
from video_mobile_former.data.index.source import DataSource, Faults
from video_mobile_former.errors import DataError


def read_folder(root: Path) -> list[Clip[str]]:
    return list(folder_rows(DataSource(str(root)), Faults()))


def read_list(path: Path, *, multi_label: bool = False) -> list[Clip[str]]:
    return list(list_rows(DataSource(str(path), multi_label=multi_label), Faults()))


def listing(root: Path, text: str, *files: str, encoding: str = "utf-8") -> Path:
    touch(root, *(files or ("a.mp4", "b.mp4")))
    path = root / "clips.csv"
    path.write_bytes(text.encode(encoding))
    return path


# Folders


def test_folder_of_class_folders(tmp_path: Path):
    touch(tmp_path, "run/b.mp4", "run/deep/er/a.MKV", "jump/z.avi")
    rows = read_folder(tmp_path)
    assert [(r.label, r.name, r.split) for r in rows] == [
        ("jump", "jump/z.avi", None),
        ("run", "run/b.mp4", None),
        ("run", "run/deep/er/a.MKV", None),
    ]
    assert all(Path(r.path).is_absolute() and Path(r.path).is_file() for r in rows)


def test_folder_with_splits(tmp_path: Path):
    touch(tmp_path, "train/x/1.mp4", "validation/x/2.mp4", "Test/x/3.mp4")
    assert {(r.name, r.split) for r in read_folder(tmp_path)} == {
        ("train/x/1.mp4", "train"),
        ("validation/x/2.mp4", "val"),
        ("Test/x/3.mp4", "test"),
    }


@pytest.mark.parametrize("split", ["", "train/"])
def test_videos_beside_class_folders_are_named(
    split: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    touch(tmp_path, f"{split}x/1.mp4", f"{split}loose.mp4", f"{split}.hidden.mp4", "README.txt")
    assert [r.name for r in read_folder(tmp_path)] == [f"{split}x/1.mp4"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        f"1 video lies beside the class folders, has no class and is left out: {split}loose.mp4"
    )
    touch(tmp_path, *(f"{split}more{i}.mkv" for i in range(4)))
    faults = Faults()
    rows = list(folder_rows(DataSource(path=str(tmp_path)), faults))
    assert len(rows) == 1
    assert len(faults.passed_over) == 5
    assert "5 videos lie beside" in (said := capsys.readouterr().err)
    assert said.endswith("more1.mkv and 2 more\n")


def test_other_files_are_counted_and_hidden_ones_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    touch(tmp_path, "x/1.mp4", "x/notes.txt", "x/poster.jpg", "x/.2.mp4", "x/.git/3.mp4")
    touch(tmp_path, ".cache/4.mp4", "README")
    assert [r.name for r in read_folder(tmp_path)] == ["x/1.mp4"]
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "2 files are no videos by their ending and are ignored: .jpg, .txt" in error
    (tmp_path / "x" / "poster.jpg").unlink()
    assert len(read_folder(tmp_path)) == 1
    error = capsys.readouterr().err
    assert "1 file is no video by its ending and is ignored: .txt" in error


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["a.mp4"], ["no class folders", "path,label"]),
        (["x/1.mp4", "y/notes.txt"], ["y", "'y' has no clips", "1 file,"]),
        (["train/x/1.mp4", "walk/1.mp4"], ["'train' is the name of a split but 'walk' is not"]),
        (["train/1.mp4"], ["train", "no class folders"]),
        (["train/x/1.mp4", "val/y/.hidden.mp4"], ["'y' has no clips"]),
    ],
)
def test_folder_errors(tmp_path: Path, names: list[str], parts: list[str]):
    touch(tmp_path, *names)
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path) in message
    for part in parts:
        assert part in message


def test_empty_class_folder_is_named(tmp_path: Path):
    touch(tmp_path, "x/1.mp4")
    (tmp_path / "y").mkdir()
    with pytest.raises(DataError, match="class 'y' has no clips; add some or remove the folder"):
        read_folder(tmp_path)


# Lists


@pytest.mark.parametrize("name", ["http://host:80/a.mp4", "s3://bucket/b c.mp4", "HTTPS://h/d.mp4"])
def test_an_address_in_a_list_stays_one(tmp_path: Path, name: str):
    (row,) = read_list(listing(tmp_path, f"path,label\n{name},x\n"))
    assert (row.path, row.name) == (name, name)


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_list_dialects(tmp_path: Path, delimiter: str, end: str, encoding: str):
    lines = ["path,label,split", "", '"a.mp4",läuft,train', "  ", "b.mp4, springt ,", ""]
    text = end.join(line.replace(",", delimiter) for line in lines)
    rows = read_list(listing(tmp_path, text, encoding=encoding))
    assert [(r.name, r.label, r.split) for r in rows] == [
        ("a.mp4", "läuft", "train"),
        ("b.mp4", "springt", None),
    ]


def test_list_with_all_columns_and_others(tmp_path: Path):
    text = (
        "Label,PATH,who,start_seconds,end_seconds,group,split\n"
        '"turn, left",sub/a b.mp4,me,1.5,2,g1,valid\n'
        '"turn, left",sub/a b.mp4,me,2,,g1,VAL\n'
    )
    rows = read_list(listing(tmp_path, text, "sub/a b.mp4"))
    first = rows[0]
    assert (first.label, first.split, first.group) == ("turn, left", "val", "g1")
    assert (first.start_seconds, first.end_seconds) == (1.5, 2.0)
    assert first.path == str(tmp_path / "sub" / "a b.mp4")
    assert (rows[1].start_seconds, rows[1].end_seconds) == (2.0, None)


def test_relative_paths_are_relative_to_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    listing(tmp_path / "data", "path,label\n../videos/a.mp4,x\n", "../videos/a.mp4")
    monkeypatch.chdir(tmp_path)
    (row,) = read_list(Path("data/clips.csv"))
    assert Path(row.path).is_absolute()
    assert Path(row.path).samefile(tmp_path / "videos" / "a.mp4")
    assert row.name == "../videos/a.mp4"


def test_absolute_paths_stay(tmp_path: Path):
    touch(tmp_path, "far/a.mp4")
    path = listing(tmp_path / "data", f"path,label\n{tmp_path}/far/a.mp4,x\n")
    assert read_list(path)[0].path == str(tmp_path / "far" / "a.mp4")


def test_quoted_line_ends_do_not_shift_line_numbers(tmp_path: Path):
    text = 'path,label,note\na.mp4,x,"two\nlines"\nb.mp4,,\n'
    with pytest.raises(DataError, match=r"clips\.csv:4: label is empty"):
        read_list(listing(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "clips.csv: empty; expected a header with path,label"),
        ("\n \n", "clips.csv: empty; expected a header with path,label"),
        ("file,label\na.mp4,x\n", "clips.csv: no column 'path' in its header; found: file, label"),
        ("a.mp4 1\nb.mp4 2\n", "no column 'path' and no column 'label' in its header"),
        ("path,label,label\n", "column 'label' appears twice"),
        ("path,label\na.mp4,x\nb.mp4\n", "clips.csv:3: 1 fields where the header has 2"),
        ("path,label\na.mp4,x,y\n", "clips.csv:2: 3 fields where the header has 2"),
        ('path,label\n"a.mp4,x\n', "clips.csv:2: unexpected end of data"),
        ("path,label\n,x\n", "clips.csv:2: path is empty"),
        ("path,label\na.mp4,\n", "clips.csv:2: label is empty"),
        ("path,label,split\na.mp4,x,trian\n", "clips.csv:2: unknown split 'trian'"),
        ("path,label,start_seconds\na.mp4,x,1:30\n", "clips.csv:2: start_seconds must be a number"),
        ("path,label,end_seconds\na.mp4,x,nan\n", "end_seconds must be a number of seconds"),
        ("path,label,start_seconds\na.mp4,x,-1\n", "start_seconds must be a number of seconds"),
        (
            "path,label,start_seconds,end_seconds\na.mp4,x,2,2\n",
            "clips.csv:2: end_seconds 2 is not after start_seconds 2",
        ),
        ("path,label,end_seconds\na.mp4,x,0\n", "end_seconds 0 is not after start_seconds 0"),
    ],
)
def test_list_errors(tmp_path: Path, text: str, message: str):
    with pytest.raises(DataError) as caught:
        read_list(listing(tmp_path, text))
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_of_any_bytes(tmp_path: Path):
    """As they may stand on a disk; what people write themselves is UTF-8."""
    name = os.fsdecode(b"d\xe9j\xe0.mp4")
    touch(tmp_path, name)
    path = tmp_path / "clips.csv"
    path.write_bytes(b"path,label,group\nd\xe9j\xe0.mp4,x,\n")
    (row,) = read_list(path)
    assert row.name == name
    assert Path(row.path).exists()


@pytest.mark.parametrize("column", ["label", "group"])
def test_labels_and_groups_are_utf8(tmp_path: Path, column: str):
    row = {"label": b"a.mp4,d\xe9j\xe0,g", "group": b"a.mp4,x,d\xe9j\xe0"}[column]
    (tmp_path / "clips.csv").write_bytes(b"path,label,group\n" + row + b"\n")
    with pytest.raises(DataError, match=rf"clips\.csv:2: {column} is not UTF-8; save the list"):
        read_list(tmp_path / "clips.csv")


def test_files_that_are_passed_over_are_listed(tmp_path: Path):
    touch(tmp_path, "x/1.mp4", "x/notes.txt", "x/deep/poster.jpg")
    faults = Faults()
    list(folder_rows(DataSource(str(tmp_path)), faults))
    assert sorted(faults.passed_over) == [
        (str(tmp_path / "x" / "deep" / "poster.jpg"), "x/deep/poster.jpg"),
        (str(tmp_path / "x" / "notes.txt"), "x/notes.txt"),
    ]


def test_a_file_that_is_no_text(tmp_path: Path):
    path = tmp_path / "clips.csv"
    path.write_bytes(b"\x00\x01\xff\xfe\x80" * 20)
    with pytest.raises(DataError, match="not a UTF-8 text file"):
        read_list(path)


# Several classes


def test_several_classes_of_a_clip(tmp_path: Path):
    text = "path,label\na.mp4,run | jump\nb.mp4,\nc.mp4,run\n"
    rows = read_list(listing(tmp_path, text, "a.mp4", "b.mp4", "c.mp4"), multi_label=True)
    assert [row.labels for row in rows] == [("run", "jump"), (), ("run",)]


def test_a_bar_means_nothing_where_a_clip_has_one_class(tmp_path: Path):
    (row,) = read_list(listing(tmp_path, "path,label\na.mp4,run|jump\n"))
    assert row.labels == ("run|jump",)
    with pytest.raises(DataError, match=r"clips\.csv:2: label is empty"):
        read_list(listing(tmp_path, "path,label\na.mp4,\n"))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("run||jump", r"clips\.csv:2: a label is empty in 'run\|\|jump'"),
        ("run|", "a label is empty in 'run|'"),
        ("|", "a label is empty"),
        ("run|jump|run", r"clips\.csv:2: label 'run' is named twice"),
    ],
)
def test_wrong_lists_of_classes(tmp_path: Path, label: str, message: str):
    with pytest.raises(DataError, match=message):
        read_list(listing(tmp_path, f"path,label\na.mp4,{label}\n"), multi_label=True)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("path,label,subset,start,end", ("test", 0.5, 2.0)),
        ("path,label,set,start_time,end_time", ("test", 0.5, 2.0)),
        ("path,label,Partition,time_start,time_end", ("test", 0.5, 2.0)),
        ("path,label,split,start_seconds,end_seconds", ("test", 0.5, 2.0)),
    ],
)
def test_columns_by_the_names_of_other_tools(tmp_path: Path, header: str, expected: tuple):
    (tmp_path / "clips.csv").write_text(f"{header}\na.mp4,run,test,0.5,2\n")
    (row,) = read_list(tmp_path / "clips.csv")
    assert (row.split, row.start_seconds, row.end_seconds) == expected


def test_columns_that_are_not_read_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table = tmp_path / "clips.csv"
    table.write_text("path,label,split,subset,start_secs,note\na.mp4,run,train,test,3,x\n")
    (row,) = read_list(table)
    assert (row.split, row.start_seconds) == ("train", None)
    said = capsys.readouterr().err
    assert f"{table}: columns 'subset', 'start_secs', 'note' not read" in said
    table.write_text("path,label,split\na.mp4,run,train\n")
    read_list(table)
    assert capsys.readouterr().err == ""


def test_links_inside_a_class_folder_are_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    elsewhere = touch(tmp_path / "nas", "day1/a.mp4", "day1/deeper/b.mp4")
    root = touch(tmp_path / "clips", "run/c.mp4")
    (root / "run" / "linked").symlink_to(elsewhere / "day1")
    (root / "run" / "again").symlink_to(elsewhere / "day1")
    (root / "run" / "loop").symlink_to(root)
    (root / "run" / "gone").symlink_to(tmp_path / "nowhere")
    names = [row.name for row in read_folder(root)]
    assert len(names) == 3
    assert {name.rpartition("/")[2] for name in names} == {"a.mp4", "b.mp4", "c.mp4"}
    assert str(tmp_path / "nowhere") in capsys.readouterr().err


def test_labels_that_a_spreadsheet_would_compute_come_back(tmp_path: Path):
    text = "path,label,group\n./-a.mp4,'=up,'-3\nb.mp4,'quoted',g\n"
    first, second = read_list(listing(tmp_path, text, "-a.mp4", "b.mp4"))
    assert (first.labels, first.group, Path(first.path).name) == (("=up",), "-3", "-a.mp4")
    assert (second.labels, second.group) == (("'quoted'",), "g")

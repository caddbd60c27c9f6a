from __future__ import annotations

import string
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from format_files import rows_of, touch, write, write_video
from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.index.labels import label_names
from video_mobile_former.data.index.source import DataSource, Faults
from video_mobile_former.errors import DataError

HEADER = "label,youtube_id,time_start,time_end,split\n"
ABSEILING = "0wR5jVB-WPk_000417_000427"


def source(form: str, root: Path, annotations: Path) -> DataSource:
    return DataSource(format=form, root=str(root), annotations=str(annotations))


@pytest.mark.parametrize(
    ("file", "times"),
    [
        ("abseiling/{}.mp4", None),
        ("air_drumming/{}.MKV", None),
        ("train/air drumming/{}.webm", None),
        ("{}.mp4", None),
        ("-_12345-_67_9_19.avi", None),
        ("deep/er/-_12345-_67.mp4", (9.0, 19.0)),
    ],
)
def test_file_names(tmp_path: Path, file: str, times: tuple[float, float] | None):
    path = write(tmp_path / "train.csv", f'{HEADER}"air drumming",-_12345-_67,9,19,train\n')
    file = file.format("-_12345-_67_000009_000019")
    touch(tmp_path / "videos", file, "other/xxxxxxxxxxx.mp4", "-_12345-_67_000009_000020.mp4")
    (row,) = rows_of("kinetics400", tmp_path / "videos", path)
    assert (row.name, row.label, row.split, row.line) == (file, "air drumming", "train", 2)
    assert Path(row.path).is_file()
    assert (row.start_seconds, row.end_seconds) == (times or (None, None))


@pytest.mark.parametrize(
    "text",
    [
        "label,youtube_id,time_start,time_end,split,is_cc\r\nzumba,abc,1,11,validate,0\r\n",
        "youtube_id,label,time_end,time_start,split\nabc,zumba,11,1,val\n",
        "split,Time_Start,Time_End,YouTube_ID,LABEL\nVALIDATION,1.0,11.0,abc,ZUMBA\n",
        "\ufefflabel-name,video-id,start-time,end-time\n\n zumba ,abc, 1,11\n",
        "zumba,abc,1,11,val\n",
        "zumba,abc,1,11\n",
        'label\tyoutube_id\ttime_start\ttime_end\n"zumba"\t abc \t1\t11\n',
    ],
)
def test_releases_differ(tmp_path: Path, text: str):
    path = write(tmp_path / "kinetics-400_val.csv", text)
    touch(tmp_path, "abc_000001_000011.mp4")
    (row,) = rows_of("kinetics400", tmp_path, path)
    assert (row.label, row.split, row.start_seconds) == ("zumba", "val", None)
    assert row.name == "abc_000001_000011.mp4"


def test_a_folder_of_lists_of_which_one_has_no_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    lists = tmp_path / "annotations"
    write(lists / "train.csv", HEADER + "zumba,aaa,0,10,train\nabseiling,bbb,0,10,train\n")
    write(lists / "validate.csv", HEADER + "zumba,ccc,0,10,validate\n")
    write(lists / "test.csv", "youtube_id,time_start,time_end,split\nddd,0,10,test\n")
    write(lists / "kinetics_400_labels.csv", "id,name\n0,abseiling\n")
    touch(tmp_path / "videos", *(f"{name * 3}_000000_000010.mp4" for name in "abcd"))
    index = load_index(source("kinetics400", tmp_path / "videos", lists))
    assert index.splits() == {"train": 2, "val": 1}
    assert index.class_names == label_names("kinetics400")
    assert "test.csv: its only clip has no label" in capsys.readouterr().err
    # Without --annotations the usual folder inside the data is found.
    assert load_index(DataSource(str(tmp_path), format="kinetics400")).splits() == index.splits()
    with pytest.raises(DataError, match="lists no clips with a label"):
        rows_of("kinetics400", tmp_path, lists / "test.csv")


def test_missing_videos_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = write(tmp_path / "a.csv", HEADER + "zumba,aaa,0,10,val\nzumba,bbb,0,10,val\n")
    touch(tmp_path, "aaa_000000_000010.mp4")
    data = source("kinetics400", tmp_path, path)
    assert len(load_index(data)) == 1
    said = capsys.readouterr().err
    assert "a.csv: 1 of 2 listed files is missing: bbb_000000_000010 (line 3)" in said
    faults = Faults(collect=True)
    assert len(load_index(data, faults=faults)) == 1
    assert [(f.kind, f.name, f.where) for f in faults.found] == [
        ("missing", "bbb_000000_000010", f"{path}:3")
    ]
    (tmp_path / "aaa_000000_000010.mp4").unlink()
    with pytest.raises(DataError, match="2 of 2 listed files are missing"):
        load_index(data)


def test_parts_of_one_video_are_a_group(tmp_path: Path):
    text = "zumba,aaa,0,10,train\nabseiling,aaa,20,30,train\nzumba,bbb,0,10,train\n"
    path = write(tmp_path / "train.csv", HEADER + text)
    touch(tmp_path, "aaa.mp4", "bbb.mp4")
    rows = rows_of("kinetics600", tmp_path, path)
    assert [(r.group, r.start_seconds, r.end_seconds) for r in rows] == [
        ("aaa", 0, 10),
        ("aaa", 20, 30),
        (None, 0, 10),
    ]


def test_files_named_by_the_id_that_are_cut_already(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    lines = [
        f"zumba,{name},{start},{start + 2},train\n"
        for name, start in (("a", 6), ("b", 3), ("c", 0))
    ]
    path = write(tmp_path / "train.csv", HEADER + "".join(lines))
    # Without a file that can be read they are taken for whole videos.
    touch(tmp_path, "a.mp4")
    assert [r.start_seconds for r in rows_of("kinetics400", tmp_path, path)] == [6, None, None]
    write_video(tmp_path / "a.mp4", seconds=2)
    write_video(tmp_path / "b.mp4", seconds=2.25)
    write_video(tmp_path / "c.mp4", seconds=2)
    rows = rows_of("kinetics400", tmp_path, path)
    assert {(r.start_seconds, r.end_seconds) for r in rows} == {(None, None)}
    assert "they are taken to be cut already" in capsys.readouterr().err
    write_video(tmp_path / "a.mp4", seconds=10)
    write_video(tmp_path / "b.mp4", seconds=6)
    rows = rows_of("kinetics400", tmp_path, path)
    assert [(r.start_seconds, r.end_seconds) for r in rows] == [(6, 8), (3, 5), (0, 2)]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("zumba,,0,10,val", "youtube_id is empty"),
        (",aaa,0,10,val", "label is empty"),
        ("zumba,aaa,x,10,val", "numbers of seconds from 0 on, not 'x'"),
        ("zumba,aaa,0,nan,val", "not 'nan'"),
        ("zumba,aaa,-1,10,val", "not '-1'"),
        ("zumba,aaa,10,10,val", "time_end 10 is not after time_start 10"),
        ("zumba,aaa", "not ''"),
        ("zumba,aaa,0,10,valley", "unknown split 'valley'"),
    ],
)
def test_wrong_lines_are_named_or_collected(tmp_path: Path, line: str, message: str):
    good = "zumba,bbb,0,10,val\n"
    path = write(tmp_path / "val.csv", f"{HEADER}{good}{line}\n{good}")
    touch(tmp_path, "aaa.mp4", "bbb.mp4")
    with pytest.raises(DataError) as caught:
        rows_of("kinetics400", tmp_path, path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}:3: ")
    faults = Faults(collect=True)
    assert [r.line for r in rows_of("kinetics400", tmp_path, path, faults)] == [2, 4]
    assert len(faults.found) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty; expected a Kinetics CSV"),
        ("path,label\nx.mp4,zumba\n", "no column 'youtube_id'"),
        ("youtube_id,label\naaa,zumba\n", "no column 'time_start'"),
    ],
)
def test_lists_of_another_kind(tmp_path: Path, text: str, message: str):
    with pytest.raises(DataError, match=message):
        rows_of("kinetics400", tmp_path, write(tmp_path / "val.csv", text))


def test_lists_that_are_not_there_or_twice(tmp_path: Path):
    with pytest.raises(DataError, match=r"no Kinetics CSV .* in it; say where with --annotations"):
        rows_of("kinetics400", tmp_path)
    for name in ("train.csv", "k600_train.csv"):
        write(tmp_path / name, HEADER)
    with pytest.raises(DataError, match=r"two lists of the split 'train', k600_train.csv and"):
        rows_of("kinetics400", tmp_path)


def test_a_label_of_another_set_is_named(tmp_path: Path):
    path = write(tmp_path / "val.csv", HEADER + "abselling,aaa,0,10,val\n")
    touch(tmp_path, "aaa.mp4")
    with pytest.raises(DataError, match=r"val\.csv:2: label 'abselling' .* mean 'abseiling'"):
        load_index(source("kinetics400", tmp_path, path))


def test_the_official_list(shared_data: Path, tmp_path: Path):
    path = shared_data / "lists" / "kinetics400_val_head.csv"
    rows = rows_of("kinetics400", tmp_path, path)
    assert len(rows) == 399
    assert {row.split for row in rows} == {"val"}
    assert {row.label for row in rows} <= set(label_names("kinetics400"))
    assert rows[0].name == ABSEILING
    touch(tmp_path, f"abseiling/{ABSEILING}.mp4", f"{rows[-1].name[:11]}.webm")
    index = load_index(source("kinetics400", tmp_path, path))
    assert [clip.start_seconds is None for clip in index.clips] == [True, False]
    assert index.clips[0].label == 0


IDS = st.text(string.ascii_letters + string.digits + "-_", min_size=11, max_size=11)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    clips=st.dictionaries(IDS, st.integers(0, 99_999), min_size=1, max_size=8),
    whole=st.sets(st.integers(0, 7)),
    absent=st.sets(st.integers(0, 7)),
    data=st.data(),
)
def test_every_file_is_found_and_no_other(
    clips: dict[str, int], whole: set[int], absent: set[int], data: st.DataObject
):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        lines, expected = [], []
        for i, (video, start) in enumerate(clips.items()):
            lines.append(f"zumba,{video},{start},{start + 10},train")
            stem = video if i in whole else f"{video}_{start:06}_{start + 10:06}"
            folder = data.draw(st.sampled_from(["", "zumba/", "train/zumba/"]))
            ending = data.draw(st.sampled_from([".mp4", ".webm", ".mkv", ".MP4"]))
            if i not in absent:
                touch(root, f"{folder}{stem}{ending}")
                expected.append((f"{folder}{stem}{ending}", start if i in whole else None))
        path = write(root / "train.csv", HEADER + "\n".join(lines))
        rows = rows_of("kinetics700", root, path)
        found = [(r.name, r.start_seconds) for r in rows if Path(r.path).exists()]
        assert found == expected
        assert len(rows) == len(clips)

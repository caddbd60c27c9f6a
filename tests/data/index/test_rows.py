from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_mobile_former.data.index import rows as rows_module
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.listing import list_rows
from video_mobile_former.data.index.rows import present, without_repetitions
from video_mobile_former.data.index.source import DataSource, Faults
from video_mobile_former.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def listing(root: Path, text: str) -> Path:
    touch(root, "a.mp4", "b.mp4")
    path = root / "clips.csv"
    path.write_text(text)
    return path


def read_list(path: Path) -> list[Clip[str]]:
    source, faults = DataSource(str(path)), Faults()
    rows = without_repetitions(list_rows(source, faults), faults)
    return list(present(rows, source, faults, may_lack=False))


def rows_of(root: Path, *names: str) -> list[Clip[str]]:
    return [Clip(f"{root}/{name}", ("x",), name, "list", i) for i, name in enumerate(names, 1)]


def found(root: Path, names: list[str]) -> list[str]:
    source, faults = DataSource(str(root)), Faults(collect=True)
    kept = [row.name for row in present(rows_of(root, *names), source, faults, may_lack=False)]
    assert sorted([*kept, *(fault.name for fault in faults.found)]) == sorted(names)
    return kept


# Repetitions


def test_repeated_rows_count_once(tmp_path: Path):
    rows = read_list(listing(tmp_path, "path,label\na.mp4,x\nb.mp4,y\na.mp4,x\n./a.mp4,x\n"))
    assert [r.name for r in rows] == ["a.mp4", "b.mp4"]


def test_parts_of_one_file_may_carry_different_labels(tmp_path: Path):
    text = "path,label,start_seconds,end_seconds\na.mp4,x,0,1\na.mp4,y,1,2\n"
    assert [r.label for r in read_list(listing(tmp_path, text))] == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,label\na.mp4,x\nb.mp4,x\na.mp4,y\n",
            "clips.csv:4: a.mp4 has label 'y' here and 'x' at ",
        ),
        (
            "path,label,split\na.mp4,x,train\na.mp4,x,test\n",
            "clips.csv:3: a.mp4 is in split 'test' here and in 'train' at ",
        ),
    ],
)
def test_one_clip_said_in_two_ways(tmp_path: Path, text: str, message: str):
    with pytest.raises(DataError) as caught:
        read_list(listing(tmp_path, text))
    assert message in str(caught.value)
    assert str(caught.value).endswith("clips.csv:2")


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["/d/a", "/d/b", "/d/./a", "/e/a", "/d//b", "/da"]),
            st.sampled_from(["x", "y"]),
            st.sampled_from([None, "train", "val"]),
            st.sampled_from([None, 1.0]),
        ),
        max_size=12,
    )
)
def test_repetitions_as_a_plain_search_finds_them(
    said: list[tuple[str, str, str | None, float | None]],
):
    rows = [
        Clip(path, (label,), path, "list", line, split, start_seconds=start)
        for line, (path, label, split, start) in enumerate(said, 1)
    ]
    kept: list[Clip[str]] = []
    wrong: list[tuple[str, str]] = []
    for row in rows:
        same = [k for k in kept if _clip(k) == _clip(row)]
        if not same:
            kept.append(row)
        elif same[0].labels != row.labels:
            wrong.append(("two labels", f"list:{same[0].line}"))
        elif same[0].split != row.split:
            wrong.append(("two splits", f"list:{same[0].line}"))
    faults = Faults(collect=True)
    assert list(without_repetitions(iter(rows), faults)) == kept
    assert [(f.kind, f.text.rsplit(" at ")[1]) for f in faults.found] == wrong


def _clip(row: Clip[str]) -> tuple[str, float | None]:
    return os.path.normpath(row.path), row.start_seconds


# Files that are not there


def test_missing_files_are_counted(tmp_path: Path):
    text = "path,label\n" + "".join(f"{i}.mp4,x\n" for i in range(9)) + "a.mp4,x\n"
    with pytest.raises(DataError) as caught:
        read_list(listing(tmp_path, text))
    message = str(caught.value)
    assert "9 of 10 listed files are missing: 0.mp4 (line 2), 1.mp4 (line 3), 2.mp4" in message
    assert f"relative paths are relative to {tmp_path}" in message


@pytest.mark.parametrize("count", [3, 40, 200])
def test_each_of_many_files_is_looked_for(tmp_path: Path, count: int):
    there = [f"{i}.mp4" for i in range(count)]
    touch(tmp_path, *there, *(f"sub/{name}" for name in there))
    names = [*there, "gone.mp4", *(f"sub/{name}" for name in [*there, "gone.mp4"])]
    assert found(tmp_path, names) == [name for name in names if "gone" not in name]


def test_listed_folders_know_parts_links_and_other_spellings(tmp_path: Path):
    there = [f"{i}.mp4" for i in range(30)]
    touch(tmp_path, *there)
    (tmp_path / "link.mp4").symlink_to(tmp_path / "0.mp4")
    (tmp_path / "nowhere.mp4").symlink_to(tmp_path / "gone.mp4")
    odd = ["29.mp4", "29.mp4", "link.mp4", "../" + tmp_path.name + "/1.mp4", "./2.mp4"]
    assert found(tmp_path, [*there, *odd, "nowhere.mp4"]) == [*there, *odd]


def test_a_large_folder_is_not_listed_for_a_few_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rows_module, "_LISTED_PER_LOOK", 2)
    there = [f"{i}.mp4" for i in range(200)]
    touch(tmp_path, *there)
    looks: list[str] = []
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: looks.append(path) or exists(path))
    found(tmp_path, there[:60])
    assert len(looks) == 60  # listing 16 × 2 or 32 × 2 entries does not show the whole folder
    looks.clear()
    found(tmp_path, there)
    assert len(looks) == 128  # 128 × 2 does


def test_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    there = [f"{i}.mp4" for i in range(40)]
    touch(tmp_path, *there)

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert found(tmp_path, [*there, "gone.mp4"]) == there

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.errors import DataError, UserError
from video_mobile_former.inference.sources import expand_sources
from video_mobile_former.text import natural_key


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(folder: Path, found: Sequence[Path | str]) -> list[str]:
    return [Path(path).relative_to(folder).as_posix() for path in found]


def test_a_folder_gives_its_videos_in_natural_order(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "clip10.mp4",
        "clip2.mp4",
        "b/clip1.MKV",
        "b/notes.txt",
        ".hidden.mp4",
        ".trash/clip3.mp4",
    )
    assert names(tmp_path, expand_sources(tmp_path)) == ["b/clip1.MKV", "clip2.mp4", "clip10.mp4"]


def test_a_file_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    touch(tmp_path, "film.dat", "what[1]*.mp4")
    wanted = [tmp_path / "film.dat", tmp_path / "what[1]*.mp4"]
    assert expand_sources(wanted) == wanted


def test_patterns_are_expanded_where_the_shell_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/x2.mp4", "a/x11.mp4", "a/deep/y.mp4", "b/z.avi", "c.mp4")
    monkeypatch.chdir(tmp_path)
    assert expand_sources("a/*.mp4") == [Path("a/x2.mp4"), Path("a/x11.mp4")]
    assert expand_sources(str(tmp_path / "a" / "x[0-9].mp4")) == [tmp_path / "a" / "x2.mp4"]
    # Folders among the matches are searched.
    assert expand_sources("[ab]") == [
        Path("a/deep/y.mp4"),
        Path("a/x2.mp4"),
        Path("a/x11.mp4"),
        Path("b/z.avi"),
    ]
    assert expand_sources("**/y.mp4") == [Path("a/deep/y.mp4")]


def test_sources_keep_their_order_and_each_file_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "z.mp4", "a.mp4", "b.mp4")
    monkeypatch.chdir(tmp_path)
    found = expand_sources(["z.mp4", ".", "./z.mp4", tmp_path / "a.mp4", "*.mp4"])
    assert found == [Path("z.mp4"), Path("a.mp4"), Path("b.mp4")]


def test_linked_folders_are_followed_without_end(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "a.mp4")
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(clips)
    assert names(clips, expand_sources(clips)) == ["linked/a.mp4"]


def test_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.mp4")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand_sources("~/*.mp4") == [tmp_path / "a.mp4"]
    assert expand_sources("~") == [tmp_path / "a.mp4"]


@pytest.mark.parametrize("source", ["nothing.mp4", "*.nothing", "no folder/here"])
def test_a_source_that_matches_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    touch(tmp_path, "a.mp4")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        expand_sources(["a.mp4", source])
    assert str(error.value).startswith(f"{source}: no ")


def test_a_folder_without_videos_and_no_sources_at_all(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(DataError, match="no video files in this folder"):
        expand_sources(tmp_path)
    with pytest.raises(DataError, match="name at least one"):
        expand_sources([])
    with pytest.raises(DataError, match="a source is empty"):
        expand_sources("")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "locked/a.mp4", "b.mp4")
    (tmp_path / "locked").chmod(0)
    try:
        with pytest.raises(DataError, match="locked: Permission denied"):
            expand_sources(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o755)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=8, unique=True), st.randoms())
@settings(deadline=None)
def test_numbers_sort_by_value(numbers: list[int], shuffler: random.Random) -> None:
    paths = [Path(f"take {n} b/clip{n}.mp4") for n in sorted(numbers)]
    shuffled = paths.copy()
    shuffler.shuffle(shuffled)
    assert sorted(shuffled, key=natural_key) == paths


@given(st.lists(st.text("aB1²٣ .", min_size=1, max_size=6), max_size=8))
@settings(deadline=None)
def test_any_names_can_be_sorted_and_the_order_is_one(texts: list[str]) -> None:
    once = sorted(texts, key=natural_key)
    backwards = texts[::-1]
    assert sorted(backwards, key=natural_key) == once


def test_a_url_stands_for_itself(tmp_path: Path):
    url = "https://example.org/a/clip.mp4"
    assert expand_sources([url, url]) == [url]
    with pytest.raises(UserError, match="nothing://"):
        expand_sources("nothing://example.org/clip.mp4")

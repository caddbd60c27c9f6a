"""Files are found under any name, and as copies; others of the same size are not."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from video_mobile_former.data.index.same_file import in_files


def test_links_detours_and_copies_are_the_same_file(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    measured = folder / "a.mp4"
    measured.write_bytes(b"one video")
    (folder / "other.mp4").write_bytes(b"ONE video")  # as long, and another
    (tmp_path / "copy.mp4").write_bytes(b"one video")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "hard.mp4").hardlink_to(measured)
    paths = [
        str(folder / "other.mp4"),
        str(measured),
        f"{folder}/../clips/a.mp4",
        str(tmp_path / "link" / "a.mp4"),
        str(tmp_path / "hard.mp4"),
        str(tmp_path / "copy.mp4"),
        str(tmp_path / "link" / "other.mp4"),
    ]
    assert in_files(paths, [str(measured)]) == [1, 2, 3, 4, 5]


def test_folders_of_pictures_and_names_without_a_file(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    (tmp_path / "link").symlink_to(frames)
    url = "https://example.org/a.tar"
    paths = [str(tmp_path / "link"), url, str(tmp_path / "gone.mp4"), str(tmp_path), "a\0b"]
    assert in_files(paths, [str(frames), url]) == [0, 1]
    assert in_files(paths, []) == []


@given(contents=st.lists(st.binary(max_size=2), min_size=1, max_size=8), cut=st.integers(0, 8))
def test_found_is_what_has_the_content_of_one(
    tmp_path_factory: object, contents: list[bytes], cut: int
) -> None:
    folder = Path(tmp_path_factory.mktemp("many"))  # type: ignore[attr-defined]
    paths = []
    for number, content in enumerate(contents):
        path = folder / f"{number}.mp4"
        path.write_bytes(content)
        paths.append(os.fspath(path))
    wanted = set(contents[:cut])
    expected = [i for i, content in enumerate(contents) if content in wanted]
    assert in_files(paths, paths[:cut]) == expected

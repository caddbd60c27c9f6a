"""What a batch run is pointed at becomes one list of videos."""

from __future__ import annotations

import functools
import http.server
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from procedural_files import write_clips
from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.prepare.write_shards import write_shards
from video_mobile_former.errors import UserError
from video_mobile_former.inference.batch.sources import batch_items


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    for name in ("b/2.mp4", "b/10.mp4", "a.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A folder over HTTP."""
    pytest.importorskip("aiohttp")
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def names(*sources: str | Path) -> list[str]:
    return [item.path for item in batch_items([str(source) for source in sources])]


def test_folders_patterns_and_files_each_once(clips: Path) -> None:
    wanted = [str(clips / name) for name in ("a.mp4", "b/2.mp4", "b/10.mp4")]
    assert names(clips) == wanted
    assert names(clips / "b" / "*.mp4", clips) == [*wanted[1:], wanted[0]]
    assert names(wanted[2], clips) == [wanted[2], *wanted[:2]]


def test_lists_name_files_beside_them_and_parts(clips: Path) -> None:
    (clips / "l.txt").write_text("# two\nb/2.mp4\n\na.mp4\n")
    assert names(clips / "l.txt") == [str(clips / "b/2.mp4"), str(clips / "a.mp4")]
    table = "label,path,start_seconds,end_seconds\nx,a.mp4,0,1.5\nx,a.mp4,2,\n"
    (clips / "l.csv").write_text(table)
    items = batch_items([clips / "l.csv"])
    assert [(i.path, i.start_seconds, i.end_seconds) for i in items] == [
        (str(clips / "a.mp4"), 0.0, 1.5),
        (str(clips / "a.mp4"), 2.0, None),
    ]
    assert len({item.key for item in items}) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.mp4,x\n", "path among them"),
        ("path,label\na.mp4\n", ":2: 1 fields"),
        ("path\n\n", "no videos"),
        ("path,end_seconds\na.mp4,nan\n", ":2: seconds"),
        ("path,label\n ,x\n", ":2: path is empty"),
    ],
)
def test_bad_lists_name_the_line(clips: Path, text: str, message: str) -> None:
    (clips / "l.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        batch_items([clips / "l.csv"])


def test_nothing_found_is_said(clips: Path) -> None:
    for source in (clips / "none*.mp4", clips / "gone.mp4", clips / "gone.csv"):
        with pytest.raises(UserError, match=source.name.replace("*", r"\*")):
            batch_items([source])


@pytest.mark.slow
def test_shards_of_ours(tmp_path: Path) -> None:
    listing = write_clips(tmp_path / "clips", {"train": 1}, num_frames=4)
    write_shards(load_index(str(listing)), tmp_path / "shards", num_workers=1)
    items = batch_items([tmp_path / "shards"])
    assert len(items) == 8
    assert all(item.offset and item.size for item in items)
    assert all(item.path.startswith(f"{item.file}/") for item in items)


def test_shards_of_others_need_no_labels(clips: Path, tmp_path: Path) -> None:
    first = clips / "a.mp4"
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(first, "x/one.mp4")  # nothing says its class
    (tmp_path / "tars.txt").write_text("other.tar\n")
    for source in ("other.tar", "tars.txt"):
        (item,) = batch_items([tmp_path / source])
        assert (item.path, item.size) == (
            str(tmp_path / "other.tar/x/one"),
            first.stat().st_size,
        )


def test_urls_of_files_lists_and_folders(clips: Path, server: str) -> None:
    (clips / "l.txt").write_text("b/2.mp4\n")
    wanted = [f"{server}/clips/{name}" for name in ("a.mp4", "b/10.mp4", "b/2.mp4")]
    assert names(f"{server}/clips/") == wanted
    assert names(f"{server}/clips/b/*.mp4") == wanted[1:]
    assert names(wanted[1]) == [wanted[1]]
    assert names(f"{server}/clips/l.txt") == [wanted[2]]
    with pytest.raises(UserError, match="no video files"):
        batch_items([f"{server}/clips/c*.mp4"])
    with pytest.raises(UserError, match=r"gone\.txt"):
        batch_items([f"{server}/clips/gone.txt"])

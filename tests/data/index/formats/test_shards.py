from __future__ import annotations

import functools
import http.server
import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import fsspec
import pytest

from video_files import read_number, write_video
from video_mobile_former.data.index.index import ClipIndex, load_index
from video_mobile_former.data.index.source import DataSource, Faults
from video_mobile_former.data.prepare.settings import ShardSettings
from video_mobile_former.data.prepare.write_shards import write_shards
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import DataError, UserError


def tar(members: Mapping[str, bytes], mode: str = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as file:  # pyright: ignore[reportCallIssue, reportArgumentType]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return stream.getvalue()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_video(tmp_path_factory.mktemp("v") / "a.mp4", 6).read_bytes()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips of three to fourteen frames in four shards."""
    folder = tmp_path_factory.mktemp("shards")
    lines = ["path,label,split"]
    for i in range(12):
        write_video(folder / "clips" / f"{i}.mp4", i + 3)
        lines.append(f"clips/{i}.mp4,{'ab'[i % 2]},train")
    (folder / "clips.csv").write_text("\n".join(lines))
    write_shards(load_index(str(folder / "clips.csv")), folder / "out", ShardSettings(1, 3))
    return folder / "out"


def lengths(index: ClipIndex) -> dict[str, int]:
    out = {}
    for clip in index.clips:
        with VideoReader(clip.path, offset=clip.offset, size=clip.size) as reader:
            out[clip.name] = len(reader.timestamps())
            assert read_number(reader.frames([2])[0].permute(1, 2, 0).numpy()) == 2
    return out


EXPECTED = {f"clips/{i}.mp4": i + 3 for i in range(12)}


class Ranges(http.server.SimpleHTTPRequestHandler):
    """A server of files that knows ranges and counts what it sends."""

    sent = 0

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        body, status = path.read_bytes(), 200
        total = len(body)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        first, last = 0, total - 1
        if wanted:
            first, last = int(wanted[1]), int(wanted[2] or last)
            body, status = body[first : last + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{total}")
        self.end_headers()
        if self.command == "GET":
            type(self).sent += len(body)
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(shards: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp", reason="http:// URLs need aiohttp")
    handler = functools.partial(Ranges, directory=str(shards))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


@pytest.mark.slow
def test_by_http(server: str):
    for named in (server, f"{server}/shards.json"):
        index = load_index(named)
        assert index.source == named
        assert lengths(index) == EXPECTED
    assert {clip.path for clip in index.clips} == {f"{server}/shard-{i:06d}.tar" for i in range(4)}


def test_tars_by_http_are_read_by_their_headers(server: str, shards: Path):
    index = load_index(f"{server}/shard-{{000000..000003}}.tar")
    assert sorted(lengths(index).values()) == sorted(EXPECTED.values())
    with pytest.raises(UserError, match=r"shard-000009\.tar: no such file"):
        load_index(f"{server}/shard-000009.tar")


def test_videos_are_passed_over_where_only_headers_are_wanted(tmp_path: Path, server: str):
    folder = Path(Ranges.__name__)  # only the large file of this test counts
    del folder
    big = {f"{i}.mp4": bytes(3_000_000) for i in range(3)}
    labels = {f"{i}.cls": b"0" for i in range(3)}
    members = {
        name: data for pair in zip(big.items(), labels.items(), strict=True) for name, data in pair
    }
    (tmp_path / "big.tar").write_bytes(tar(members))
    handler = functools.partial(Ranges, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        Ranges.sent = 0
        index = load_index(f"http://127.0.0.1:{found.server_port}/big.tar")
        found.shutdown()
        thread.join()
    assert len(index) == 3
    assert Ranges.sent < 1_500_000


def test_by_fsspec(shards: Path):
    system = fsspec.filesystem("memory")
    for path in shards.iterdir():
        if path.suffix in (".tar", ".json"):
            system.pipe_file(f"/bucket/set/{path.name}", path.read_bytes())
    assert lengths(load_index("memory://bucket/set")) == EXPECTED
    assert lengths(load_index("memory://bucket/set/shards.json")) == EXPECTED
    index = load_index("memory://bucket/set/shard-{000000..000003}.tar")
    assert sorted(lengths(index).values()) == sorted(EXPECTED.values())
    # The list here, the tar files there.
    index = load_index(DataSource(str(shards / "shards.json"), root="memory://bucket/set"))
    assert lengths(index) == EXPECTED
    assert all(clip.path.startswith("memory://bucket/set/shard-") for clip in index.clips)


def test_a_file_of_names(shards: Path, tmp_path: Path):
    text = (
        f"# two by two\n{shards}/shard-{{000000..000001}}.tar\n\n{shards}/shard-00000{{2,3}}.tar\n"
    )
    (tmp_path / "names.txt").write_text(text)
    index = load_index(DataSource(str(tmp_path / "names.txt"), format="shards"))
    assert sorted(lengths(index).values()) == sorted(EXPECTED.values())
    (tmp_path / "names.txt").write_text("gone-{0..2}.tar\n")
    with pytest.raises(DataError, match=r"3 of 3 shards are missing: .*gone-0\.tar"):
        load_index(DataSource(str(tmp_path / "names.txt"), format="shards"))


def test_labels_beside_the_videos(tmp_path: Path, video: bytes):
    members = {
        "d/k0.mp4": video,
        "d/k0.json": json.dumps({"label": "run", "split": "validation", "group": 7}).encode(),
        "d/k1.webm": video,
        "d/k1.cls": b"walk\n",
        "d/k2.mp4": video,
        "d/k2.txt": "spring ü".encode(),
        "d/k3.txt": b"walk",  # the text of k3 is a caption, its JSON knows better
        "d/k3.json": b'{"class": "run", "start_seconds": 1, "end_seconds": 2.5}',
        "d/k3.mp4": video,
        "d/k4.jpg": b"no video",
        "d/k4.cls": b"walk",
        "README": b"x",
    }
    (tmp_path / "a.tar").write_bytes(tar(members))
    index = load_index(str(tmp_path / "a.tar"))
    found = {clip.name: (index.class_names[clip.label], clip.split) for clip in index.clips}
    assert found == {
        "a.tar/d/k0": ("run", "val"),
        "a.tar/d/k1": ("walk", None),
        "a.tar/d/k2": ("spring ü", None),
        "a.tar/d/k3": ("run", None),
    }
    parts = {clip.name: (clip.start_seconds, clip.end_seconds) for clip in index.clips}
    assert parts["a.tar/d/k3"] == (1.0, 2.5)
    assert {clip.name: clip.group for clip in index.clips}["a.tar/d/k0"] == "7"
    for clip in index.clips:
        with VideoReader(clip.path, offset=clip.offset, size=clip.size) as reader:
            assert len(reader.timestamps()) == 6


def test_numbers_that_are_no_classes(tmp_path: Path, video: bytes):
    (tmp_path / "a.tar").write_bytes(tar({"0.mp4": video, "0.cls": b"1000000000000"}))
    with pytest.raises(DataError, match="1000000000000 is no number of a class"):
        load_index(str(tmp_path))
    members = {"0.mp4": video, "0.cls": b"1", "1.mp4": video, "1.json": b'{"label": -1}'}
    (tmp_path / "a.tar").write_bytes(tar(members))
    with pytest.raises(DataError, match=r"a\.tar/1: class -1 of 2"):
        load_index(str(tmp_path))


def test_numbers_of_classes(tmp_path: Path, video: bytes):
    members = {}
    for i, label in enumerate((2, 10, 0)):
        members |= {f"{i}.mp4": video, f"{i}.cls": str(label).encode()}
    (tmp_path / "a.tar").write_bytes(tar(members))
    index = load_index(str(tmp_path))
    assert index.class_names == tuple(str(i) for i in range(11))
    assert [clip.label for clip in index.clips] == [2, 10, 0]
    (tmp_path / "names.txt").write_text("zebra\nape\ndog\n")
    source = DataSource(str(tmp_path / "a.tar"), label_file=str(tmp_path / "names.txt"))
    with pytest.raises(DataError, match=r"a\.tar/1: class 10 of 3, counted from 0"):
        load_index(source)
    faults = Faults(collect=True)
    index = load_index(source, faults=faults)
    assert [index.class_names[clip.label] for clip in index.clips] == ["dog", "zebra"]
    assert [fault.kind for fault in faults.found] == ["unknown label"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.mp4": b"v", "a.mkv": b"v", "a.cls": b"0"}, "'a' has two videos"),
        ({"a.mp4": b"v"}, "its class is in no .json, .cls or .txt beside it"),
        ({"a.mp4": b"v", "a.json": b"{"}, "its .json is not understood"),
        ({"a.mp4": b"v", "a.json": b'{"label": "x", "split": "some"}'}, "unknown split 'some'"),
        ({"a.mp4": b"v", "a.json": b'{"other": 1}'}, "its class is in no"),
        ({"a.cls": b"0"}, "lists no clips"),
    ],
)
def test_what_is_not_understood_is_said(tmp_path: Path, members: dict[str, bytes], message: str):
    (tmp_path / "a.tar").write_bytes(tar(members))
    with pytest.raises(DataError, match=message):
        load_index(str(tmp_path / "a.tar"))


def test_what_is_no_tar_is_said(tmp_path: Path, video: bytes):
    whole = tar({"a.cls": b"0", "a.mp4": video * 5})
    (tmp_path / "a.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(DataError, match="not a tar file, or damaged"):
        load_index(str(tmp_path / "a.tar"))
    (tmp_path / "a.tar").write_bytes(whole[: len(video)])
    with pytest.raises(DataError, match="unexpected end of data"):
        load_index(str(tmp_path / "a.tar"))
    (tmp_path / "a.tar.gz").write_bytes(tar({"a.cls": b"0", "a.mp4": video}, "w:gz"))
    with pytest.raises(DataError, match="must be plain tar files"):
        load_index(DataSource(str(tmp_path / "a.tar.gz"), format="shards"))
    with pytest.raises(DataError, match="1 of 1 shards are missing"):
        load_index(str(tmp_path / "gone.tar"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"label": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"label": "a", "label": "b"}', "stands twice"),
        (b'{"label": "a"' + b" " * 10_000_001 + b"}", "larger than"),
    ],
)
def test_json_beside_a_clip_has_bounds(tmp_path: Path, video: bytes, content: bytes, message: str):
    (tmp_path / "a.tar").write_bytes(tar({"1.mp4": video, "1.json": content}))
    with pytest.raises(DataError, match=message):
        load_index(str(tmp_path / "a.tar"))


def test_a_description_that_stands_twice(tmp_path: Path, video: bytes):
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as file:
        for name, data in (("1.mp4", video), ("1.cls", b"0"), ("1.cls", b"1")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    (tmp_path / "a.tar").write_bytes(whole.getvalue())
    with pytest.raises(DataError, match=r"'1' has two members \.cls"):
        load_index(str(tmp_path / "a.tar"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "[" * 100_000, "nested too deeply"),
        (
            lambda text: re.sub(r'"labels":\[\[?\d+', lambda m: m[0] + "0" * 20, text, count=1),
            "damaged",
        ),
        (lambda text: text.replace('"format": 1', '"format": 1, "format": 1'), "stands twice"),
    ],
)
def test_a_list_of_shards_has_bounds(shards: Path, tmp_path: Path, change, message: str):
    text = (shards / "shards.json").read_text()
    assert change(text) != text
    (tmp_path / "shards.json").write_text(change(text))
    with pytest.raises(DataError, match=message):
        load_index(str(tmp_path / "shards.json"))

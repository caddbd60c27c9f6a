from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import fsspec
import numpy as np
import pytest
import torch

from video_files import write_video
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data import byte_ranges as module
from video_mobile_former.data.byte_ranges import is_url, join, read_bytes, require_protocol
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.loading.dataset import ClipDataset, ClipFailure
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import UserError, VideoError

CONTENT = bytes(range(256)) * 40


class Answers(http.server.BaseHTTPRequestHandler):
    """A server of CONTENT that fails as its class variables say."""

    statuses: ClassVar[list[int]] = []
    knows_ranges: ClassVar[bool] = True
    content: ClassVar[bytes] = CONTENT
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        status = self.statuses.pop(0) if self.statuses else 200
        body = self.content if status == 200 else b"no"
        if status == 200 and wanted and self.knows_ranges:
            first, last = wanted.removeprefix("bytes=").split("-")
            body, status = body[int(first) : int(last) + 1 if last else None], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("aiohttp", reason="http:// URLs need aiohttp")
    monkeypatch.setattr(module, "_WAITS_SECONDS", (0.01, 0.01))
    Answers.statuses, Answers.asked = [], []
    Answers.knows_ranges, Answers.content = True, CONTENT
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}/shard-0.tar"
        found.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("http://a/b.tar", True),
        ("s3://bucket/a", True),
        ("simplecache::s3://bucket/a", True),
        ("/data/a.mp4", False),
        ("http:a.mp4", False),
        ("C:\\a.mp4", False),
        ("a/b://c", False),
    ],
)
def test_what_is_a_url(path: str, expected: bool):
    assert is_url(path) is expected


def test_local_ranges(tmp_path: Path):
    path = tmp_path / "a.tar"
    path.write_bytes(CONTENT)
    assert read_bytes(path) == CONTENT
    assert read_bytes(path, 100) == CONTENT[100:]
    assert read_bytes(str(path), 100, 7) == CONTENT[100:107]
    assert read_bytes(path, 5, 0) == b""
    with pytest.raises(VideoError, match=r"a\.tar: ends at byte 10240, 60 bytes too early"):
        read_bytes(path, 10200, 100)


def test_local_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(VideoError, match=r"none\.tar: no such file"):
        read_bytes(tmp_path / "none.tar", 0, 1)
    with pytest.raises(VideoError, match="cannot be read: Is a directory"):
        read_bytes(tmp_path, 0, 1)
    with pytest.raises(VideoError, match="cannot be read: "):
        read_bytes(f"{tmp_path}/a\0.tar", 0, 1)


def test_ranges_of_a_url(server: str):
    assert read_bytes(server, 1000, 24) == CONTENT[1000:1024]
    assert read_bytes(server, 10200) == CONTENT[10200:]
    assert read_bytes(server) == CONTENT
    assert Answers.asked == ["bytes=1000-1023", None, None]


def test_a_server_that_knows_no_ranges(server: str):
    Answers.knows_ranges = False
    assert read_bytes(server, 1000, 24) == CONTENT[1000:1024]
    assert read_bytes(server, 10200) == CONTENT[10200:]


def test_a_server_that_fails_for_a_while_is_asked_again(server: str):
    Answers.statuses = [503, 429]
    assert read_bytes(server, 1000, 24) == CONTENT[1000:1024]
    assert len(Answers.asked) == 3


@pytest.mark.parametrize(
    ("statuses", "tries", "reason"),
    [
        ([503] * 9, 3, "cannot be read: the server answers 503"),
        ([404], 1, "cannot be read: no such file"),
        ([403], 1, "cannot be read: the server answers 403"),
    ],
)
def test_a_server_that_goes_on_failing(server: str, statuses: list[int], tries: int, reason: str):
    Answers.statuses = list(statuses)
    with pytest.raises(VideoError, match=reason) as caught:
        read_bytes(server, 1000, 24)
    assert caught.value.path == server
    assert "\n" not in str(caught.value)
    assert len(Answers.asked) == tries


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("aiohttp", reason="http:// URLs need aiohttp")
    monkeypatch.setattr(module, "_WAITS_SECONDS", (0.01,))
    with pytest.raises(VideoError, match=r"http://127\.0\.0\.1:9/a\.tar: cannot be read: "):
        read_bytes("http://127.0.0.1:9/a.tar", 0, 10)


def test_a_url_that_ends_too_early(server: str):
    with pytest.raises(VideoError, match="ends at byte 10240, 60 bytes too early"):
        read_bytes(server, 10200, 100)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch):
    def missing(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(UserError, match=r"reading s3:// URLs needs s3fs: pip install .*\[shards\]"):
        require_protocol("s3://bucket/a.tar")
    with pytest.raises(UserError, match="reading gs:// URLs needs another library: Install"):
        require_protocol("gs://bucket/a.tar")
    require_protocol("/a/local/file.tar")


def test_an_unknown_protocol_is_named():
    with pytest.raises(UserError, match=r"nonsense://a: unknown kind of URL"):
        require_protocol("nonsense://a")


def test_fsspec_is_imported_only_for_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    (tmp_path / "a").write_bytes(b"abc")
    assert read_bytes(tmp_path / "a", 1, 1) == b"b"
    with pytest.raises(UserError, match=r"reading memory:// URLs needs fsspec: pip install"):
        read_bytes("memory://a")


# Videos inside of other files


def inside(path: Path, videos: list[Path]) -> list[tuple[int, int]]:
    """Write videos behind one another, as a tar file has them, and tell where they lie."""
    ranges, content = [], b""
    for video in videos:
        data = video.read_bytes()
        content += b"\0" * 512
        ranges.append((len(content), len(data)))
        content += data
    path.write_bytes(content + b"\0" * 1024)
    return ranges


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "avi", "flv", "webm"])
def test_a_range_gives_what_the_file_gives(tmp_path: Path, ending: str):
    codec = {"avi": "mpeg4", "webm": "libvpx"}.get(ending, "libx264")
    video = write_video(tmp_path / f"a.{ending}", 50, codec=codec, gop=20)
    shard = tmp_path / "shard.tar"
    [(offset, size), _] = inside(shard, [video, video])
    with VideoReader(video) as whole, VideoReader(shard, offset=offset, size=size) as part:
        stamps = whole.timestamps()
        assert np.array_equal(part.timestamps(), stamps)
        assert part.info == whole.info
        for which in (np.arange(50), np.array([41, 3, 3])):
            assert torch.equal(part.frames(which), whole.frames(which))


@pytest.mark.slow
def test_samples_inside_a_shard(shared_data: Path, tmp_path: Path):
    videos = sorted((shared_data / "samples").iterdir())
    shard = tmp_path / "shard.tar"
    for video, (offset, size) in zip(videos, inside(shard, videos), strict=True):
        try:
            with VideoReader(video) as reader:
                expected = reader.frames(reader.timestamps()[::20], 32)
        except VideoError as error:
            reason = error.reason
            with (
                pytest.raises(VideoError) as caught,
                VideoReader(shard, offset=offset, size=size) as reader,
            ):
                reader.frames(reader.timestamps()[::20])
            assert caught.value.reason == reason
        else:
            with VideoReader(shard, offset=offset, size=size) as reader:
                assert torch.equal(reader.frames(reader.timestamps()[::20], 32), expected)


def test_damage_inside_a_shard_names_the_shard(tmp_path: Path):
    video = write_video(tmp_path / "a.mkv", 60)
    shard = tmp_path / "shard.tar"
    [(offset, size)] = inside(shard, [video])
    with (
        pytest.raises(VideoError, match=r"shard\.tar \(bytes from 512\): .*cut off"),
        VideoReader(shard, offset=offset, size=size // 2) as reader,
    ):
        reader.timestamps()
    with pytest.raises(VideoError, match=r"shard\.tar \(bytes from 0\): not a video file"):
        VideoReader(shard, offset=0, size=512)
    with pytest.raises(VideoError, match=r"shard\.tar \(bytes from 512\): the file is empty"):
        VideoReader(shard, offset=512, size=0)


def test_a_playlist_inside_a_shard_opens_nothing(tmp_path: Path):
    video = write_video(tmp_path / "a.ts", 30)
    shard = tmp_path / "shard.tar"
    shard.write_bytes(f"#EXTM3U\n#EXTINF:9,\n{video.as_uri()}\n#EXT-X-ENDLIST\n".encode())
    with pytest.raises(VideoError, match=r"not a video|no video"):
        VideoReader(shard, offset=0)


def test_clips_in_a_shard_and_at_a_url(tmp_path: Path, server: str):
    video = write_video(tmp_path / "a.mp4", 40)
    shard = tmp_path / "shard.tar"
    [(offset, size)] = inside(shard, [video])
    Answers.content = shard.read_bytes()
    clips = (
        Clip(str(video), labels=(0,), name="a.mp4"),
        Clip(str(shard), labels=(0,), name="shard.tar/a.mp4", offset=offset, size=size),
        Clip(server, labels=(0,), name="url/a.mp4", offset=offset, size=size),
        Clip(server, labels=(0,), name="url/b.mp4", offset=offset, size=10**6),
    )
    spec = ClipSpec(num_frames=4, crop_size=48, resize_size=56)
    dataset = ClipDataset(ClipIndex(clips, ("a",), "shards"), spec, train=False)
    plain, local, remote, short = (dataset[i] for i in range(4))
    assert not isinstance(plain, ClipFailure)
    assert not isinstance(local, ClipFailure)
    assert not isinstance(remote, ClipFailure)
    assert torch.equal(plain["clip"], local["clip"])
    assert torch.equal(plain["clip"], remote["clip"])
    assert isinstance(short, ClipFailure)
    assert short.path == "url/b.mp4"
    assert "bytes too early" in short.reason


@pytest.mark.parametrize(
    ("base", "name", "expected"),
    [
        ("/data", "a/b.mp4", "/data/a/b.mp4"),
        ("/data", "/other/b.mp4", "/other/b.mp4"),
        ("/data", "https://host/b.mp4", "https://host/b.mp4"),
        ("https://host/set/", "a/b.mp4", "https://host/set/a/b.mp4"),
        ("s3://bucket/set", "b.mp4", "s3://bucket/set/b.mp4"),
    ],
)
def test_names_in_lists(base: str, name: str, expected: str):
    assert join(base, name) == expected

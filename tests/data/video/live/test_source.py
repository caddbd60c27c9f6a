"""Files, folders, pipes, web servers, screens and cameras (RTSP) as sources: real parts."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from live_parts import (
    Child,
    RtspServer,
    Screen,
    free_port,
    motion_jpeg,
    need,
    wait_until,
    web_server,
)
from video_files import numbered_frame, read_number, write_video
from video_mobile_former.data.video.live import LiveFrame, LiveSettings, LiveSource, SourceLostError
from video_mobile_former.data.video.picture import jpeg
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import UserError


class Watched:
    """A source that is read in a thread, as it is in use."""

    def __init__(self, address: str, **settings: object):
        self.said: list[str] = []
        self.pictures: list[LiveFrame] = []
        self.numbers: list[int] = []
        self.error: Exception | None = None
        self.source = LiveSource(address, LiveSettings(**settings), report=self.said.append)  # type: ignore[arg-type]
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            for picture in self.source.pictures():
                self.pictures.append(picture)
                self.numbers.append(read_number(picture.rgb(64)))
        except UserError as error:
            self.error = error

    def until(self, condition: Callable[[], object], seconds: float = 20) -> None:
        wait_until(lambda: condition() or self.error, seconds)
        assert self.error is None, self.error

    def __enter__(self) -> Watched:
        self.thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.source.close()
        self.thread.join(10)
        assert not self.thread.is_alive()


def write_numbers(path: Path, count: int = 30, fps: int = 30, **more: object) -> Path:
    return write_video(path, count, fps=fps, **more)  # type: ignore[arg-type]


# Files


def test_a_file_gives_the_frames_of_the_reader(tmp_path: Path) -> None:
    path = write_numbers(tmp_path / "a.mp4", 40)
    with VideoReader(path) as reader:
        times, frames = reader.timestamps(), reader.frames(np.arange(40), 48)
    found = list(LiveSource(str(path)).frames(48))
    assert [seconds for seconds, _ in found] == pytest.approx(times.tolist(), abs=1e-6)
    pictures = np.stack([picture for _, picture in found])
    assert (pictures == frames.permute(0, 2, 3, 1).numpy()).all()


def test_a_file_at_its_own_speed(tmp_path: Path) -> None:
    path = write_numbers(tmp_path / "a.mp4", 20, fps=20)
    begin = time.monotonic()
    assert len(list(LiveSource(str(path), LiveSettings(realtime=True)).frames(32))) == 20
    assert time.monotonic() - begin > 0.9
    begin = time.monotonic()
    assert len(list(LiveSource(str(path)).frames(32))) == 20
    assert time.monotonic() - begin < 0.9


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n/etc/hostname\n", "playlist.*not opened"),
        (b"ffconcat version 1.0\nfile '/etc/hostname'\n", "not opened"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", "not opened"),
        (b"no video at all", "text"),
        (b"", "empty"),
    ],
)
def test_a_file_that_is_a_list_of_others_is_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        LiveSource(str(path)).open()


# Folders


def test_a_folder_gives_each_new_file_once_it_is_whole(tmp_path: Path) -> None:
    whole = write_numbers(tmp_path / "whole.mp4", 12)
    watched = tmp_path / "in"
    watched.mkdir()
    shutil.copy(whole, watched / "old.mp4")
    content = whole.read_bytes()
    with Watched(str(watched), settle_seconds=0.6) as live:
        time.sleep(0.6)
        with (watched / "b.mp4").open("wb") as file:
            for start in range(0, len(content), len(content) // 4):
                file.write(content[start : start + len(content) // 4])
                file.flush()
                time.sleep(0.25)
        (watched / "bad.mp4").write_text("no video at all")
        (watched / ".hidden.mp4").write_bytes(content)
        (watched / "notes.txt").write_text("text")
        live.until(lambda: len(live.pictures) >= 12 and live.source.state.failed)
    assert {picture.part for picture in live.pictures} == {"b.mp4"}
    assert live.numbers == list(range(12))
    assert [p.restart for p in live.pictures] == [True] + [False] * 11
    assert len(live.said) == 1
    assert "bad.mp4" in live.said[0]


def test_a_folder_gives_what_is_there_where_asked(tmp_path: Path) -> None:
    for name in ("clip10.mp4", "clip2.mp4"):
        write_numbers(tmp_path / name, 5)
    with Watched(str(tmp_path), existing=True, settle_seconds=0) as live:
        live.until(lambda: len(live.pictures) >= 10)
    assert [p.part for p in live.pictures] == ["clip2.mp4"] * 5 + ["clip10.mp4"] * 5


# Pipes


def piped(writer: str, *settings: str) -> subprocess.CompletedProcess[str]:
    """Read ``-`` in a process of its own; it prints number and time of each picture."""
    code = (
        "import sys; from video_mobile_former.data.video.live import LiveSource, LiveSettings\n"
        "from video_files import read_number\n"
        f"source = LiveSource('-', LiveSettings({', '.join(settings)}))\n"
        "for t, picture in source.frames(64): print(read_number(picture), round(t, 3))\n"
    )
    environment = os.environ | {"CODE": code}
    helpers = Path(__file__).parents[3] / "helpers"
    environment["PYTHONPATH"] = f"{os.environ.get('PYTHONPATH', '')}:{helpers}"
    command = f'{writer} | {sys.executable} -c "$CODE"'
    return subprocess.run(
        command, shell=True, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.slow
@pytest.mark.parametrize("container", ["nut", "matroska", "mpegts"])
def test_a_pipe_from_the_ffmpeg_command(tmp_path: Path, container: str) -> None:
    ffmpeg = need("ffmpeg")
    path = write_numbers(tmp_path / "a.mp4", 30)
    found = piped(f"{ffmpeg} -v error -i {path} -c copy -f {container} -")
    assert found.returncode == 0, found.stderr
    lines = [line.split() for line in found.stdout.splitlines()]
    assert [int(number) for number, _ in lines] == list(range(30))
    assert float(lines[-1][1]) == pytest.approx(29 / 30, abs=0.01)


@pytest.mark.slow
def test_a_pipe_of_bare_pixels(tmp_path: Path) -> None:
    ffmpeg = need("ffmpeg")
    path = write_numbers(tmp_path / "a.mp4", 20)
    writer = f"{ffmpeg} -v error -re -i {path} -pix_fmt rgb24 -f rawvideo -"
    found = piped(writer, "raw_size='96x64'")
    assert found.returncode == 0, found.stderr
    numbers = [int(line.split()[0]) for line in found.stdout.splitlines()]
    assert numbers == list(range(20))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("writer", "words"),
    [
        ("printf '#EXTM3U\\n#EXTINF:5,\\n/etc/hostname\\n'", "playlist"),
        ("printf 'no video'", "-: not a video but text"),
        ("sleep 3", "-: no answer in 1 s"),
    ],
)
def test_a_pipe_without_a_video(writer: str, words: str) -> None:
    found = piped(writer, "open_seconds=1")
    assert found.returncode == 1
    assert "UserError" in found.stderr
    assert re.search(words, found.stderr.splitlines()[-1])


# Web servers


@pytest.mark.slow
def test_a_file_of_a_web_server_plays_at_its_own_speed_and_ends(tmp_path: Path) -> None:
    write_numbers(tmp_path / "a.mp4", 30)
    begin = time.monotonic()
    with web_server(tmp_path) as url, Watched(f"{url}/a.mp4") as live:
        live.until(lambda: live.source.state.phase == "ended")
    assert time.monotonic() - begin > 0.9
    assert live.numbers == list(range(30))
    assert live.said == []


@pytest.mark.slow
def test_a_playlist_is_followed_where_its_address_was_given(tmp_path: Path) -> None:
    ffmpeg = need("ffmpeg")
    path = write_numbers(tmp_path / "a.mp4", 60, fps=20, gop=10)
    split = ["-c", "copy", "-f", "hls", "-hls_time", "1", "-hls_list_size", "0"]
    subprocess.run(
        [ffmpeg, "-v", "error", "-i", str(path), *split, str(tmp_path / "list.m3u8")], check=True
    )
    shutil.copy(tmp_path / "list.m3u8", tmp_path / "film.mp4")
    with web_server(tmp_path) as url:
        with Watched(f"{url}/list.m3u8") as live:
            live.until(lambda: live.source.state.phase == "ended")
        assert live.numbers == list(range(60))
        assert live.source.state.passed_over == 0
        with pytest.raises(UserError, match=r"film\.mp4: .*playlist.*m3u8"):
            LiveSource(f"{url}/film.mp4").open()


@pytest.mark.slow
def test_a_playlist_of_a_stranger_opens_no_file(tmp_path: Path) -> None:
    secret = write_numbers(tmp_path / "secret.ts", 30)
    served = tmp_path / "served"
    served.mkdir()
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    (served / "list.m3u8").write_text(text)
    with web_server(served) as url, pytest.raises(UserError) as found:
        list(LiveSource(f"{url}/list.m3u8", LiveSettings(retries=0)).frames(32))
    assert url in str(found.value)


def test_what_an_address_answers_is_said(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<!doctype html><p>hello")
    with web_server(tmp_path) as url:
        with pytest.raises(UserError, match=r"nothing at this address.*404"):
            LiveSource(f"{url}/none.mp4").open()
        with pytest.raises(UserError, match=r"page\.html: .*video"):
            LiveSource(f"{url}/page.html").open()
    with pytest.raises(UserError, match="refused"):
        LiveSource(f"http://127.0.0.1:{free_port()}/a.mp4").open()
    with pytest.raises(UserError, match=r"unknown host nobody\.invalid"):
        LiveSource("rtsp://user:geheim@nobody.invalid/live").open()


@pytest.mark.slow
def test_pictures_without_time_stamps_have_the_time_of_their_arrival() -> None:
    jpegs = [base64.b64decode(jpeg(numbered_frame(i, 96, 64))) for i in range(300)]
    with motion_jpeg(jpegs, 0.1) as url, Watched(url) as live:
        live.until(lambda: len(live.pictures) >= 25)
    assert live.numbers[:20] == list(range(20))
    # FFmpeg would say 25 a second; the first ones come together, while it looks what they are.
    steps = np.diff([picture.seconds for picture in live.pictures][10:])
    assert np.median(steps) == pytest.approx(0.1, abs=0.05)


@pytest.mark.slow
def test_mpeg_ts_over_udp(tmp_path: Path) -> None:
    path = write_numbers(tmp_path / "a.mp4", 60, fps=20, gop=10)
    url = f"udp://127.0.0.1:{free_port()}"
    loop = ["-re", "-stream_loop", "-1", "-i", str(path), "-c", "copy", "-f", "mpegts", url]
    with Child([need("ffmpeg"), "-v", "error", *loop]) as sender, Watched(url) as live:
        sender.start()
        live.until(lambda: len(live.pictures) >= 30)
    steps = np.diff([picture.seconds for picture in live.pictures])
    assert np.median(steps) == pytest.approx(0.05, abs=0.01)


# Cameras


def test_there_is_no_such_camera() -> None:
    if sys.platform != "linux" or Path("/dev/video63").exists():
        pytest.skip("a camera 63 may be there")
    with pytest.raises(UserError, match="/dev/video63: no such camera"):
        LiveSource("63").open()


@pytest.mark.slow
def test_an_rtsp_camera_gives_pictures_as_they_come() -> None:
    with RtspServer(rate=25) as server, Watched(server.url()) as live:
        live.until(lambda: len(live.pictures) >= 60)
    times = np.array([picture.seconds for picture in live.pictures])
    assert np.median(np.diff(times)) == pytest.approx(0.04, abs=0.002)
    assert max(picture.lag_seconds for picture in live.pictures) < 0.5
    assert sum(picture.restart for picture in live.pictures) == 1
    assert live.said == []


@pytest.mark.slow
def test_a_camera_that_freezes_is_opened_again_when_it_is_back() -> None:
    with RtspServer() as server, Watched(server.url(), read_seconds=1, open_seconds=2) as live:
        live.until(lambda: len(live.pictures) > 10)
        server.freeze()
        live.until(lambda: live.source.state.phase == "waiting")
        assert "no picture for 1 s" in live.said[-1]
        time.sleep(3)
        server.thaw()
        live.until(lambda: live.source.state.reconnects)
        live.until(lambda: live.pictures[-1].seconds > 4)
    assert sum(picture.restart for picture in live.pictures) == 2
    assert (np.diff([picture.seconds for picture in live.pictures]) > 0).all()


@pytest.mark.slow
def test_a_camera_that_comes_back_with_another_size() -> None:
    with RtspServer((320, 240)) as server, Watched(server.url()) as live:
        live.until(lambda: len(live.pictures) > 10)
        server.kill()
        live.until(lambda: live.source.state.phase == "waiting")
        server.show((640, 360), rate=15)
        server.start()
        live.until(lambda: live.source.state.reconnects)
        live.until(lambda: live.pictures[-1].size == (640, 360))
        assert live.pictures[-1].rgb(90).shape == (90, 160, 3)
    assert {picture.size for picture in live.pictures} == {(320, 240), (640, 360)}


@pytest.mark.slow
def test_a_camera_is_given_up_only_where_asked() -> None:
    with RtspServer() as server:
        source = LiveSource(server.url(login="me:geheim@"), LiveSettings(retries=1))
        pictures = source.pictures()
        next(pictures)
        server.kill()
        with pytest.raises(SourceLostError, match=r"given up after 1 attempt: .*refused") as found:
            for _ in pictures:
                pass
    assert "geheim" not in str(found.value)
    assert source.state.phase == "lost"


@pytest.mark.slow
def test_wrong_passwords_and_streams_without_pictures() -> None:
    with RtspServer(login=("me", "geheim")) as server:
        for login in ("", "me:wrong@"):
            with pytest.raises(UserError, match="wrong user or password") as found:
                LiveSource(server.url(login=login)).open()
            assert "wrong@" not in str(found.value)
        source = LiveSource(server.url(login="me:geheim@"))
        assert next(source.frames(64))[1].shape == (64, 85, 3)
        source.close()
        with pytest.raises(UserError, match="no video"):
            LiveSource(server.url("sound", login="me:geheim@")).open()


@pytest.mark.slow
def test_a_camera_that_never_answers_is_waited_for_no_longer_than_asked() -> None:
    with RtspServer() as server:
        server.freeze()
        begin = time.monotonic()
        with pytest.raises(UserError, match="no answer in 1 s"):
            LiveSource(server.url(), LiveSettings(open_seconds=1)).open()
        assert time.monotonic() - begin < 3


# Screens


@pytest.mark.slow
def test_a_screen_is_watched(tmp_path: Path) -> None:
    with Screen(320, 240) as screen, Watched(f"screen:{screen.display}", capture_rate=10) as live:
        live.until(lambda: len(live.pictures) >= 15)
    assert live.pictures[-1].size == (320, 240)
    assert live.pictures[-1].seconds == pytest.approx(1.4, abs=0.5)
    with pytest.raises(UserError, match=r"display.*DISPLAY"):
        LiveSource("screen::63").open()


# Pictures in all sizes


def test_a_picture_is_converted_where_it_is_asked_for(tmp_path: Path) -> None:
    frames = [numbered_frame(i, 96, 64) for i in range(3)]
    path = write_video(tmp_path / "a.mp4", frames)
    picture = next(LiveSource(str(path)).pictures())
    assert picture.rgb().shape == (64, 96, 3)
    assert picture.rgb(32).shape == (32, 48, 3)

"""`vmf watch` as people run it: real cameras (RTSP), an outage, a web hook, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from live_parts import Receiver, RtspServer, run_vmf, save_always_waving, wait_until
from onnx_detectors import write_detector
from video_files import write_video
from video_mobile_former.cli.main import main
from video_mobile_former.data.video.write import write_video as write_pictures


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_always_waving(tmp_path_factory.mktemp("model") / "waving"))


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return str(write_video(tmp_path / "clip.mp4", 60, fps=20))


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Running:
    """A command that runs, and the lines of its stdout as they come."""

    def __init__(self, *words: str):
        self.process = subprocess.Popen(
            run_vmf("watch", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self.records: list[dict[str, Any]] = []
        self.said = ""
        self._threads = [
            threading.Thread(target=self._hear, daemon=True),
            threading.Thread(target=self._listen, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _hear(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.records.append(json.loads(line))

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    def of(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        found = [record for record in self.records if record["type"] == kind]
        return [r for r in found if wanted.items() <= r.items()]

    def until(self, kind: str, count: int = 1, seconds: float = 180, **wanted: Any) -> None:
        def is_there() -> bool:
            return len(self.of(kind, **wanted)) >= count

        wait_until(lambda: is_there() or self.process.poll() is not None, seconds)
        assert is_there(), self.said

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        for thread in self._threads:
            thread.join(10)
        return code

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *args: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def watch(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["watch", *words])
    out, err = capsys.readouterr()
    return status, out, err


def read(path: Path) -> tuple[Any, np.ndarray, list[float]]:
    """Stream, last picture and times of a video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        return (
            (stream.codec_context.name, stream.pix_fmt),
            frames[-1].to_ndarray(format="rgb24"),
            [float(frame.time or 0) for frame in frames],
        )


# Files, and bad input


@pytest.mark.slow
def test_a_file_gives_its_events_as_lines_and_as_json(
    model: str, clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = watch(capsys, model, f"door={clip}")
    assert status == 0
    start, end = out.splitlines()
    assert start.split() == ["0:00", "door", "start", "waving", "0.95"]
    assert end.split() == ["0:03", "door", "end", "waving", "0.95", "0:03"]
    assert "windows of 0.4 s, one every 0.1 s" in err
    status, out, err = watch(capsys, model, clip, "--json", "--scores")
    assert status == 0
    records = [json.loads(line) for line in out.splitlines()]
    (begin,) = [r for r in records if r["type"] == "start"]
    (end,) = [r for r in records if r["type"] == "end"]
    assert begin["event"] == end["event"]
    assert begin["id"] != end["id"]
    assert (end["label"], end["start_seconds"], end["end_seconds"]) == ("waving", 0.0, 2.9)
    assert "start_time" not in end
    scores = [r for r in records if r["type"] == "scores"]
    assert len(scores) == 27
    assert scores[0]["predictions"][0]["label"] == "waving"
    (summary,) = [r for r in records if r["type"] == "summary"]
    assert (summary["windows"], summary["passed_over"]) == (27, 0)


@pytest.mark.slow
def test_a_saved_video_shows_label_score_and_timeline(
    model: str, clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    assert watch(capsys, model, clip, "--save_video", str(out), "--save_rate", "10")[0] == 0
    kind, last, times = read(out)
    assert kind == ("h264", "yuv420p")
    assert np.diff(times) == pytest.approx(0.1, abs=0.01)
    assert times[-1] == pytest.approx(2.9, abs=0.11)
    height, width = last.shape[:2]
    strip = last[height - 2 * round(42 * 0.75) :].astype(int)
    green = (strip[..., 1] > 150) & (strip[..., 0] < 110) & (strip[..., 2] < 170)
    assert green.sum() > 300  # the bar of the score, and the event on the timeline
    content = out.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    # It is not replaced unasked.
    status, _, err = watch(capsys, model, clip, "--save_video", str(out))
    assert status == 2
    assert "--overwrite" in err
    assert out.read_bytes() == content
    assert width % 2 == height % 2 == 0


@pytest.mark.slow
def test_persons_have_numbers_boxes_and_events_of_their_own(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trackforge")
    pictures = np.zeros((50, 192, 256, 3), np.uint8)
    pictures[10:30, 64:96, 64:96] = 250  # one cell of the detector, from 1 s to 3 s
    scene, out = tmp_path / "scene.mp4", tmp_path / "out.mp4"
    write_pictures(scene, list(pictures), np.arange(50) / 10)
    detector = str(write_detector(tmp_path / "d.onnx", "columns"))
    words = [model, str(scene), "--detector", detector, "--json"]
    status, said, _ = watch(capsys, *words, "--save_video", str(out), "--save_rate", "10")
    assert status == 0
    records = [json.loads(line) for line in said.splitlines()]
    (end,) = [r for r in records if r["type"] == "end"]
    assert (end["label"], end["track"]) == ("waving", 1)
    assert end["start_seconds"] == pytest.approx(1.0, abs=0.15)
    assert end["end_seconds"] == pytest.approx(2.9, abs=0.15)
    assert end["box"] == pytest.approx([1 / 4, 1 / 3, 3 / 8, 1 / 2], abs=0.02)
    # In the saved video a coloured frame is around the person, and only while it is there.
    with av.open(str(out)) as container:
        saved = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]
    colourful = [(np.ptp(picture[:240], axis=2) > 60).sum() for picture in saved]
    assert min(colourful[14:28]) > 100
    assert max(colourful[:9]) == max(colourful[36:]) == 0
    status, _, err = watch(capsys, model, str(scene), "--person", "1")
    assert status == 2
    assert "--person needs --detector" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{clip}", "--detector", "{clip}"], "detector|ONNX|onnx"),
        (["no-such-file.mp4"], "no such file"),
        (["rtsp://me:geheim@127.0.0.1:1/live"], "refused"),
        (["63"], "no such camera"),
        (["{folder}/list.mp4"], "playlist"),
        (["{clip}", "--on", "1.5"], "0 to 1"),
        (["{clip}", "--off", "0.9"], "off must be at most on"),
        (["{clip}", "--stride_seconds", "0"], "above 0"),
        (["{clip}", "--raw_size", "big"], "raw_size.*640x480"),
        (["{clip}", "--webhook", "mailto:me"], "--webhook must be"),
        (["{clip}", "--mqtt", "http://host"], "--mqtt must be"),
        (["{clip}", "--save_video", "{folder}/out.gif"], r"\.mp4"),
        (["{clip}", "--save_video", "{folder}/out.mp4", "--font", "{clip}"], "no font"),
        (["a={clip}", "a={clip}"], "two sources"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    model: str,
    clip: str,
    tmp_path: Path,
    words: Sequence[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import re

    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:5,\n/etc/hostname\n")
    filled = [word.format(clip=clip, folder=tmp_path) for word in words]
    status, out, err = watch(capsys, model, *filled)
    assert (status, out) == (2, "")
    assert re.search(said, err), err
    assert len(err.splitlines()) == 1, err
    assert "geheim" not in err
    assert not list(tmp_path.glob("*out*"))


# Cameras


@pytest.fixture
def camera() -> Iterator[RtspServer]:
    with RtspServer((320, 240), rate=15) as server:
        yield server


@pytest.mark.slow
def test_ctrl_c_closes_the_event_and_the_video(
    model: str, camera: RtspServer, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    words = [f"door={camera.url(login='me:geheim@')}", "--json", "--save_video", str(out)]
    with Running(model, *words) as command:
        command.until("update", 2)
        assert command.end() == 130
    assert [r["type"] for r in command.records][-2:] == ["end", "summary"]
    (end,) = command.of("end")
    assert end["end_time"] > end["start_time"] > "2020"
    kind, _, times = read(out)
    assert kind == ("h264", "yuv420p")
    assert times[-1] > 1
    assert list(tmp_path.glob(".out*")) == []
    assert "geheim" not in command.said + json.dumps(command.records)
    (summary,) = command.of("summary")
    assert 0 <= summary["lag_seconds"] < 5


@pytest.mark.slow
def test_sigterm_ends_it_as_well(model: str, camera: RtspServer) -> None:
    with Running(model, camera.url(), "--json") as command:
        command.until("start")
        assert command.end(signal.SIGTERM) == 0
    assert command.of("end")


@pytest.mark.slow
def test_a_frozen_camera_harms_no_other(model: str) -> None:
    with (
        RtspServer(rate=15) as good,
        RtspServer(rate=15) as bad,
        Running(
            model, f"a={bad.url()}", f"b={good.url()}", "--json", "--scores", "--read_seconds", "2"
        ) as command,
    ):
        command.until("scores", 5, source="a")
        bad.freeze()
        before = len(command.of("scores", source="b"))
        command.until("source", source="a", state="waiting")
        command.until("scores", before + 20, source="b")
        # What went on at the silent one is ended.
        command.until("end", source="a")
        assert not command.of("end", source="b")
        bad.thaw()
        command.until("start", 2, source="a")
        assert command.end() == 130
    assert {r["source"] for r in command.of("end")} == {"a", "b"}
    (summary,) = command.of("summary", source="a")
    assert summary["reconnects"] >= 1


@pytest.mark.slow
def test_a_web_hook_has_every_event_after_an_outage(
    model: str, camera: RtspServer, tmp_path: Path
) -> None:
    with (
        Receiver() as receiver,
        Running(
            model, f"door={camera.url()}", "--json", "--webhook", receiver.url, "--retries", "30",
            "--outbox", str(tmp_path / "box"),
        ) as command,
    ):  # fmt: skip
        command.until("update")
        receiver.stop()
        camera.kill()
        command.until("end")
        camera.start()
        command.until("start", 2)
        receiver.start()
        assert command.end() == 130
        sent = [r["id"] for r in command.records if r["type"] in ("start", "update", "end")]
        got = [json.loads(body)["id"] for body in receiver.bodies]
    assert got == sent
    assert "is back" in command.said


@pytest.mark.slow
def test_a_camera_that_is_given_up_is_status_1(model: str, camera: RtspServer, clip: str) -> None:
    with Running(model, camera.url(), "--json", "--retries", "0") as command:
        command.until("start")
        camera.kill()
        assert command.process.wait(30) == 1
    assert command.of("end")
    assert "given up" in command.said


@pytest.mark.slow
def test_it_starts_without_a_camera_where_asked(model: str, camera: RtspServer) -> None:
    camera.kill()
    with Running(model, camera.url(), "--json", "--start_anyway") as command:
        command.until("source", state="waiting")
        camera.start()
        command.until("start")
        assert command.end() == 130

"""Time stamps that cannot be taken as they are: what a player shows is what is read."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from video_files import numbered_frame, read_number, write_video
from video_mobile_former.data.prepare.transcode import PrepareSettings, transcode
from video_mobile_former.data.video.backend import Backend, Reading
from video_mobile_former.data.video.clock import jumps, mended
from video_mobile_former.data.video.pyav_backend import FrameExtractor
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import UserError

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
B_FRAMES: dict[str, Any] = {"options": {"x264-params": "bframes=3:b-pyramid=strict"}}


@pytest.fixture(params=["pyav", "torchcodec"])
def reading(request: pytest.FixtureRequest) -> Reading:
    backend: Backend = request.param
    found = Reading(backend=backend)
    try:
        found.check()
    except UserError as error:
        pytest.skip(str(error))
    return found


def read(path: Path, reading: Reading | None = None) -> tuple[np.ndarray, list[int]]:
    """Times and numbers of all frames, also of some alone."""
    with VideoReader(path, reading=reading) as reader:
        times = reader.timestamps()
        found = [read_number(p) for p in reader.frames(times).permute(0, 2, 3, 1).numpy()]
        assert (np.diff(times) > 0).all()
        for which in ([0], [len(times) - 1], [1, len(times) // 2]):
            alone = reader.frames(times[which]).permute(0, 2, 3, 1).numpy()
            assert [read_number(p) for p in alone] == [found[i] for i in which]
        return times, found


def restamped(source: Path, target: Path, stamp: Any) -> Path:
    """The packets of a file with the times (pts, dts in ticks) that ``stamp(i, packet)`` says."""
    with av.open(str(source)) as container, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(container.streams.video[0])
        for i, packet in enumerate(p for p in container.demux(video=0) if p.dts is not None):
            packet.pts, packet.dts = stamp(i, packet)
            packet.stream = stream
            out.mux(packet)
    return target


# The decoder reorders, and the file does not say so


@pytest.mark.parametrize("ending", ["mp4", "mov", "flv", "mkv"])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_no_composition_offsets(tmp_path: Path, ending: str, codec: str, reading: Reading):
    if (ending, codec) == ("flv", "mpeg4"):
        pytest.skip("FLV holds no MPEG-4 Part 2")
    kind: dict[str, Any] = B_FRAMES if codec == "libx264" else {"options": {"bf": "2"}}
    whole = write_video(tmp_path / "whole.mp4", 60, codec=codec, **kind)
    path = restamped(whole, tmp_path / f"a.{ending}", lambda i, _: (512 * i, 512 * i))
    times, found = read(path, reading)
    assert found == list(range(60))
    assert np.allclose(np.diff(times), 1 / 30, atol=2e-3)
    with VideoReader(path) as reader:
        assert "another order" in " ".join(reader._read_table().notes)


@needs_ffmpeg
def test_copied_from_avi(tmp_path: Path):
    avi = write_video(tmp_path / "a.avi", 60, codec="mpeg4", options={"bf": "2"})
    command = ["ffmpeg", "-v", "error", "-i", str(avi), "-c", "copy", str(tmp_path / "a.mp4")]
    subprocess.run(command, check=True)
    assert read(tmp_path / "a.mp4")[1] == list(range(60))


def test_preparing_keeps_the_right_order(tmp_path: Path):
    whole = write_video(tmp_path / "whole.mp4", 40, **B_FRAMES)
    path = restamped(whole, tmp_path / "a.mp4", lambda i, _: (512 * i, 512 * i))
    settings = PrepareSettings(short_side=64)
    transcode(lambda: VideoReader(path), tmp_path / "out.mp4", settings)
    assert read(tmp_path / "out.mp4")[1] == list(range(40))


def test_frames_in_order_cost_no_second_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The order of frames is looked at only where there are B-frames without offsets."""
    from video_mobile_former.data.video import packets

    plain = write_video(tmp_path / "a.mp4", 30, options={"x264-params": "bframes=0"})
    usual = write_video(tmp_path / "b.mp4", 30, **B_FRAMES)
    monkeypatch.setattr(packets, "open_video", None)
    for path in (plain, usual):
        with VideoReader(path) as reader:
            assert len(reader.timestamps()) == 30


# One bad time stamp


TICKS = [33 * i for i in range(40)]
BAD = {
    "double": [*TICKS[:20], TICKS[19], *TICKS[21:]],
    "two at 0": [0, 0, *TICKS[2:]],
    "double before a pause": [*TICKS[:19], TICKS[18], *(t + 9000 for t in TICKS[20:])],
    "three alike": [*TICKS[:20], TICKS[19], TICKS[19], *TICKS[22:]],
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_time_stamp_costs_nothing_else(tmp_path: Path, name: str, reading: Reading):
    options = {"x264-params": "bframes=0"}
    whole = write_video(
        tmp_path / "a.mkv", 40, pts=TICKS, time_base=Fraction(1, 1000), options=options
    )
    bad = BAD[name]
    path = restamped(whole, tmp_path / "b.mkv", lambda i, _: (bad[i], bad[i]))
    times, found = read(path, reading)
    assert found == list(range(40))
    known = [i for i in range(1, 40) if bad[i] != bad[i - 1]]
    assert np.allclose(times[known], np.array(bad)[known] / 1000, atol=1e-3)
    assert np.diff(times)[18:22].min() > 0.005
    if name == "double before a pause":
        assert times[19] < 1  # it belongs to what was before


@pytest.mark.parametrize(
    ("pts", "expected"),
    [
        ([0, 10, None, 30, None, None, 60], [0, 10, 20, 30, 40, 50, 60]),
        ([None, None, 20, 30], [0, 10, 20, 30]),
        ([0, 10, None, None], [0, 10, 20, 30]),
        ([0, 30, 10, 20, 60, 40, 50], [0, 10, 20, 30, 40, 50, 60]),
        ([None] * 4, [0, 7, 14, 21]),
        ([5, 5, 5], [5, 12, 19]),
        ([*range(0, 400, 10), 0, *range(410, 800, 10)], list(range(0, 800, 10))),
        ([*range(0, 400, 10), 99999, *range(410, 800, 10)], list(range(0, 800, 10))),
    ],
)
def test_known_times_stay_and_others_are_made_up(pts: list[int | None], expected: list[int]):
    nothing = [None] * len(pts)
    times, made_up = mended(pts, nothing, 7.0)
    assert times.tolist() == expected
    good = set(expected)
    assert made_up >= sum(t is None or t not in good for t in pts)


def test_decoding_times_serve_where_they_are_better():
    times, _ = mended([0, 0, 0, 0], [0, 10, 20, 30], None)
    assert times.tolist() == [0, 10, 20, 30]


# Packets without a picture


NOT_CODED = bytes([0, 0, 1, 0xB6, 0b01010000, 0b01001111])


@pytest.mark.parametrize("bf", [0, 2])
def test_packets_of_avi_that_give_no_picture(tmp_path: Path, bf: int, reading: Reading):
    """As screen recorders write them: time goes on, the picture stays."""
    whole = write_video(tmp_path / "whole.avi", 60, codec="mpeg4", gop=60, options={"bf": str(bf)})
    path = tmp_path / "a.avi"
    with av.open(str(whole)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        packets = [p for p in source.demux(video=0) if p.dts is not None]
        for rank in range(90):
            # 30 pictures, 30 packets without one, 30 pictures
            i = rank if rank < 30 else rank - 30
            packet: Any = av.Packet(NOT_CODED if 30 <= rank < 60 else bytes(packets[i]))
            packet.is_keyframe = packets[i].is_keyframe and not 30 <= rank < 60
            packet.pts = packet.dts = rank
            packet.time_base, packet.stream = Fraction(1, 30), stream
            out.mux(packet)
    times, found = read(path, reading)
    assert len(times) == 90
    assert np.allclose(np.diff(times), 1 / 30, atol=1e-3)
    late = 1 if bf else 0
    assert found[: 30 - late] == list(range(30 - late))
    assert len(set(found[30:60])) <= 1 + late
    assert found[61:89] == list(range(31, 59))


# Clocks that start anew


@pytest.mark.parametrize("ending", ["ts", "mpg"])
@pytest.mark.parametrize("starts", [(0, 0), (100, 0), (0, 100), (0, 1)])
@pytest.mark.parametrize("bframes", [0, 2])
def test_joined_recordings(
    tmp_path: Path, ending: str, starts: tuple[int, int], bframes: int, reading: Reading
):
    content = b""
    codec = "libx264" if ending == "ts" else "mpeg2video"
    options = {"x264-params": f"bframes={bframes}"} if ending == "ts" else {"bf": str(bframes)}
    for part, start in enumerate(starts):
        frames = [numbered_frame(50 * part + i) for i in range(50)]
        pts = [25 * start + i for i in range(50)]
        one = write_video(
            tmp_path / f"{part}.{ending}", frames, fps=25, codec=codec, pts=pts, options=options
        )
        content += one.read_bytes()
    path = tmp_path / f"joined.{ending}"
    path.write_bytes(content)
    times, found = read(path, reading)
    assert found == sorted(found)
    assert len(set(found) & set(range(100))) >= 98
    assert times[-1] - times[0] < 5


def test_jumps_of_a_clock():
    steps = np.array([0, 10, 20, 30, 5, 15, 25, 5000, 5010])
    assert (steps + jumps(steps, 0.01)).tolist() == [10 * i for i in range(9)]
    assert not jumps(np.array([0, 10, 20, 900, 910]), 0.01).any()  # a pause of 8.8 s


# Parts of long streams


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["ts", "mpg"])
def test_a_part_of_a_long_stream_is_jumped_to(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
):
    codec = "libx264" if ending == "ts" else "mpeg2video"
    options = {"x264-params": "bframes=3:open-gop=1"} if ending == "ts" else {"bf": "2"}
    path = write_video(tmp_path / f"a.{ending}", 1000, fps=25, codec=codec, gop=50, options=options)
    with VideoReader(path) as reader:
        everything = reader.timestamps()
        expected = reader.frames(everything[625:650:6])
    fed = []
    plain = FrameExtractor._tried

    def counted(self: FrameExtractor, packet: Any) -> Any:
        fed.append(packet)
        return plain(self, packet)

    monkeypatch.setattr(FrameExtractor, "_tried", counted)
    with VideoReader(path) as reader:
        times = reader.timestamps(everything[625] - 1e-4, everything[650] - 1e-4)
        assert np.allclose(times, everything[625:650])
        assert (reader.frames(times[::6]) == expected).all()
        assert reader._table is not None
        assert not reader._table.whole
    assert len(fed) < 150


# The odd files of other people's reports


@pytest.mark.parametrize(
    ("name", "count", "last", "ids"),
    [
        ("bframes_without_ctts.mp4", 60, 2.36, range(60)),
        ("avi_copied_to_mp4.mp4", 60, 2.36, range(60)),
        ("one_duplicate_time.mkv", 60, 9.967, range(60)),
        ("one_duplicate_time_reference.mkv", 60, 9.967, range(60)),
        ("joined_clocks_overlap.ts", 100, 3.96, range(100)),
        ("joined_clock_goes_back.ts", 100, 3.96, range(100)),
        ("header_longer_than_pictures.webm", 20, 1.9, range(20)),
        (
            "avi_with_empty_pictures.avi",
            60,
            2.36,
            [*range(5), *[4] * 16, *range(21, 30), *[29] * 16, *range(46, 55), *[54] * 5],
        ),
    ],
)
def test_odd_files(
    shared_data: Path, name: str, count: int, last: float, ids: Any, reading: Reading
):
    with VideoReader(shared_data / "odd" / name, reading=reading) as reader:
        times = reader.timestamps()
        found = [_bars(p) for p in reader.frames(times).permute(0, 2, 3, 1).numpy()]
        assert len(times) == count
        assert times[-1] == pytest.approx(last, abs=2e-3)
        assert found == list(ids)
        if name == "one_duplicate_time.mkv":
            part = reader.timestamps(9.0, 10.0)
            shown = [_bars(p) for p in reader.frames(part).permute(0, 2, 3, 1).numpy()]
            assert shown == list(range(30, 60))


def _bars(picture: np.ndarray) -> int:
    """The number that twelve upright bars show, least significant left."""
    height, width = picture.shape[:2]
    lines = picture[height // 3 : 2 * height // 3].mean((0, 2))
    return sum(int(lines[int((bit + 1.5) * width / 14)] > 128) << bit for bit in range(12))

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from video_files import CAN_WRITE_ROTATION, NO_ROTATION, read_number, write_video
from video_mobile_former.data.prepare import transcode as module
from video_mobile_former.data.prepare.settings import PrepareSettings
from video_mobile_former.data.prepare.transcode import transcode
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import UserError, VideoError


def smooth(width: int, height: int, number: int) -> np.ndarray:
    """A picture without sharp edges of colour, which no 4:2:0 file keeps."""
    x, y = np.arange(width)[None, :], np.arange(height)[:, None]
    planes = [
        128 + 100 * np.sin((x + 2 * number) / 17 + y / 23 + phase) * np.cos(y / 31 + phase)
        for phase in (0, 1, 2)
    ]
    return np.stack(planes, axis=-1).astype(np.uint8)


def pictures(path: Path, **where: float) -> tuple[np.ndarray, np.ndarray]:
    with VideoReader(path) as reader:
        times = reader.timestamps(where.get("start"), where.get("end"))
        return times, reader.frames(times).permute(0, 2, 3, 1).numpy()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / ((a.astype(float) - b) ** 2).mean())


def test_many_key_frames_and_no_frame_that_waits(tmp_path: Path):
    source = write_video(tmp_path / "a.mp4", 60, gop=250, options={"bf": "3"})
    made = transcode(lambda: VideoReader(source), tmp_path / "b.mp4", PrepareSettings(gop=6))
    assert made.frames == 60
    assert made.gop == 6
    with av.open(str(tmp_path / "b.mp4")) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size]
        assert [p.pts for p in packets] == [p.dts for p in packets]
        keys = [i for i, p in enumerate(packets) if p.is_keyframe]
        assert keys[0] == 0
        assert max(np.diff([*keys, 60])) == 6
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
    head = (tmp_path / "b.mp4").read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")  # readable while it still arrives
    assert [read_number(p) for p in pictures(tmp_path / "b.mp4")[1]] == list(range(60))


@pytest.mark.parametrize(
    ("pts", "base"),
    [
        ([0, 1, 2, 5, 6, 13, 14, 30], Fraction(1, 25)),
        ([3003 * i for i in range(8)], Fraction(1, 90000)),
        ([0, 17, 33, 50, 67, 83, 1000, 1001], Fraction(1, 1000)),
        ([7 * i**2 for i in range(8)], Fraction(1, 12345)),
    ],
)
def test_time_stamps_keep_their_distances(tmp_path: Path, pts: list[int], base: Fraction):
    source = write_video(tmp_path / "a.mkv", 8, pts=pts, time_base=base)
    before = pictures(source)[0]
    transcode(lambda: VideoReader(source), tmp_path / "b.mp4", PrepareSettings())
    after, found = pictures(tmp_path / "b.mp4")
    np.testing.assert_allclose(after, before - before[0], atol=6e-6)
    assert [read_number(p) for p in found] == list(range(8))


def test_only_the_annotated_part_is_left(tmp_path: Path):
    source = write_video(tmp_path / "a.mp4", 90, fps=30)
    made = transcode(
        lambda: VideoReader(source),
        tmp_path / "b.mp4",
        PrepareSettings(),
        start_seconds=1.0,
        end_seconds=2.0,
    )
    times, found = pictures(tmp_path / "b.mp4")
    assert [read_number(p) for p in found] == list(range(30, 60))
    assert times[0] == 0
    assert made.seconds == pytest.approx(29 / 30)


def test_a_part_without_frames_is_said(tmp_path: Path):
    source = write_video(tmp_path / "a.mp4", 10)
    with pytest.raises(VideoError, match="no frames between its start and end"):
        transcode(
            lambda: VideoReader(source), tmp_path / "b.mp4", PrepareSettings(), start_seconds=5.0
        )


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((96, 64), 256, (96, 64)),  # never enlarged
        ((160, 96), 48, (80, 48)),
        ((96, 160), 48, (48, 80)),
        ((170, 128), 64, (84, 64)),  # 85 × 64, without its last column
    ],
)
def test_size(tmp_path: Path, size: tuple[int, int], short_side: int, expected: tuple[int, int]):
    source = write_video(tmp_path / "a.mp4", [smooth(*size, i) for i in range(5)])
    made = transcode(
        lambda: VideoReader(source), tmp_path / "b.mp4", PrepareSettings(short_side=short_side)
    )
    assert (made.width, made.height) == expected


def test_odd_sizes_lose_a_row_and_a_column(tmp_path: Path):
    source = write_video(tmp_path / "a.mkv", [smooth(51, 37, 0)], codec="ffv1", pix_fmt="bgr0")
    made = transcode(lambda: VideoReader(source), tmp_path / "b.mp4", PrepareSettings())
    assert (made.width, made.height) == (50, 36)


@pytest.mark.parametrize(
    "color",
    [
        {},
        {"colorspace": 1, "color_range": 1},  # BT.709
        {"colorspace": 5, "color_range": 2},  # BT.601, full range
    ],
)
def test_the_pixels_are_those_of_the_source(tmp_path: Path, color: dict[str, int]):
    frames = [smooth(192, 128, i) for i in range(12)]
    source = write_video(tmp_path / "a.mp4", frames, color=color, options={"crf": "10"})
    made = transcode(lambda: VideoReader(source), tmp_path / "b.mp4", PrepareSettings())
    found = psnr(pictures(source)[1], pictures(tmp_path / "b.mp4")[1])
    assert found > 38
    assert made.psnr == pytest.approx(found, abs=1)


@pytest.mark.skipif(not CAN_WRITE_ROTATION, reason=NO_ROTATION)
def test_pictures_are_stored_upright(tmp_path: Path):
    source = write_video(tmp_path / "a.mp4", [smooth(96, 64, i) for i in range(4)], rotation=90)
    made = transcode(lambda: VideoReader(source), tmp_path / "b.mp4", PrepareSettings())
    assert (made.width, made.height) == (64, 96)
    assert psnr(pictures(source)[1], pictures(tmp_path / "b.mp4")[1]) > 35


def test_frames_are_left_out_of_fast_videos(tmp_path: Path):
    source = write_video(tmp_path / "a.mp4", 60, fps=60)
    transcode(lambda: VideoReader(source), tmp_path / "b.mp4", PrepareSettings(max_fps=30))
    times, found = pictures(tmp_path / "b.mp4")
    assert [read_number(p) for p in found] == list(range(0, 60, 2))
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-6)


def test_long_videos_go_in_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_CHUNK_FRAMES", 7)
    source = write_video(tmp_path / "a.mp4", 40, gop=15, options={"bf": "2"})
    signs: list[int] = []
    transcode(
        lambda: VideoReader(source),
        tmp_path / "b.mp4",
        PrepareSettings(),
        alive=lambda: signs.append(1),
    )
    assert [read_number(p) for p in pictures(tmp_path / "b.mp4")[1]] == list(range(40))
    assert len(signs) == 2 * 7  # one frame, then 39 by sevens; both ways


def test_a_result_that_is_not_what_went_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = write_video(tmp_path / "a.mp4", 10)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_sample", lambda picture: np.random.default_rng().normal(size=9))
        patch.setattr(module, "_psnr", lambda wanted, got: 11.0)
        with pytest.raises(VideoError, match="other pictures than went in: PSNR 11"):
            transcode(lambda: VideoReader(source), tmp_path / "b.mp4", PrepareSettings())
    encode = module._encode

    def forgetful(chunks, times, target, settings):
        return encode((c for i, c in enumerate(chunks) if i), times, target, settings)

    monkeypatch.setattr(module, "_encode", forgetful)
    with pytest.raises(VideoError, match="the result is not sound: 9 frames instead of 10"):
        transcode(lambda: VideoReader(source), tmp_path / "b.mp4", PrepareSettings())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("short_side", 255),
        ("short_side", 8),
        ("gop", 13),
        ("gop", 0),
        ("crf", 52),
        ("crf", float("nan")),
        ("preset", "quick"),
        ("max_fps", 0),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: object):
    with pytest.raises(UserError, match=f"{name} must be"):
        PrepareSettings(**{name: value})  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["dog.mp4", "video_90.mov", "test.avi", "unordered.mov", "h265_video.mp4"]
)
def test_real_files_keep_frames_times_and_pictures(tmp_path: Path, shared_data: Path, name: str):
    source = shared_data / "samples" / name
    made = transcode(lambda: VideoReader(source), tmp_path / "b.mp4", PrepareSettings())
    before, after = pictures(source)[0], pictures(tmp_path / "b.mp4")[0]
    np.testing.assert_allclose(after, before - before[0], atol=6e-6)
    assert made.psnr > 34
    assert made.gop <= 4

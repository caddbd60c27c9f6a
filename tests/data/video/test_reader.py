from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pytest
import torch
from av.stream import Disposition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from video_files import AV_MAJOR, read_number, write_video
from video_mobile_former.data.video import pyav_backend
from video_mobile_former.data.video.backend import Reading
from video_mobile_former.data.video.media import pixel_shape
from video_mobile_former.data.video.picture import Converter
from video_mobile_former.data.video.pyav_backend import FrameExtractor
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import VideoError


def reference(path: Path, size: int | None = None) -> tuple[np.ndarray, list[float | None]]:
    """All frames of a file in the order of the decoder, and their times."""
    convert = Converter(size)
    pictures, times = [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        convert.pixel_shape = pixel_shape(stream)
        begin = (container.start_time or 0) / av.time_base
        for frame in container.decode(stream):
            pictures.append(convert(frame))
            times.append(None if frame.pts is None else frame.time - begin)
    return np.stack(pictures), times


def channels_last(clip: torch.Tensor) -> np.ndarray:
    return clip.permute(0, 2, 3, 1).numpy()


def numbers(clip: torch.Tensor) -> list[int]:
    return [read_number(picture) for picture in channels_last(clip)]


def choices(count: int) -> Iterator[np.ndarray]:
    yield np.arange(count)
    yield np.arange(0, count, 7)
    yield np.array([count - 1])
    yield np.array([count // 2, 0, count - 1, count // 2])
    yield np.sort(np.random.default_rng(0).integers(0, count, 9))


def entries(folder: str) -> int:
    return len(list(Path(folder).iterdir())) if Path(folder).is_dir() else 0


# Real files

SAMPLES = [
    ("av1_video.mkv", 125),
    ("bt709_full_range.mp4", 30),
    ("dog.mp4", 150),
    ("flipping_a_pancake.mkv", 310),
    ("goat.mp4", 150),
    ("h264_10bits.mp4", 30),
    ("h265_video.mp4", 10),
    ("nasa_13013.mp4", 325),
    ("test.avi", 164),
    ("test.mp4", 300),
    ("unordered.mov", 4),
    ("video_0.mov", 3),
    ("video_180.mov", 3),
    ("video_90.mov", 3),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), SAMPLES)
def test_samples_give_what_a_whole_decode_gives(shared_data: Path, name: str, count: int):
    path = shared_data / "samples" / name
    pictures, times = reference(path, 48)
    with VideoReader(path) as reader:
        stamps = reader.timestamps()
        assert len(stamps) == len(pictures) == reader.info.num_frames == count
        assert np.allclose(stamps, sorted(t for t in times if t is not None), atol=1e-6)
        for which in choices(count):
            clip = reader.frames(stamps[which], 48)
            assert clip.dtype == torch.uint8
            assert np.array_equal(channels_last(clip), pictures[which])
            assert torch.equal(clip, reader.frames(which, 48))


@pytest.mark.slow
def test_real_clips_give_what_a_whole_decode_gives(shared_data: Path):
    files = [
        *sorted((shared_data / "surv_fight2").rglob("*.mp4"))[::60],
        *sorted((shared_data / "tennis_strokes7").rglob("*.mp4"))[::75],
    ]
    assert len(files) == 10
    for path in files:
        pictures, _ = reference(path, 32)
        with VideoReader(path) as reader:
            assert len(reader.timestamps()) == len(pictures)
            which = np.random.default_rng(0).permutation(len(pictures))[:16]
            assert np.array_equal(channels_last(reader.frames(which, 32)), pictures[which])


@pytest.mark.slow
def test_an_unreadable_packet_shows_the_frame_before(
    shared_data: Path, caplog: pytest.LogCaptureFixture
):
    pyav_backend._warn.cache_clear()  # it is said once for a file
    path = shared_data / "samples" / "corrupted.mp4"
    convert, pictures = Converter(48), {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            with contextlib.suppress(av.error.InvalidDataError):
                pictures |= {frame.pts: convert(frame) for frame in packet.decode()}
    assert len(pictures) == 49
    with VideoReader(path) as reader:
        stamps = reader.timestamps()
        assert len(stamps) == 50
        found = channels_last(reader.frames(stamps, 48))
        table = reader._read_table()
    assert "1 packet cannot be decoded" in caplog.text
    last = None
    for pts, picture in zip(table.pts.tolist(), found, strict=True):
        last = pictures.get(pts, last)
        assert last is not None
        assert np.array_equal(picture, last)
    with VideoReader(path, reading=Reading(damaged_share=0.0)) as reader:
        sound = channels_last(reader.frames(stamps[[0, 9, 27]], 48))
        assert np.array_equal(sound, found[[0, 9, 27]])
        with pytest.raises(VideoError, match="damaged: of 50 frames more than 0%"):
            reader.frames(stamps[::3], 48)
        # The reader is still usable.
        assert np.array_equal(channels_last(reader.frames([0, 9, 27], 48)), sound)


def test_audio_only_sample(shared_data: Path):
    with pytest.raises(VideoError, match=r"sine_mono_s16\.wav: no video stream in it \(only sound"):
        VideoReader(shared_data / "samples" / "sine_mono_s16.wav")


# Written files: containers and codecs

OPEN_GOP = {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3"}
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("plain.mp4", {}),
    ("one_gop.mp4", {"gop": 250}),
    ("all_keys.mp4", {"gop": 1}),
    ("plain.mkv", {}),
    ("plain.mov", {"options": {"x264-params": "bframes=4:b-pyramid=strict"}}),
    ("plain.flv", {}),
    ("plain.ts", {}),
    ("open_gop.mp4", {"options": OPEN_GOP}),
    ("open_gop.ts", {"options": OPEN_GOP}),
    ("interlaced.mp4", {"options": {"x264-params": "tff=1"}}),
    ("interlaced.ts", {"options": {"x264-params": "tff=1"}}),
    ("intra_refresh.mp4", {"options": {"intra-refresh": "1"}, "gop": 20}),
    ("fragments.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    ("raw.h264", {}),
    ("b_frames.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
    ("h264.avi", {}),
    ("mjpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    ("mpeg2.mpg", {"codec": "mpeg2video", "options": {"bf": "2"}}),
    ("hidden_frames.webm", {"codec": "libvpx", "gop": 60, "options": {"auto-alt-ref": "1"}}),
    ("vp9.webm", {"codec": "libvpx-vp9", "gop": 60}),
    ("moving.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
    ("mpeg4.3gp", {"codec": "mpeg4"}),
]


@pytest.mark.parametrize(("name", "kind"), KINDS, ids=[name for name, _ in KINDS])
def test_kinds_of_files(tmp_path: Path, name: str, kind: dict[str, Any]):
    path = write_video(tmp_path / name, 60, **kind)
    pictures, _ = reference(path)
    with VideoReader(path) as reader:
        stamps = reader.timestamps()
        assert len(stamps) == len(pictures) == 60
        assert (np.diff(stamps) > 0).all()
        for which in choices(60):
            clip = reader.frames(stamps[which])
            assert numbers(clip) == list(which)
            assert np.array_equal(channels_last(clip), pictures[which])


@pytest.mark.parametrize("name", ["plain.mp4", "plain.mkv", "open_gop.mp4", "moving.gif"])
def test_jumps_land_without_a_second_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    path = write_video(tmp_path / name, 60, **dict(KINDS)[name])

    def never(*_: object) -> None:
        raise AssertionError("decoded from the begin")

    monkeypatch.setattr(FrameExtractor, "_from_begin", never)
    with VideoReader(path) as reader:
        for which in choices(60):
            assert numbers(reader.frames(which)) == list(which)


def test_only_what_is_needed_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_video(tmp_path / "a.mp4", 120, gop=10, options={"x264-params": "bframes=0"})
    converted = []
    original = Converter.__call__
    monkeypatch.setattr(
        Converter, "__call__", lambda self, frame: (converted.append(1), original(self, frame))[1]
    )
    seen = []
    keep = FrameExtractor._keep
    monkeypatch.setattr(
        FrameExtractor,
        "_keep",
        lambda self, frames, *rest: (seen.extend(frames), keep(self, frames, *rest))[1],
    )
    with VideoReader(path) as reader:
        reader.frames([33, 77])
    assert len(converted) == 2
    assert len(seen) == 4 + 8  # from the key frames 30 and 70 on


@pytest.mark.slow
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    gaps=st.lists(st.integers(1, 200), min_size=2, max_size=30),
    start=st.integers(0, 5000),
    gop=st.integers(1, 30),
    data=st.data(),
)
def test_variable_frame_rate(
    tmp_path: Path, gaps: list[int], start: int, gop: int, data: st.DataObject
):
    pts = [start + int(t) for t in np.cumsum([0, *gaps])]
    path = write_video(
        tmp_path / "vfr.mkv", len(pts), pts=pts, time_base=Fraction(1, 1000), gop=gop
    )
    with VideoReader(path) as reader:
        stamps = reader.timestamps()
        assert np.allclose(np.diff(stamps), np.diff(pts) / 1000)
        instant = data.draw(st.floats(float(stamps[0]), float(stamps[-1])))
        wanted = int(np.searchsorted(stamps, instant + 1e-6, side="right")) - 1
        assert numbers(reader.frames([instant])) == [wanted]
        begin, end = sorted((instant, data.draw(st.floats(0, float(stamps[-1]) + 1))))
        inside = reader.timestamps(begin, end)
        assert set(inside) == {t for t in stamps if begin - 5e-4 <= t < end - 5e-4}


def test_clock_that_does_not_start_at_zero(tmp_path: Path):
    path = write_video(tmp_path / "late.ts", 40, pts=[900 + i for i in range(40)])
    with av.open(str(path)) as container:
        assert container.start_time > 20_000_000
    with VideoReader(path) as reader:
        stamps = reader.timestamps()
        assert stamps[0] == 0
        assert numbers(reader.frames(stamps[[5, 39]])) == [5, 39]
        assert len(reader.timestamps(0.5, 1.0)) == 15


@pytest.mark.skipif(AV_MAJOR < 16, reason="before 16, PyAV itself stops at hidden frames")
def test_edit_list_hides_frames(tmp_path: Path):
    """A film cut without re-encoding begins between key frames; players hide what comes before."""
    whole = write_video(tmp_path / "whole.mp4", 60, gop=30, options={"x264-params": "bframes=0"})
    path = tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        out = target.add_stream_from_template(stream)
        base = stream.time_base
        assert base is not None
        shift = round(Fraction(10, 30) / base)
        for packet in source.demux(stream):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts -= shift  # ten frames before zero: written as an edit list
            packet.dts -= shift
            packet.stream = out
            target.mux(packet)
    pictures, _ = reference(path)
    with VideoReader(path) as reader:
        stamps = reader.timestamps()
        assert len(stamps) == len(pictures) == 50
        assert stamps[0] == 0
        clip = reader.frames(stamps)
        assert numbers(clip) == list(range(10, 60))
        assert np.array_equal(channels_last(clip), pictures)


# An MPEG-4 picture of two bytes that says "not coded": the decoder gives no frame for it, and no
# error (ISO/IEC 14496-2, vop_coded = 0, in a stream whose clock ticks 30 times a second).
NOT_CODED = bytes([0, 0, 1, 0xB6, 0b01010000, 0b01001111])


def replace_packets(source: Path, target: Path, which: set[int], content: bytes) -> Path:
    with av.open(str(source)) as read, av.open(str(target), "w") as write:
        out = write.add_stream_from_template(read.streams.video[0])
        for i, packet in enumerate(read.demux(video=0)):
            if packet.dts is None:
                continue
            if i in which:
                empty: Any = av.Packet(content)
                empty.pts, empty.dts, empty.duration = packet.pts, packet.dts, packet.duration
                empty.time_base, empty.stream = packet.time_base, out
                write.mux(empty)
            else:
                packet.stream = out
                write.mux(packet)
    return target


@pytest.mark.parametrize("ending", ["mkv", "avi"])
def test_packets_without_a_picture(tmp_path: Path, ending: str):
    whole = write_video(tmp_path / f"whole.{ending}", 40, codec="mpeg4", gop=40)
    path = replace_packets(whole, tmp_path / f"a.{ending}", {20, 38, 39}, NOT_CODED)
    pictures, _ = reference(path)
    assert len(pictures) == 38  # at the end the decoder repeats the last picture
    with VideoReader(path) as reader:
        assert len(reader.timestamps()) == 40
        clip = channels_last(reader.frames([0, 19, 20, 21, 37, 38, 39]))
        assert np.array_equal(channels_last(reader.frames([38])), clip[[5]])
    if ending == "mkv":
        # The picture on display stands for the missing one, as in a player.
        assert np.array_equal(clip, pictures[[0, 19, 19, 20, 36, 36, 37]])
    else:
        # AVI has no time stamps: packets are counted.
        assert np.array_equal(clip, pictures[[0, 19, 19, 20, 36, 36, 36]])


def test_damaged_stream_without_time_stamps(tmp_path: Path):
    path = write_video(tmp_path / "a.h264", 40, gop=10)
    data = bytearray(path.read_bytes())
    key = data.find(b"\0\0\1\x65", len(data) // 2)  # a key frame of H.264
    data[key + 4 : key + 300] = b"\x55" * 296
    path.write_bytes(data)
    with VideoReader(path) as reader:
        # What refers to the picture that was lost is lost with it.
        assert 30 <= len(reader.timestamps()) < 40
        assert numbers(reader.frames([0, 9])) == [0, 9]
    with (
        pytest.raises(VideoError, match=r"damaged: of \d+ packets more than 0%"),
        VideoReader(path, reading=Reading(damaged_share=0.0)) as reader,
    ):
        reader.timestamps()


# Parts of long files


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("long") / "long.mp4", 1000, fps=20, gop=50)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (20.0, 23.0),
        (None, 5.0),
        (45.0, None),
        (12.34, 12.4),
        (0.0, 50.0),
        (49.9, 60.0),
        (20.0, 20.01),
    ],
)
def test_parts(long_video: Path, start: float | None, end: float | None):
    with VideoReader(long_video) as whole, VideoReader(long_video) as part:
        everything = whole.timestamps()
        low, high = -1.0 if start is None else start, 1e9 if end is None else end
        expected = np.flatnonzero((everything >= low - 1e-3) & (everything < high - 1e-3))
        stamps = part.timestamps(start, end)
        assert np.array_equal(stamps, everything[expected])
        assert len(stamps) > 0
        which = [0, len(stamps) // 2, len(stamps) - 1]
        clip = part.frames(stamps[which])
        assert numbers(clip) == [int(i) for i in expected[which]]
        assert torch.equal(clip, whole.frames(expected[which]))


def test_a_part_is_read_alone(long_video: Path):
    with VideoReader(long_video) as reader:
        reader.timestamps(20.0, 21.0)
        assert reader._table is not None
        assert not reader._table.whole
        assert len(reader._table.pts) < 120
        # Outside of the part the whole file is looked at after all.
        assert numbers(reader.frames([3.0, 45.0])) == [60, 900]
        assert reader.info.num_frames == 1000


def test_parts_one_after_another(long_video: Path):
    with VideoReader(long_video) as reader:
        for start, end in ((20.0, 21.0), (None, 2.0), (40.0, None), (None, 2.0), (5.0, 6.0)):
            stamps = reader.timestamps(start, end)
            assert stamps[0] == pytest.approx(start or 0.0)
            assert len(stamps) == round(((end or 50.0) - (start or 0.0)) * 20)
            first = round((start or 0.0) * 20)
            assert numbers(reader.frames(stamps[[3, 17]])) == [first + 3, first + 17]


@pytest.mark.slow
def test_a_part_of_a_file_without_time_stamps(tmp_path: Path):
    path = write_video(tmp_path / "long.avi", 600, fps=20, codec="mpeg4", options={"bf": "2"})
    with VideoReader(path) as reader:
        stamps = reader.timestamps(15.0, 16.0)
        first = numbers(reader.frames(stamps[:1]))[0]
        assert numbers(reader.frames(stamps)) == list(range(first, first + 20))


def test_a_part_behind_the_end(long_video: Path):
    with VideoReader(long_video) as reader:
        assert len(reader.timestamps(70.0, 80.0)) == 0


def test_a_damaged_part(long_video: Path, tmp_path: Path):
    data = bytearray(long_video.read_bytes())
    with av.open(str(long_video)) as container:
        packets = [p for p in container.demux(video=0) if p.pos is not None and p.size]
    for packet in packets[500:510]:
        assert packet.pos is not None
        data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    with VideoReader(path) as reader:
        stamps = reader.timestamps(24.5, 26.5)
        with pytest.raises(VideoError, match=r"damaged: of \d+ frames of this part more than 10%"):
            reader.frames(stamps[[2, 20]])
        assert numbers(reader.frames([40.0])) == [800]


# Size, rotation and what a file is


def test_info(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 50, fps=25)
    with VideoReader(path) as reader:
        info = reader.info
    assert (info.width, info.height) == (96, 64)
    assert (info.num_frames, info.codec) == (50, "h264")
    assert info.duration_seconds == pytest.approx(2.0)
    assert info.frame_rate == pytest.approx(25.0)


def test_info_of_a_turned_video(shared_data: Path):
    with VideoReader(shared_data / "samples" / "video_90.mov") as reader:
        assert (reader.info.width, reader.info.height) == (320, 568)


def test_layout_and_size(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 5)
    with VideoReader(path) as reader:
        clip = reader.frames([0, 1, 1, 4], 32)
        assert clip.shape == (4, 3, 32, 48)
        assert clip.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(clip[1], clip[2])
        assert reader.frames([0], 128).shape == (1, 3, 128, 192)
        assert reader.frames([0], 128, enlarge=False).shape == (1, 3, 64, 96)
        assert reader.frames([0]).shape == (1, 3, 64, 96)


@pytest.mark.parametrize("which", [[], [[0]], [-1], [5]])
def test_wrong_requests(tmp_path: Path, which: list):
    with (
        VideoReader(write_video(tmp_path / "a.mp4", 5)) as reader,
        pytest.raises(ValueError, match=r"which must be|positions run from 0 to 4"),
    ):
        reader.frames(which)


def test_times_outside_the_video_stand_for_its_ends(tmp_path: Path):
    with VideoReader(write_video(tmp_path / "a.mp4", 5)) as reader:
        assert numbers(reader.frames([-3.0, 99.0])) == [0, 4]


def test_cover_pictures_are_passed_over(tmp_path: Path):
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        audio = container.add_stream("mp3", rate=44100)
        cover: Any = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic.value
        container.mux(cover.encode(av.VideoFrame(64, 64, "yuvj420p")))
        container.mux(cover.encode(None))
        sound: Any = audio
        frame = av.AudioFrame.from_ndarray(
            np.zeros((2, 1152), np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate = 44100
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with pytest.raises(VideoError, match="no video stream"):
        VideoReader(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b"These are the minutes of the meeting.\n" * 50, "not a video file"),
        (
            b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n",
            "not a video|no video",
        ),
        (b"\x00" * 5000, "not a video file"),
        (bytes(range(256)) * 64, "not a video file"),
    ],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.txt", "a.avi", "a"])
def test_what_is_no_video(tmp_path: Path, content: bytes | None, reason: str, name: str):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=reason) as caught, VideoReader(path) as reader:
        reader.frames([0])
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert "Errno" not in str(caught.value)


def test_folder_instead_of_file(tmp_path: Path):
    with pytest.raises(VideoError, match="a folder without pictures"):
        VideoReader(tmp_path)


@pytest.mark.parametrize("name", ["a" * 300 + ".mp4", "a\0.mp4"])
def test_names_the_system_refuses(tmp_path: Path, name: str):
    with pytest.raises(VideoError, match="cannot be read: "):
        VideoReader(f"{tmp_path}/{name}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_hang(tmp_path: Path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match="is not a file"):
        VideoReader(tmp_path / "a.mp4")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.75])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("index_last.mp4", {}),
        ("index_first.mp4", {"container_options": {"movflags": "faststart"}}),
        ("plain.mkv", {"gop": 5}),
        ("mpeg4.avi", {"codec": "mpeg4", "gop": 50}),
        ("plain.flv", {}),
    ],
)
def test_cut_off_files(tmp_path: Path, name: str, kind: dict[str, Any], share: float):
    if AV_MAJOR < 17 and "index_first" in name:
        pytest.skip("before 17, PyAV does not show the index of a file")
    path = write_video(tmp_path / name, 240, **kind)
    data = path.read_bytes()
    cut = int(len(data) * share)
    if name.endswith(".flv") and data[cut : cut + 2] == b"\x09\0":
        cut += 3  # between two tags a file is whole, and its header alone says otherwise: a note
    path.write_bytes(data[:cut])
    with pytest.raises(VideoError, match="cut off") as caught, VideoReader(path) as reader:
        reader.frames(reader.timestamps())
    assert "Errno" not in str(caught.value)


def test_sound_longer_than_the_pictures_is_no_cut(tmp_path: Path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        sound: Any = container.add_stream("aac", rate=8000)
        for i in range(30):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts = i
            container.mux(video.encode(frame))
        for i in range(40):
            noise = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            noise.sample_rate, noise.pts = 8000, 1024 * i
            container.mux(sound.encode(noise))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    with VideoReader(path) as reader:
        assert len(reader.timestamps()) == 30
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match="cut off"), VideoReader(path) as reader:
        reader.timestamps()


@pytest.mark.slow
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), suffix=st.sampled_from([".mp4", ".mkv", ".ts", ".avi", ".flv"]))
def test_noise_in_a_file_is_an_error_or_frames(tmp_path: Path, data: st.DataObject, suffix: str):
    sound = tmp_path / f"sound{suffix}"
    if not sound.exists():
        write_video(sound, 40)
    content = bytearray(sound.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(content) - 1))
        noise = data.draw(st.binary(min_size=1, max_size=40))
        content[place : place + len(noise)] = noise
    path = tmp_path / f"noisy{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(VideoError), VideoReader(path) as reader:
        stamps = reader.timestamps()
        which = stamps[:: max(1, len(stamps) // 5)]
        assert reader.frames(which).shape[:2] == (len(which), 3)


def test_names_that_look_like_protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plain = write_video(tmp_path / "a.mp4", 3)
    monkeypatch.chdir(tmp_path)
    for name in ("http:a.mp4", "concat:a.mp4|b.mp4", "50%d ü.mp4"):
        shutil.copy(plain, tmp_path / name)
        with VideoReader(name) as reader:
            assert len(reader.timestamps()) == 3


def test_metadata_in_another_encoding(tmp_path: Path):
    path = tmp_path / "a.avi"
    write_video(path, 5, codec="mpeg4")
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.avi"), "w") as target:
        target.metadata["title"] = "XXXX"
        out = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = out
                target.mux(packet)
    data = (tmp_path / "b.avi").read_bytes()
    assert b"XXXX" in data
    path.write_bytes(data.replace(b"XXXX", b"f\xfcr "))
    with VideoReader(path) as reader:
        assert len(reader.timestamps()) == 5


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_no_file_stays_open(tmp_path: Path, shared_data: Path):
    good = write_video(tmp_path / "a.ts", 30)  # its first jump fails, so it is opened again
    text = tmp_path / "b.mp4"
    text.write_text("no video")
    bad = [text, shared_data / "samples" / "sine_mono_s16.wav"]
    corrupted = shared_data / "samples" / "corrupted.mp4"
    strict = Reading(damaged_share=0.0)

    def once() -> None:
        with VideoReader(good) as reader:
            reader.frames(reader.timestamps()[[0, 7, 20]])
        for path in bad:
            with pytest.raises(VideoError):
                VideoReader(path)
        with pytest.raises(VideoError), VideoReader(corrupted, reading=strict) as reader:
            reader.frames([40])

    once()
    before = entries("/proc/self/fd")
    for _ in range(10):
        once()
    assert entries("/proc/self/fd") <= before


def test_nothing_is_printed(shared_data: Path, capfd: pytest.CaptureFixture[str]):
    strict = Reading(damaged_share=0.0)
    with (
        pytest.raises(VideoError),
        VideoReader(shared_data / "samples" / "corrupted.mp4", reading=strict) as reader,
    ):
        reader.frames([40])
    assert capfd.readouterr() == ("", "")


def test_decoding_uses_one_thread(tmp_path: Path):
    with VideoReader(write_video(tmp_path / "a.mp4", 30)) as reader:
        threads = entries("/proc/self/task")
        reader.frames([3, 20])
        assert isinstance(reader._source, FrameExtractor)
        assert reader._source.stream.codec_context.thread_count == 1
        assert entries("/proc/self/task") == threads


def test_pictures_nothing_refers_to_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_video(tmp_path / "a.mp4", 60, gop=60, options={"x264-params": "bframes=3"})
    skipped: list[bool] = []
    original = FrameExtractor._skipping

    @contextlib.contextmanager
    def spy(self: FrameExtractor):
        with original(self) as skip:
            yield lambda unwanted: (skipped.append(unwanted), skip(unwanted))[1]

    monkeypatch.setattr(FrameExtractor, "_skipping", spy)
    with VideoReader(path) as reader:
        assert numbers(reader.frames([10, 50])) == [10, 50]
    assert skipped.count(False) == 2
    assert len(skipped) < 60

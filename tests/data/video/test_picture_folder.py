from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from video_files import numbered_frame, read_number
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.loading.dataset import ClipDataset, ClipFailure
from video_mobile_former.data.video.backend import Reading
from video_mobile_former.data.video.crops import Crops
from video_mobile_former.data.video.picture_folder import picture_names
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import UserError, VideoError

CODECS = {
    "jpg": ("mjpeg", "yuvj420p"),
    "jpeg": ("mjpeg", "yuvj444p"),
    "png": ("png", "rgb24"),
    "bmp": ("bmp", "bgr24"),
    "webp": ("libwebp", "yuv420p"),
}


def picture_bytes(number: int, ending: str = "jpg", size: tuple[int, int] = (96, 64)) -> bytes:
    codec, pix_fmt = CODECS[ending]
    context: Any = av.CodecContext.create(codec, "w")
    context.width, context.height = size
    context.pix_fmt = pix_fmt
    context.time_base = Fraction(1, 30)
    frame = av.VideoFrame.from_ndarray(numbered_frame(number, *size), format="rgb24")
    packets = context.encode(frame.reformat(format=pix_fmt)) + context.encode(None)
    return b"".join(bytes(packet) for packet in packets)


def write_folder(path: Path, count: int, pattern: str = "img_{:05d}.jpg") -> Path:
    path.mkdir()
    for i in range(count):
        ending = pattern.rsplit(".", 1)[1].lower()
        (path / pattern.format(i + 1)).write_bytes(picture_bytes(i, ending))
    return path


def numbers(clip: torch.Tensor) -> list[int]:
    return [read_number(picture) for picture in clip.permute(0, 2, 3, 1).numpy()]


@pytest.mark.parametrize(
    "pattern",
    ["img_{:05d}.jpg", "frame_{:06d}.png", "{:d}.jpeg", "a{:03d}.BMP", "frame{:d}.webp"],
)
def test_patterns_and_kinds(tmp_path: Path, pattern: str):
    folder = write_folder(tmp_path / "clip", 12, pattern)
    with VideoReader(folder) as reader:
        stamps = reader.timestamps()
        assert np.allclose(stamps, np.arange(12) / 30)
        assert numbers(reader.frames(np.arange(12))) == list(range(12))
        assert numbers(reader.frames(stamps[[10, 3, 3]])) == [10, 3, 3]
        assert reader.frames([0], 32).shape == (1, 3, 32, 48)
        info = reader.info
    assert (info.width, info.height, info.num_frames) == (96, 64, 12)
    assert info.frame_rate == pytest.approx(30)
    assert info.duration_seconds == pytest.approx(0.4)


def test_pixels_are_those_of_the_picture(tmp_path: Path):
    folder = write_folder(tmp_path / "clip", 2, "{}.png")
    with VideoReader(folder) as reader:
        clip = reader.frames([0, 1])
    assert clip.is_contiguous(memory_format=torch.channels_last)
    for i, picture in enumerate(clip.permute(0, 2, 3, 1).numpy()):
        assert np.array_equal(picture, numbered_frame(i))


def test_jpeg_has_full_range_colours(tmp_path: Path):
    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(picture_bytes(5, "jpeg"))
    with VideoReader(folder) as reader:
        picture = reader.frames([0])[0].permute(1, 2, 0).numpy().astype(int)
    assert abs(picture - numbered_frame(5)).mean() < 6


def test_frame_rate_and_parts(tmp_path: Path):
    folder = write_folder(tmp_path / "clip", 24)
    with VideoReader(folder, reading=Reading(frame_rate=12)) as reader:
        assert np.allclose(reader.timestamps(), np.arange(24) / 12)
        part = reader.timestamps(0.5, 1.0)
        assert len(part) == 6
        assert numbers(reader.frames(part)) == [6, 7, 8, 9, 10, 11]
        assert len(reader.timestamps(5.0)) == 0
    with VideoReader(folder, reading=Reading(frame_rate=29.97)) as reader:
        assert np.allclose(reader.timestamps(), np.arange(24) / 29.97)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_wrong_frame_rates(rate: float):
    with pytest.raises(UserError, match="frame_rate must be above 0"):
        Reading(frame_rate=rate)


def test_other_files_are_passed_over(tmp_path: Path):
    folder = write_folder(tmp_path / "clip", 3)
    (folder / "notes.txt").write_text("no picture")
    (folder / "._img_00001.jpg").write_bytes(b"\0\5\x16\7")
    (folder / "Thumbs.db").write_bytes(b"1")
    with VideoReader(folder) as reader:
        assert numbers(reader.frames([0, 1, 2])) == [0, 1, 2]


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.permutations(range(1, 30)))
def test_natural_order(tmp_path_factory: pytest.TempPathFactory, order: list[int]):
    folder = tmp_path_factory.mktemp("clip")
    for i in order:
        (folder / f"frame{i}.jpg").touch()
    assert picture_names(folder) == [f"frame{i}.jpg" for i in range(1, 30)]


def test_folders_that_are_no_video(tmp_path: Path):
    with pytest.raises(VideoError, match=r"a folder without pictures \(bmp, jpeg, jpg, png, webp"):
        VideoReader(tmp_path)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
def test_a_damaged_picture_is_named(tmp_path: Path, ending: str, share: float):
    folder = write_folder(tmp_path / "clip", 4, "{:d}." + ending)
    bad = folder / f"3.{ending}"
    content = bad.read_bytes()
    bad.write_bytes(content[: int(len(content) * share)])
    with VideoReader(folder) as reader:
        assert numbers(reader.frames([0, 1, 3])) == [0, 1, 3]
        with pytest.raises(VideoError, match=r"empty|cut off|not a picture") as caught:
            reader.frames([1, 2])
        assert caught.value.path == str(bad)
        assert numbers(reader.frames([3, 0])) == [3, 0]


def test_a_missing_right_and_a_wrong_ending(tmp_path: Path):
    folder = write_folder(tmp_path / "clip", 2)
    (folder / "img_00002.jpg").write_bytes(picture_bytes(1, "png"))
    (folder / "img_00003.jpg").write_text("These are the minutes of the meeting.")
    (folder / "img_00004.jpg").mkdir()
    with VideoReader(folder) as reader:
        assert numbers(reader.frames([0, 1])) == [0, 1]
        with pytest.raises(VideoError, match=r"img_00003\.jpg: not a picture"):
            reader.frames([2])
        with pytest.raises(VideoError, match=r"img_00004\.jpg: cannot be read"):
            reader.frames([3])


def test_pictures_of_several_sizes_take_the_size_of_the_first(tmp_path: Path):
    folder = write_folder(tmp_path / "clip", 2)
    (folder / "img_00003.jpg").write_bytes(picture_bytes(2, "jpg", (192, 128)))
    with VideoReader(folder) as reader:
        clip = reader.frames([0, 1, 2])
    assert clip.shape == (3, 3, 64, 96)
    assert numbers(clip) == [0, 1, 2]


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_rectangles_of_pictures(tmp_path: Path, ending: str):
    folder = write_folder(tmp_path / "clip", 3, f"img_{{:05d}}.{ending}")
    with VideoReader(folder) as reader:
        clip = reader.frames([2, 0, 1], crops=Crops(72, [lambda height, width: (0, 0, 64, 96)]))
    assert clip.shape == (1, 3, 3, 72, 72)
    assert numbers(clip[0]) == [2, 0, 1]


def test_clips_of_a_data_set(tmp_path: Path):
    folder = write_folder(tmp_path / "clip", 24)
    damaged = write_folder(tmp_path / "damaged", 24)
    for picture in damaged.iterdir():
        picture.write_bytes(picture.read_bytes()[:200])
    clips = (
        Clip(str(folder), labels=(0,), name="clip"),
        Clip(str(folder), labels=(0,), name="clip", start_seconds=1.0),
        Clip(str(damaged), labels=(0,), name="damaged"),
    )
    spec = ClipSpec(num_frames=4, crop_size=64, resize_size=64, sampling="dense", stride=10)
    index = ClipIndex(clips, ("a",), "folders")
    dataset = ClipDataset(index, spec, train=False, reading=Reading(frame_rate=12))
    whole, part, failure = (dataset[i] for i in range(3))
    assert not isinstance(whole, ClipFailure)
    assert not isinstance(part, ClipFailure)
    assert isinstance(failure, ClipFailure)
    assert not whole["padded"]
    assert part["padded"]
    assert "damaged or cut off" in failure.reason


def named(folder: Path, *patterns: str, count: int = 3) -> Path:
    """Empty pictures; which belong to the video is told by their names."""
    folder.mkdir()
    for pattern in patterns:
        for i in range(count):
            (folder / pattern.format(i + 1)).touch()
    return folder


@pytest.mark.parametrize(
    ("patterns", "taken"),
    [
        (("img_{:05d}.jpg", "flow_x_{:05d}.jpg", "flow_y_{:05d}.jpg"), "img_00001.jpg"),
        (("rgb{}.png", "depth{}.png"), "rgb1.png"),
        (("Frame-{}.jpg", "mask-{}.png"), "Frame-1.jpg"),
        (("{:03d}.jpg", "cover.jpg"), "001.jpg"),
        (("scan{}.jpg",), "scan1.jpg"),
    ],
)
def test_one_sequence_of_several(tmp_path: Path, patterns: tuple[str, ...], taken: str):
    names = picture_names(named(tmp_path / "clip", *patterns))
    assert len(names) == 3
    assert names[0] == taken


@pytest.mark.parametrize(
    "patterns",
    [
        ("left_{}.jpg", "right_{}.jpg"),
        ("cam0_{}.jpg", "cam1_{}.jpg"),
        ("img_{}.jpg", "rgb_{}.jpg"),
        ("flow_x_{}.jpg", "flow_y_{}.jpg"),
        ("{}.jpg", "depth_{}.jpg"),
    ],
)
def test_sequences_without_a_clear_choice_are_named(tmp_path: Path, patterns: tuple[str, ...]):
    with pytest.raises(VideoError, match=r"several sequences: .* folder of its own"):
        picture_names(named(tmp_path / "clip", *patterns))


def test_numbers_in_the_begin_of_names_go_on(tmp_path: Path):
    """A recording over midnight, and times with minutes."""
    folder = tmp_path / "clip"
    folder.mkdir()
    names = ["20240101_235958", "20240101_235959", "20240102_000000", "20240102_000001"]
    for name in names:
        (folder / f"img_{name}.jpg").touch()
    assert picture_names(folder) == [f"img_{name}.jpg" for name in names]


def test_numbers_with_decimals_come_in_order_of_value(tmp_path: Path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in ("0.5", "0.25", "10.0", "9.75", "2"):
        (folder / f"frame_{number}.png").touch()
    assert picture_names(folder) == [
        f"frame_{number}.png" for number in ("0.25", "0.5", "2", "9.75", "10.0")
    ]


def test_pictures_beside_optical_flow(shared_data: Path):
    folder = shared_data / "odd" / "rawframes_with_flow" / "run" / "v0"
    with VideoReader(folder) as reader:
        assert len(reader.timestamps()) == 8
    assert all(name.startswith("img_") for name in picture_names(folder))

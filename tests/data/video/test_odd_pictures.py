"""Pixels that are not square, animations behind a still, and files that are not all there."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from video_files import read_number, write_video
from video_mobile_former.data.prepare.transcode import PrepareSettings, transcode
from video_mobile_former.data.video.backend import Backend, Reading
from video_mobile_former.data.video.crops import Crops
from video_mobile_former.data.video.endings import is_complete
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import UserError, VideoError


@pytest.fixture(params=["pyav", "torchcodec"])
def reading(request: pytest.FixtureRequest) -> Reading:
    backend: Backend = request.param
    found = Reading(backend=backend)
    try:
        found.check()
    except UserError as error:
        pytest.skip(str(error))
    return found


@pytest.mark.parametrize(("ratio", "width"), [(Fraction(4, 3), 128), (Fraction(8, 9), 85)])
def test_pixels_that_are_not_square(tmp_path: Path, ratio: Fraction, width: int, reading: Reading):
    shape = {"sample_aspect_ratio": ratio}
    path = write_video(tmp_path / "a.mkv", 20, color=shape)
    square = write_video(tmp_path / "b.mkv", 20)
    with VideoReader(path, reading=reading) as reader, VideoReader(square) as other:
        assert (reader.info.width, reader.info.height) == (width, 64)
        clip = reader.frames([3, 11])
        assert clip.shape == (2, 3, 64, width)
        assert [read_number(p.permute(1, 2, 0).numpy()) for p in clip] == [3, 11]
        assert reader.frames([3], 32).shape == (1, 3, 32, round(width / 2))
        # A rectangle shows the same place as that of the file with square pixels.
        tall = Crops(32, [lambda height, wide: (0, wide // 2, height, wide // 2)])
        found, expected = (r.frames([3], crops=tall).float() for r in (reader, other))
        assert (found - expected).abs().mean() < 6


def test_preparing_makes_pixels_square(tmp_path: Path):
    path = write_video(tmp_path / "a.mkv", 20, color={"sample_aspect_ratio": Fraction(4, 3)})
    made = transcode(
        lambda: VideoReader(path), tmp_path / "out.mp4", PrepareSettings(short_side=64)
    )
    assert (made.width, made.height) == (128, 64)


@pytest.mark.parametrize("ratio", [Fraction(1, 30000), Fraction(30000, 1)])
def test_an_absurd_shape_is_passed_over(tmp_path: Path, ratio: Fraction):
    path = write_video(tmp_path / "a.mp4", 5, color={"sample_aspect_ratio": ratio})
    with VideoReader(path) as reader:
        assert reader.info.width == 96


def test_shared_odd_pictures(shared_data: Path, reading: Reading):
    with VideoReader(shared_data / "odd" / "pixels_16_9.mp4", reading=reading) as reader:
        assert (reader.info.width, reader.info.height) == (284, 120)
    with VideoReader(shared_data / "odd" / "animated.avif", reading=reading) as reader:
        assert len(reader.timestamps()) == 50
        assert reader.info.duration_seconds == pytest.approx(2.0)
    with VideoReader(shared_data / "odd" / "one_bad_packet.webm", reading=reading) as reader:
        times = reader.timestamps()
        clip = reader.frames(times)
        assert len(times) == 75
        # One picture is that before it, all others move.
        same = [i for i in range(1, 75) if torch.equal(clip[i], clip[i - 1])]
        assert len(same) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.flv", "a.avi"])
def test_what_is_there_of_a_cut_file(tmp_path: Path, name: str):
    options = {"movflags": "faststart"} if name.endswith("mp4") else {}
    path = write_video(tmp_path / name, 240, gop=30, container_options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(VideoError, match="cut off"), VideoReader(path) as reader:
        reader.timestamps()
    with VideoReader(path, reading=Reading(partial=True)) as reader:
        times = reader.timestamps()
        found = [read_number(p) for p in reader.frames(times).permute(0, 2, 3, 1).numpy()]
        assert 60 < len(found) < 230
        assert found[:-4] == list(range(len(found) - 4))
        assert "frames are there" in " ".join(reader._read_table().notes)


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
@pytest.mark.parametrize("name", ["a.mkv", "live.mkv", "a.flv", "a.avi"])
def test_containers_that_say_whether_they_are_complete(tmp_path: Path, name: str):
    whole = write_video(tmp_path / f"whole{Path(name).suffix}", 60)
    path = tmp_path / name
    live = ["-f", "matroska", "-live", "1"] if name == "live.mkv" else []
    command = ["ffmpeg", "-v", "error", "-i", str(whole), "-c", "copy", *live, str(path)]
    subprocess.run(command, check=True)
    container = {".mkv": "matroska,webm", ".flv": "flv", ".avi": "avi"}[path.suffix]
    data = path.read_bytes()
    with path.open("rb") as file:
        assert is_complete(file, container)
    for size in np.linspace(len(data) // 3, len(data) - 1, 9).astype(int):
        path.write_bytes(data[:size])
        with path.open("rb") as file:
            assert not is_complete(file, container)

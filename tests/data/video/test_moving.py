"""Small clips for pages, read back by another library."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from video_files import numbered_frame, read_number, write_video
from video_mobile_former.data.video.moving import (
    LONGEST_SECONDS,
    MOST_PICTURES,
    moving_places,
    moving_webp,
    read_preview,
)
from video_mobile_former.errors import VideoError


def opened(webp: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(webp)))


def milliseconds(webp: str) -> list[int]:
    """How long each picture stays, from the ANMF chunks of the file."""
    data, found, at = base64.b64decode(webp), [], 0
    while (at := data.find(b"ANMF", at)) >= 0:
        found.append(int.from_bytes(data[at + 20 : at + 23], "little"))
        at += 4
    return found


def grey(level: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


@pytest.mark.parametrize(
    ("frames", "seconds", "count"),
    [(1, 0.03, 1), (5, 0.2, 5), (60, 2.0, 16), (300, 10.0, MOST_PICTURES), (100, 0.1, 8)],
)
def test_places_are_few_rising_and_of_the_whole_clip(frames: int, seconds: float, count: int):
    places = moving_places(frames, seconds)
    assert len(places) == count
    assert (np.diff(places) > 0).all()
    assert 0 <= places[0] < max(1, frames / 4)
    assert frames * 3 / 4 <= places[-1] + 1 <= frames


def test_a_clip_plays_in_its_own_time_and_a_long_one_faster():
    pictures = [grey(30 * i) for i in range(8)]
    for seconds in (0.5, 2.0, 60.0):
        webp = moving_webp(pictures, seconds)
        picture = opened(webp)
        assert (picture.format, getattr(picture, "n_frames", 1)) == ("WEBP", 8)
        assert picture.info["loop"] == 0  # for ever
        assert sum(milliseconds(webp)) == pytest.approx(
            1000 * min(seconds, LONGEST_SECONDS), rel=0.15
        )


def test_one_picture_does_not_move_and_odd_sides_are_fine():
    assert moving_webp([grey(9)], 1.0) == ""
    assert opened(moving_webp([grey(9, 47, 63), grey(99, 51, 60)], 1.0)).size == (64, 48)
    assert max(opened(moving_webp([grey(9, 30, 900), grey(99, 30, 900)], 1.0)).size) == 200


def test_the_pictures_are_those_of_the_part_in_order(tmp_path: Path):
    path = tmp_path / "a.mp4"
    write_video(path, [numbered_frame(n) for n in range(1, 41)], fps=10)
    whole = opened(read_preview(str(path)).moving)
    part = opened(read_preview(str(path), start_seconds=1.0, end_seconds=2.0).moving)
    numbers = []
    for picture in (whole, part):
        seen = []
        for k in range(getattr(picture, "n_frames", 1)):
            picture.seek(k)
            seen.append(read_number(np.asarray(picture.convert("RGB"))))
        numbers.append(seen)
    assert numbers[0] == list(range(2, 41, 2))
    assert numbers[1] == [11, 12, 14, 15, 16, 17, 19, 20]


def test_a_part_without_frames_and_a_broken_file_are_told(tmp_path: Path):
    path = tmp_path / "a.mp4"
    write_video(path, [numbered_frame(n) for n in range(1, 6)], fps=10)
    with pytest.raises(VideoError, match="no frame"):
        read_preview(str(path), start_seconds=50.0)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(VideoError):
        read_preview(str(path))

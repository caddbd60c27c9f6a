from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_files import CAN_WRITE_ROTATION, NO_ROTATION, numbered_frame, read_number, write_video
from video_mobile_former.data.video.picture import Converter, target_size
from video_mobile_former.data.video.reader import VideoReader


def quadrants(height: int = 48, width: int = 96) -> np.ndarray:
    """Red, green / blue, white: tells every rotation and mirroring apart."""
    picture = np.zeros((height, width, 3), np.uint8)
    h, w = height // 2, width // 2
    picture[:h, :w] = (255, 0, 0)
    picture[:h, w:] = (0, 255, 0)
    picture[h:, :w] = (0, 0, 255)
    picture[h:, w:] = (255, 255, 255)
    return picture


def corners(picture: np.ndarray) -> str:
    """The colours of the four quadrants, row by row."""
    h, w = picture.shape[0] // 4, picture.shape[1] // 4
    names = ""
    for y, x in ((h, w), (h, 3 * w), (3 * h, w), (3 * h, 3 * w)):
        r, g, b = (int(value) > 128 for value in picture[y, x])
        names += {(1, 0, 0): "R", (0, 1, 0): "G", (0, 0, 1): "B", (1, 1, 1): "W"}[(r, g, b)]
    return names


@pytest.mark.parametrize(
    ("degrees", "hflip", "expected"),
    [
        (0, False, "RGBW"),
        (90, False, "GWRB"),  # anticlockwise
        (-90, False, "BRWG"),
        (180, False, "WBGR"),
        (0, True, "GRWB"),
    ],
)
@pytest.mark.skipif(not CAN_WRITE_ROTATION, reason=NO_ROTATION)
def test_pictures_are_turned_upright(tmp_path: Path, degrees: int, hflip: bool, expected: str):
    path = write_video(tmp_path / "a.mp4", [quadrants()] * 3, rotation=degrees, hflip=hflip)
    with VideoReader(path) as reader:
        clip = reader.frames([1], 24)
    assert corners(clip[0].permute(1, 2, 0).numpy()) == expected
    assert clip.shape[2:] == ((48, 24) if abs(degrees) == 90 else (24, 48))


def test_rotated_samples(shared_data: Path):
    pictures = {}
    for angle in (0, 90, 180):
        with VideoReader(shared_data / "samples" / f"video_{angle}.mov") as reader:
            pictures[angle] = reader.frames([0], 90)[0].permute(1, 2, 0).numpy()
    assert pictures[0].shape == pictures[180].shape == (90, 160, 3)
    assert pictures[90].shape == (160, 90, 3)


def solid(y: int, u: int, v: int, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    frame = av.VideoFrame(32, 32, pix_fmt)
    for plane, value in zip(frame.planes, (y, u, v), strict=True):
        if pix_fmt.endswith("10le"):
            plane.update(np.full(plane.buffer_size // 2, value * 4, np.uint16).tobytes())
        else:
            plane.update(bytes([value]) * plane.buffer_size)
    return frame


def expected_rgb(y: int, u: int, v: int, full: bool, red: float, blue: float) -> np.ndarray:
    """The definition of Y'CbCr with these luma coefficients (ITU-R BT.601 and BT.709)."""
    luma = y / 255 if full else (y - 16) / 219
    scale = 255 if full else 224
    cb, cr = (u - 128) / scale, (v - 128) / scale
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.array([r, g, b]) * 255, 0, 255)


BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)
UNSPECIFIED_RANGE, LIMITED, FULL = 0, 1, 2


@pytest.mark.parametrize(
    ("color_range", "colorspace", "coefficients"),
    [
        (UNSPECIFIED_RANGE, 2, BT601),
        (LIMITED, 2, BT601),
        (LIMITED, 1, BT709),
        (LIMITED, 5, BT601),
        (LIMITED, 6, BT601),
        (FULL, 1, BT709),
        (FULL, 6, BT601),
    ],
)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("yuv", [(235, 128, 128), (16, 128, 128), (90, 110, 180), (150, 190, 70)])
def test_colour_range_and_matrix(
    color_range: int,
    colorspace: int,
    coefficients: tuple[float, float],
    pix_fmt: str,
    yuv: tuple[int, int, int],
):
    frame = solid(*yuv, pix_fmt=pix_fmt)
    frame.color_range, frame.colorspace = color_range, colorspace
    pixel = Converter(16)(frame)[8, 8]
    wanted = expected_rgb(*yuv, color_range == FULL, *coefficients)
    # swscale's fast arithmetic, FFmpeg's default, is off by a little over 3; a mistaken range or
    # matrix by more than 7 on either of the last two colours.
    assert np.abs(pixel - wanted).max() <= 3.5


def test_full_range_sample(shared_data: Path):
    path = shared_data / "samples" / "bt709_full_range.mp4"
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        luma = frame.to_ndarray()[: frame.height]
        picture = Converter()(frame)
    # Grey pixels keep their value in full range: compare luma computed back.
    back = picture @ np.array([0.2126, 0.7152, 0.0722])
    inside = ((picture > 2) & (picture < 253)).all(axis=-1)
    assert inside.mean() > 0.2
    assert np.abs(back - luma)[inside].mean() < 1.5


def test_shrinking_does_not_alias():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    frame = av.VideoFrame.from_ndarray(stripes, format="rgb24")
    inside = Converter(64)(frame)[:, 2:-2]
    assert np.abs(inside.astype(int) - 127).max() < 5


def test_later_frames_of_another_size_are_scaled():
    convert = Converter(32)
    shapes = [
        convert(av.VideoFrame.from_ndarray(numbered_frame(5, width, 64), format="rgb24"))
        for width in (96, 192, 96)
    ]
    assert {picture.shape for picture in shapes} == {(32, 48, 3)}
    assert [read_number(picture) for picture in shapes] == [5, 5, 5]


@pytest.mark.parametrize("yuv", [(90, 110, 180), (150, 190, 70)])
def test_those_colours_tell_ranges_and_matrices_apart(yuv: tuple[int, int, int]):
    kinds = [expected_rgb(*yuv, full, *c) for full in (True, False) for c in (BT601, BT709)]
    for i, one in enumerate(kinds):
        for other in kinds[:i]:
            assert np.abs(one - other).max() > 7


@pytest.mark.slow
@given(
    width=st.integers(1, 4000),
    height=st.integers(1, 4000),
    size=st.one_of(st.none(), st.integers(1, 600)),
    enlarge=st.booleans(),
)
def test_target_size(width: int, height: int, size: int | None, enlarge: bool):
    w, h = target_size(width, height, size, enlarge)
    short = min(width, height)
    if size is None or (size > short and not enlarge):
        assert (w, h) == (width, height)
        return
    assert min(w, h) == size
    assert abs(max(w, h) - max(width, height) * size / short) <= 0.5
    assert (w >= h) == (width >= height) or abs(width - height) * size <= short

"""Cropping while frames are converted, against converting whole frames and cropping then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Interpolation
from hypothesis import given, settings
from hypothesis import strategies as st

from video_files import CAN_WRITE_ROTATION, NO_ROTATION, read_number, write_video
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.loading import sampling
from video_mobile_former.data.loading.dataset import ClipDataset, ClipFailure
from video_mobile_former.data.transforms import TrainTransform, augment, resize
from video_mobile_former.data.video.crops import CropConverter, Crops, _rounded
from video_mobile_former.data.video.picture import Converter, scaler_options
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.data.video.torchcodec_backend import _cut_out

Box = tuple[int, int, int, int]
# FFmpeg's conversion without scaling, the reference here, is 1 to 1.5 levels darker than with it.
CLOSE = 2.2


def natural(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise whose strength falls with its frequency, as in photographs, and an edge."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.full((1, 3, height, width), 120.0)
    for side in (2, 4, 8, 16):
        rough = torch.randn(1, 3, side, side, generator=generator) * 60 / side**0.7
        picture += torch.nn.functional.interpolate(rough, (height, width), mode="bicubic")
    picture[..., : height // 3, width // 2 :] += 40
    return picture.clamp(0, 255).byte()[0].permute(1, 2, 0).numpy()


def make_frame(picture: np.ndarray, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)


def crops(size: int, *boxes: Box) -> Crops:
    return Crops(size, [lambda height, width, box=box: box for box in boxes])


def cut(frame: av.VideoFrame, size: int, box: Box) -> torch.Tensor:
    return torch.from_numpy(CropConverter(crops(size, box))(frame))


def afterwards(whole: torch.Tensor, size: int, box: Box) -> torch.Tensor:
    top, left, height, width = box
    return resize(whole[..., top : top + height, left : left + width], size, size)


def whole_picture(frame: av.VideoFrame) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(Converter()(frame))).permute(2, 0, 1)[None]


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    assert one.shape == other.shape
    return float((one.float() - other.float()).abs().mean())


CUT = ["yuv420p", "yuvj420p", "yuv420p10le", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"]
NOT_CUT = ["rgb24", "gray", "nv12", "yuv411p", "yuv420p12le", "rgba"]


@pytest.mark.parametrize("pix_fmt", CUT)
@pytest.mark.parametrize("size", [48, 112, 200])
def test_formats_that_are_cut(pix_fmt: str, size: int):
    frame = make_frame(natural(180, 240), pix_fmt)
    for box in ((0, 0, 180, 240), (20, 60, 120, 90), (78, 120, 102, 120), (0, 0, 48, 48)):
        wanted = afterwards(whole_picture(frame), size, box)
        assert difference(cut(frame, size, box), wanted) < CLOSE, box
        shifted = afterwards(whole_picture(frame), size, (box[0], box[1], *box[2:])).flip(-1)
        assert difference(cut(frame, size, box), shifted) > 3 * CLOSE


@pytest.mark.parametrize("size", [20, 36, 48])
def test_rectangles_that_need_no_scaling(size: int):
    """FFmpeg leaves columns of some widths unwritten there, in planes of RGB."""
    frame, box = make_frame(natural(90, 120)), (4, 8, size, size)
    found, wanted = cut(frame, size, box), afterwards(whole_picture(frame), size, box)
    assert (found.int() - wanted.int()).abs().max() <= 3


@pytest.mark.parametrize("pix_fmt", NOT_CUT)
def test_other_formats_are_cropped_afterwards(pix_fmt: str):
    frame = make_frame(natural(90, 120), pix_fmt)
    box = (11, 33, 50, 61)
    assert torch.equal(cut(frame, 64, box), afterwards(whole_picture(frame), 64, box))


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(data=st.data(), height=st.integers(1, 70), width=st.integers(1, 70))
def test_odd_and_tiny_pictures(data: st.DataObject, height: int, width: int):
    frame = make_frame(natural(70, 70)[:height, :width].copy())
    tall, wide = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    box = (
        data.draw(st.integers(0, height - tall)),
        data.draw(st.integers(0, width - wide)),
        tall,
        wide,
    )
    size = data.draw(st.sampled_from([16, 20, 50]))
    found = cut(frame, size, box)
    assert found.shape == (1, 3, size, size)
    # The box moves by up to a pixel; whatever is not of the picture would be far off.
    picture = whole_picture(frame)
    around = picture[
        ...,
        max(0, box[0] - 3) : box[0] + tall + 3,
        max(0, box[1] - 3) : box[1] + wide + 3,
    ].int()
    assert (found.amin((-2, -1)) >= around.amin((-2, -1)) - 12).all()
    assert (found.amax((-2, -1)) <= around.amax((-2, -1)) + 12).all()


@given(data=st.data(), whole=st.integers(1, 2000), step=st.sampled_from([1, 2]))
def test_rounding_of_a_rectangle(data: st.DataObject, whole: int, step: int):
    length = data.draw(st.integers(1, whole))
    begin = data.draw(st.integers(0, whole - length))
    first, rounded = _rounded(begin, length, whole, step)
    assert first % step == 0
    assert 0 <= begin - first < step
    assert 1 <= rounded <= whole - first
    assert abs(first + rounded - begin - length) < step
    assert (first + rounded) % step == 0 or first + rounded == whole
    assert step > 1 or (first, rounded) == (begin, length)


def test_pixels_are_those_of_the_scaler_alone(tmp_path: Path):
    """Cutting changes nothing: neither colours nor where chroma lies. Twice as large, the places of
    pixels are the same with and without cutting."""
    path = write_video(tmp_path / "a.mp4", [natural(96, 128)], color={"colorspace": 1})
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))

    def scaled(width: int, height: int) -> np.ndarray:
        return frame.reformat(
            width,
            height,
            "gbrp",
            interpolation=Interpolation.BILINEAR,
            **scaler_options(frame),
        ).to_ndarray()

    found = cut(frame, 96, (20, 40, 48, 48))[0].permute(1, 2, 0).numpy()
    inside = np.s_[8:-8, 8:-8]
    assert np.array_equal(found[inside], scaled(256, 192)[40:136, 80:176][inside])
    found = cut(frame, 80, (0, 0, 96, 128))[0].permute(1, 2, 0).numpy()
    assert np.array_equal(found, scaled(80, 80))


TURNS = [(90, False), (-90, False), (180, False), (0, True), (90, True)]


@pytest.mark.parametrize(("degrees", "hflip"), TURNS)
@pytest.mark.skipif(not CAN_WRITE_ROTATION, reason=NO_ROTATION)
def test_rectangles_of_the_upright_picture(tmp_path: Path, degrees: int, hflip: bool):
    pictures = [natural(96, 160)] * 3
    path = write_video(tmp_path / "a.mp4", pictures, rotation=degrees, hflip=hflip)
    with VideoReader(path) as reader:
        whole = reader.frames([0, 2])
        told = []

        def draw(height: int, width: int) -> Box:
            told.append((height, width))
            return 10, 20, 70, 40

        found = reader.frames([0, 2], crops=Crops(48, [draw]))
    assert told == [tuple(whole.shape[2:])]
    assert found.shape == (1, 2, 3, 48, 48)
    wanted = afterwards(whole, 48, (10, 20, 70, 40))
    assert difference(found[0], wanted) < CLOSE
    for other in (wanted.flip(-1), wanted.flip(-2), wanted.flip(-1, -2), wanted.transpose(2, 3)):
        assert difference(found[0], other) > 3 * CLOSE


def test_interlaced_frames_are_cropped_afterwards(tmp_path: Path):
    path = write_video(
        tmp_path / "a.mp4",
        [natural(96, 128, seed) for seed in range(3)],
        options={"x264-params": "interlaced=1"},
    )
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert frame.interlaced_frame
    box = (10, 20, 60, 70)
    assert torch.equal(cut(frame, 48, box), afterwards(whole_picture(frame), 48, box))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "rgb24"])
def test_later_frames_of_another_size_show_the_same_part(pix_fmt: str):
    convert = CropConverter(crops(64, (8, 4, 48, 80)))
    small, large = natural(64, 96), natural(64, 96).repeat(2, axis=0).repeat(2, axis=1)
    first, other, again = (
        torch.from_numpy(convert(make_frame(picture, pix_fmt))) for picture in (small, large, small)
    )
    assert torch.equal(first, again)
    assert difference(first, other) < CLOSE


# A reader


def test_frames_in_any_order_and_several_rectangles(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 20)
    calls = []

    def draw(height: int, width: int) -> Box:
        calls.append((height, width))
        return 0, 0, 64, 96

    with VideoReader(path) as reader:
        found = reader.frames([7, 3, 7, 19], crops=Crops(80, [draw, lambda h, w: (20, 30, 30, 40)]))
        with pytest.raises(ValueError, match="crops have a size"):
            reader.frames([0], 32, crops=crops(32, (0, 0, 8, 8)))
    assert calls == [(64, 96)]
    assert found.shape == (2, 4, 3, 80, 80)
    assert [read_number(p.permute(1, 2, 0).numpy()) for p in found[0]] == [7, 3, 7, 19]
    assert torch.equal(found[1, 0], found[1, 2])
    assert not torch.equal(found[1, 0], found[1, 1])


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("goat.mp4", CLOSE),
        ("bt709_full_range.mp4", CLOSE),
        ("h264_10bits.mp4", 1.5 * CLOSE),  # a test card: edges between full colours
        ("video_90.mov", CLOSE),
        ("av1_video.mkv", CLOSE),
    ],
)
@pytest.mark.parametrize("size", [112, 224])
def test_real_clips(shared_data: Path, name: str, limit: float, size: int):
    with VideoReader(shared_data / "samples" / name) as reader:
        times = reader.timestamps()[[0, 2]]
        whole = reader.frames(times)
        height, width = whole.shape[2:]
        box = (height // 8 // 2 * 2, width // 5 // 2 * 2, height // 4 * 2, width // 4 * 2)
        found = reader.frames(times, crops=crops(size, box))[0]
    assert difference(found, afterwards(whole, size, box)) < limit


def test_frames_of_torchcodec_are_cropped_afterwards():
    frames = torch.from_numpy(np.stack([natural(60, 80, seed) for seed in (0, 1)]))
    frames = frames.permute(0, 3, 1, 2)
    boxes = [(3, 5, 40, 50), (0, 0, 60, 80), (10, 10, 32, 32)]
    found = _cut_out(frames, CropConverter(crops(32, *boxes)))
    assert found.shape == (2, 3, 3, 32, 32)
    for i, box in enumerate(boxes):
        assert torch.equal(found[:, i], afterwards(frames, 32, box))


# A data set


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 96), (300, 400)])
def test_training_clips_are_what_the_transform_makes_of_whole_frames(
    tmp_path: Path, size: tuple[int, int]
):
    pictures = [natural(*size, seed) for seed in range(8)]
    path = write_video(tmp_path / "a.mp4", pictures, options={"crf": "10"})
    index = ClipIndex((Clip(str(path), (0,), name="a"),), ("a",), "clips")
    spec = ClipSpec(num_frames=4, crop_size=64, resize_size=72)
    options: dict[str, Any] = {"color_jitter": 0.3, "erase_probability": 0.3}
    transform = TrainTransform(spec, **options)
    dataset = ClipDataset(index, spec, train=True, transform=transform, repeats=2)
    for epoch in range(3):
        item = dataset[epoch, 0]
        assert not isinstance(item, ClipFailure)
        first, second = dataset._generator(epoch, 0), dataset._generator(epoch, 0, 1)
        with VideoReader(path) as reader:
            times = reader.timestamps()
            whole = reader.frames(times[sampling.sample(times, spec, first)])
        for clip, generator in zip(item["clip"], (first, second), strict=True):
            wanted = augment(*transform.crop(whole, generator)).transpose(0, 1)
            # In small pictures the pixel by which a rectangle is rounded shows.
            assert difference(clip, wanted) < (CLOSE if size[0] > 100 else 3 * CLOSE)

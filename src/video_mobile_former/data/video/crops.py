"""Rectangles of decoded frames as RGB of one size, in one pass of FFmpeg's scaler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter

from ..transforms.geometry import Box, resize
from .picture import THREADS, Converter, Turn, displayed_width, scaler_options, turned


@dataclass(frozen=True)
class Crops:
    """Which rectangles of its frames a reader gives, and their size."""

    size: int
    """Width and height of what they are resized to, in pixels."""
    samplers: Sequence[Callable[[int, int], Box]]
    """One for each rectangle: called once with height and width in pixels of the upright picture,
    it gives ``(top, left, height, width)``."""


class CropConverter(Converter):
    """Converts rectangles of the frames of one video to RGB of one size, upright.

    Only the rectangle is converted. It is rounded to whole samples of chroma, so by one pixel at
    most. Formats that are not cut (few videos have them), interlaced frames, and frames of another
    size or kind than the first are converted whole, then cut and resized.

    Args:
        crops: Which rectangles; they are sampled at the first frame.
    """

    def __init__(self, crops: Crops):
        super().__init__()
        self.crops = crops
        self.results = len(crops.samplers)
        self._boxes: list[Box] | None = None
        self._kind: tuple[object, ...] | None = None
        self._cuts: list[_Cut] = []

    def boxes(self, height: int, width: int) -> list[Box]:
        """The rectangles, sampled at the first call.

        Args:
            height: Of the upright picture in pixels.
            width: Of the upright picture in pixels.
        """
        if self._boxes is None:
            self._boxes = [sample(height, width) for sample in self.crops.samplers]
        return self._boxes

    def target(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that rectangles of pictures of this size get."""
        return self.crops.size, self.crops.size

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        """Convert the rectangles of one frame.

        Returns:
            ``(n, 3, S, S)`` uint8.
        """
        if self._size is None:
            self._begin(frame)
        if not self._cuts or _kind(frame) != self._kind:
            return self._cut_afterwards(frame)
        out = np.empty((len(self._cuts), 3, self.crops.size, self.crops.size), np.uint8)
        for target, cut in zip(out, self._cuts, strict=True):
            for channel, plane in zip(target, cut(frame), strict=True):
                channel[:] = turned(plane, self._turn)
        return out

    def _begin(self, frame: VideoFrame) -> None:
        super()._begin(frame)
        self._size = displayed_width(frame.width, self.pixel_shape), frame.height
        height, width = _turned_size(frame.height, self._size[0], self._turn)
        boxes = self.boxes(height, width)
        self._kind = _kind(frame)
        if self._kind is not None:
            shown = [_before_turn(box, height, width, self._turn) for box in boxes]
            stored = [_stored(box, self._size[0], frame.width) for box in shown]
            self._cuts = [_Cut(frame, box, self.crops.size) for box in stored]

    def _cut_afterwards(self, frame: VideoFrame) -> np.ndarray:
        whole = np.ascontiguousarray(super().__call__(frame))
        height, width = whole.shape[:2]
        picture = torch.from_numpy(whole).permute(2, 0, 1)[None]
        size = self.crops.size
        return np.concatenate(
            [
                resize(picture[..., top : top + h, left : left + w], size, size).numpy()
                for top, left, h, w in self.boxes(height, width)
            ]
        )


_PLANAR = {
    "yuv420p": (1, 2, 2),
    "yuvj420p": (1, 2, 2),
    "yuv420p10le": (2, 2, 2),
    "yuv422p": (1, 2, 1),
    "yuvj422p": (1, 2, 1),
    "yuv444p": (1, 1, 1),
    "yuvj444p": (1, 1, 1),
}
"""Formats that are cut: bytes of a sample, columns and rows of pixels to a sample of chroma."""


def _kind(frame: VideoFrame) -> tuple[object, ...] | None:
    """What frames must have in common to be cut alike; None where this one is not to be cut."""
    name = frame.format.name
    # The rows of interlaced frames belong to two pictures, whose chroma lies elsewhere. Lines
    # stored from the bottom up are rare.
    if name not in _PLANAR or frame.interlaced_frame:
        return None
    if any(plane.line_size <= 0 for plane in frame.planes):
        return None
    return name, frame.width, frame.height, frame.colorspace, frame.color_range


class _Cut:
    """One rectangle of frames of one kind, converted and resized.

    Args:
        frame: The first of them.
        box: Rectangle of the picture as it is stored.
        size: Width and height of the result.
    """

    def __init__(self, frame: VideoFrame, box: Box, size: int):
        self._size = size
        self._scaler = VideoReformatter()
        self._part: VideoFrame | None = None
        # Where each plane of it lies in memory, and which lines and bytes of a frame belong there.
        self._planes: list[tuple[np.ndarray, slice, slice]] = []
        num_bytes, columns, rows = _PLANAR[frame.format.name]
        top, tall = _rounded(box[0], box[2], frame.height, rows)
        left, wide = _rounded(box[1], box[3], frame.width, columns)
        if (wide, tall) != (frame.width, frame.height):
            # A new frame would not know where the samples of chroma lie: only FFmpeg copies that.
            part = self._scaler.reformat(
                frame,
                width=wide,
                height=tall,
                format=frame.format.name,
                interpolation=Interpolation.POINT,  # the fastest; the pixels are not used
                **THREADS,
            )
            part.colorspace, part.color_range = frame.colorspace, frame.color_range
            self._part = part
            for i, plane in enumerate(part.planes):
                x, y = (columns, rows) if i else (1, 1)
                first, last = left // x * num_bytes, -(-(left + wide) // x) * num_bytes
                lines = slice(top // y, -(-(top + tall) // y))
                target = _samples(plane)[:, : last - first]
                self._planes.append((target, lines, slice(first, last)))

    def __call__(self, frame: VideoFrame) -> Sequence[np.ndarray]:
        """Red, green and blue, each ``(S, S)`` uint8 of any strides."""
        source = frame if self._part is None else self._filled(self._part, frame)
        size = self._size
        same = (source.width, source.height) == (size, size)
        rgb = self._scaler.reformat(
            source,
            width=size,
            height=size,
            # Without scaling FFmpeg leaves columns of planes unwritten beyond a multiple of 16.
            format="rgb24" if same else "gbrp",
            interpolation=Interpolation.BILINEAR,
            **scaler_options(frame),
        )
        if same:
            return list(rgb.to_ndarray().transpose(2, 0, 1))
        green, blue, red = (_samples(plane)[:, :size] for plane in rgb.planes)
        return red, green, blue

    def _filled(self, part: VideoFrame, frame: VideoFrame) -> VideoFrame:
        """The part with the samples of a frame."""
        for (target, lines, samples), source in zip(self._planes, frame.planes, strict=True):
            target[:] = _samples(source)[lines, samples]
        return part


def _samples(plane: VideoPlane) -> np.ndarray:
    """``(rows, bytes of a line)`` uint8, the memory of the plane itself."""
    memory = np.frombuffer(cast("bytes", plane), np.uint8)
    return memory.reshape(plane.height, plane.line_size)


def _rounded(begin: int, length: int, whole: int, step: int) -> tuple[int, int]:
    """Begin and length as multiples of ``step``, where the end is not that of the picture."""
    first = begin // step * step
    end = begin + length
    if end < whole:
        end = max(first + step, end // step * step)
    return first, min(end, whole) - first


def _turned_size(height: int, width: int, turn: Turn) -> tuple[int, int]:
    return (width, height) if turn[0] else (height, width)


def _stored(box: Box, shown: int, stored: int) -> Box:
    """The columns of a rectangle where a line of ``shown`` pixels is stored as ``stored``."""
    if shown == stored:
        return box
    top, left, h, w = box
    first = round(left * stored / shown)
    return top, first, h, max(1, round((left + w) * stored / shown) - first)


def _before_turn(box: Box, height: int, width: int, turn: Turn) -> Box:
    """Where a rectangle of the upright picture lies in the picture as it is stored."""
    swap, mirror_columns, mirror_rows = turn
    top, left, h, w = box
    if mirror_rows:
        top = height - top - h
    if mirror_columns:
        left = width - left - w
    return (left, top, w, h) if swap else (top, left, h, w)

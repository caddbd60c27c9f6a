"""From a decoded frame to RGB pixels: colour, size and the way up."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

Turn = tuple[bool, bool, bool]
"""How a picture is turned upright: swap its axes, then mirror columns, then mirror rows."""


class Converter:
    """Converts frames of one video to RGB of one size, upright.

    Colour range and matrix are those the frame names, else FFmpeg's defaults (limited range,
    BT.601). High dynamic range is not tone-mapped. The first frame fixes size and rotation; frames
    of another size later in the stream are scaled to it.

    Args:
        resize_size: Short side of the result in pixels, None to leave the size as it is.
        enlarge: Whether smaller pictures are enlarged to it.
    """

    results = 1
    """Pictures that come of one frame."""
    pixel_shape = 1.0
    """Width of a pixel, as it is stored, over its height; pictures come out with square ones."""

    def __init__(self, resize_size: int | None = None, *, enlarge: bool = True):
        self._resize_size = resize_size
        self._enlarge = enlarge
        self._size: tuple[int, int] | None = None
        self._turn: Turn = (False, False, False)
        self._scaler = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        """Convert one frame.

        Returns:
            ``(H, W, 3)`` uint8, of any strides: whoever puts several together copies them.
        """
        if self._size is None:
            self._begin(frame)
        width, height = self._size or self.target(frame.width, frame.height)
        same = (frame.width, frame.height) == self._size
        rgb = self._scaler.reformat(
            frame,
            width=width,
            height=height,
            # FFmpeg converts fastest to packed pixels, but scales fastest to planes: by 2.
            format="rgb24" if same else "gbrp",
            # Takes the mean over a wider area when shrinking, so it does not alias.
            interpolation=Interpolation.BILINEAR,
            **scaler_options(frame),
        )
        return turned(rgb.to_ndarray(), self._turn)

    def _begin(self, frame: VideoFrame) -> None:
        self._size = self.target(frame.width, frame.height)
        self._turn = _turn(frame)

    def target(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that pictures stored with this size get, before they are turned."""
        width = displayed_width(width, self.pixel_shape)
        return target_size(width, height, self._resize_size, self._enlarge)


_FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG


# One worker process decodes on one core, but swscale would start a thread for each.
THREADS: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


def scaler_options(frame: VideoFrame) -> dict[str, Any]:
    """Settings of the scaler for the colours of a frame."""
    if THREADS:
        return THREADS
    # Before 17, PyAV looked at the range and matrix of a frame only where asked for another range.
    full = frame.color_range == _FULL_RANGE
    return {
        "src_color_range": frame.color_range,
        "dst_color_range": 0 if full else _FULL_RANGE,
    }


def displayed_width(width: int, pixel_shape: float) -> int:
    """Pixels a line of the picture has on display, where pixels are square."""
    return max(1, round(width * pixel_shape))


def target_size(width: int, height: int, resize_size: int | None, enlarge: bool) -> tuple[int, int]:
    """Size with the short side at ``resize_size`` and the proportions kept.

    Returns:
        Width and height in pixels.
    """
    short = min(width, height)
    if resize_size is None or resize_size == short or (resize_size > short and not enlarge):
        return width, height
    scale = resize_size / short
    return max(resize_size, round(width * scale)) if width > short else resize_size, (
        max(resize_size, round(height * scale)) if height > short else resize_size
    )


# For the degrees anticlockwise of PyAV: swap axes, then mirror columns, then mirror rows.
_TURNS = {
    90: (True, False, True),
    -90: (True, True, False),
    180: (False, True, True),
    -180: (False, True, True),
}


def _turn(frame: VideoFrame) -> Turn:
    """Read how a picture is to be shown."""
    try:
        # Not `frame.side_data`, which the frame keeps: the two would refer to each other, and
        # megabytes of pictures wait for Python's collector, which counts objects. (The stubs of
        # PyAV know neither its argument nor its keys.)
        side_data = cast("Mapping[str, Buffer]", cast("Any", SideDataContainer)(frame))
        matrix = np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), dtype=np.int32)
    except (KeyError, ValueError):  # none, or side data that PyAV has no name for
        return _TURNS.get(frame.rotation, (False, False, False))
    # A point (x, y) goes to (a·x + c·y, b·x + d·y), y downwards.
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (False, a < 0, d < 0)
    return (True, c < 0, b < 0)


def turned(picture: np.ndarray, turn: Turn) -> np.ndarray:
    """Turn a picture upright.

    Args:
        picture: ``(H, W, …)``.
        turn: How.

    Returns:
        A view of it.
    """
    swap, mirror_columns, mirror_rows = turn
    if swap:
        picture = picture.swapaxes(0, 1)
    if mirror_columns:
        picture = picture[:, ::-1]
    if mirror_rows:
        picture = picture[::-1]
    return picture


_THUMBNAIL_LONG_SIDE = 160
"""Pixels."""


def jpeg(picture: np.ndarray) -> str:
    """Make a small JPEG file of a picture.

    Args:
        picture: ``(H, W, 3)`` uint8 RGB.

    Returns:
        Base64 of the file, about 3 kB before that.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, _THUMBNAIL_LONG_SIDE / max(height, width))
    # The encoder halves the colours across and down, so sides are even.
    size = [max(2, round(side * scale / 2) * 2) for side in (width, height)]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame = frame.reformat(width=size[0], height=size[1], format="yuvj420p")
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = size[0], size[1], "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": "6", "qmax": "6", "threads": "1"}
    frame.pts = 0
    data = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    return base64.b64encode(data).decode("ascii")

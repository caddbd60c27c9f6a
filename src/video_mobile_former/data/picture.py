"""From a decoded frame to RGB pixels: colour, size and the way up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import av
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter


class Converter:
    """Converts frames of one video to RGB of one size, upright.

    Colour range and matrix are those the frame names, else FFmpeg's defaults (limited range,
    BT.601). High dynamic range is not tone-mapped. The first frame fixes size and rotation; frames
    of another size later in the stream are scaled to it.

    Args:
        resize_size: Short side of the result in pixels, None to leave the size as it is.
        enlarge: Whether smaller pictures are enlarged to it.
        exact: Whether pictures up to half as large again are made smaller; to leave them as they
            are takes a tenth of the time.
    """

    def __init__(self, resize_size: int | None = None, *, enlarge: bool = True, exact: bool = True):
        self._resize_size = resize_size
        self._enlarge = enlarge
        self._exact = exact
        self._size: tuple[int, int] | None = None
        self._turn: tuple[bool, bool, bool] = (False, False, False)
        self._scaler = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        """Convert one frame.

        Returns:
            ``(H, W, 3)`` uint8, of any strides: whoever puts several together copies them.
        """
        if self._size is None:
            self._size = self.target(frame.width, frame.height)
            self._turn = _turn(frame)
        width, height = self._size
        same = (frame.width, frame.height) == self._size
        rgb = self._scaler.reformat(
            frame,
            width=width,
            height=height,
            # FFmpeg converts fastest to packed pixels, but scales fastest to planes: by 2.
            format="rgb24" if same else "gbrp",
            # Takes the mean over a wider area when shrinking, so it does not alias.
            interpolation=Interpolation.BILINEAR,
            **_scaler_options(frame),
        )
        return _turned(rgb.to_ndarray(), self._turn)

    def target(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that pictures of this size get."""
        wanted = self._resize_size
        if wanted is not None and not self._exact and min(width, height) <= _LEFT_UP_TO * wanted:
            wanted = max(wanted, min(width, height)) if self._enlarge else None
        return target_size(width, height, wanted, self._enlarge)


_LEFT_UP_TO = 1.5
"""Times the wanted size that pictures may have and still be left as they are."""
_FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG


def _scaler_options(frame: VideoFrame) -> dict[str, Any]:
    if int(av.__version__.split(".")[0]) >= 17:
        # One worker process decodes on one core, but swscale would start a thread for each.
        return {"threads": 1}
    # Before, PyAV looked at the range and matrix of a frame only where asked for another range.
    full = frame.color_range == _FULL_RANGE
    return {
        "src_color_range": frame.color_range,
        "dst_color_range": 0 if full else _FULL_RANGE,
    }


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


def _turn(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Read how a picture is to be shown: (swap axes, then mirror columns, then mirror rows)."""
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


def _turned(picture: np.ndarray, turn: tuple[bool, bool, bool]) -> np.ndarray:
    swap, mirror_columns, mirror_rows = turn
    if swap:
        picture = picture.transpose(1, 0, 2)
    if mirror_columns:
        picture = picture[:, ::-1]
    if mirror_rows:
        picture = picture[::-1]
    return picture

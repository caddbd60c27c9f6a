"""Small clips that play inside a page: animated WebP, of few frames."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np

from ...errors import VideoError
from ...page import Preview
from .backend import Reading
from .picture import jpeg
from .reader import VideoReader

MOST_PICTURES = 20
"""Pictures of a small clip: with sides of 96 × 128 pixels some 10 to 30 kB."""
LONGEST_SECONDS = 4.0
"""A longer clip is played faster."""
SHORT_SIDE = 96
"""Pixels."""
_A_SECOND, _FEWEST = 8, 8
_LONGEST_SIDE = 200
"""Pixels; a wider picture is made smaller."""
_QUALITY = 45
_TICKS = 1000


def moving_places(num_frames: int, seconds: float) -> np.ndarray:
    """The frames of a small clip, evenly over the whole one.

    Args:
        num_frames: Of the whole clip, at least 1.
        seconds: Its length.

    Returns:
        ``(N,)`` int64 positions, rising, each once; N is at most :data:`MOST_PICTURES`.
    """
    wanted = int(np.clip(round(seconds * _A_SECOND), _FEWEST, MOST_PICTURES))
    count = min(num_frames, wanted)
    return ((np.arange(count) + 0.5) * num_frames / count).astype(np.int64)


def moving_webp(pictures: Sequence[np.ndarray], seconds: float) -> str:
    """Make an animated WebP file that repeats for ever.

    Args:
        pictures: ``(H, W, 3)`` uint8 RGB, of any sizes; all get that of the first.
        seconds: Length of what they show; at most :data:`LONGEST_SECONDS` are taken for it.

    Returns:
        Base64 of the file; empty for fewer than two pictures.
    """
    if len(pictures) < 2:
        return ""
    height, width = _even_sides(pictures[0])
    shown = min(max(seconds, 0.1), LONGEST_SECONDS)
    step = max(20, round(_TICKS * shown / len(pictures)))
    out = io.BytesIO()
    with av.open(out, "w", format="webp", options={"loop": "0"}) as container:
        stream: Any = container.add_stream("libwebp_anim", rate=Fraction(_TICKS, step))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        stream.options = {"quality": str(_QUALITY), "compression_level": "2"}
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(width=width, height=height, format="yuv420p")
            frame.pts, frame.time_base = number * step, Fraction(1, _TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return base64.b64encode(out.getvalue()).decode("ascii")


def preview_of(pictures: Sequence[np.ndarray], seconds: float) -> Preview:
    """A small clip of pictures ``(H, W, 3)`` uint8 RGB, at least one; see :func:`moving_webp`."""
    return Preview(jpeg(pictures[len(pictures) // 2]), moving_webp(pictures, seconds))


def read_preview(
    path: str,
    *,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    offset: int | None = None,
    size: int | None = None,
    reading: Reading | None = None,
) -> Preview:
    """Read a small clip of a video, or of a part of it.

    Args:
        path: The file, a folder of pictures, or a URL.
        start_seconds: Start of the part; None is the start of the file.
        end_seconds: End of the part; None is the end of the file.
        offset: First byte of the video inside the file.
        size: Bytes of the video inside the file.
        reading: Backend, and the frame rate of folders.

    Raises:
        VideoError: If it cannot be read, or the part holds no frame.
    """
    with VideoReader(path, offset=offset, size=size, reading=reading) as reader:
        times = reader.timestamps(start_seconds, end_seconds)
        if not len(times):
            raise VideoError(path, "the part of it holds no frame")
        step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        seconds = float(times[-1] - times[0]) + step
        chosen = times[moving_places(len(times), seconds)]
        frames = reader.frames(chosen, SHORT_SIDE, enlarge=False)
    return preview_of([*frames.permute(0, 2, 3, 1).contiguous().numpy()], seconds)


def _even_sides(picture: np.ndarray) -> tuple[int, int]:
    """Height and width; colours are halved across and down, so both are even."""
    height, width = picture.shape[:2]
    scale = min(1.0, _LONGEST_SIDE / max(height, width))
    return max(2, round(height * scale / 2) * 2), max(2, round(width * scale / 2) * 2)

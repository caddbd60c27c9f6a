"""Small video files for tests: every frame carries its number, readable after compression."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.video.stream
import numpy as np

BITS = 10

AV_MAJOR = int(av.__version__.split(".")[0])
CAN_WRITE_ROTATION = hasattr(av.video.stream.VideoStream, "set_display_rotation")
NO_ROTATION = "this PyAV cannot write how a picture is turned"


def numbered_frame(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """``(H, W, 3)`` uint8: a sliding pattern; the number in two rows of light and dark cells."""
    x = np.arange(width)[None, :] + 3 * number
    y = np.arange(height)[:, None] + number
    picture = np.stack([(x + 0 * y) % 256, (2 * y + 0 * x) % 256, (x + y) % 256], axis=-1).astype(
        np.uint8
    )
    cell_width, cell_height = width // (BITS // 2), height // 4
    for bit in range(BITS):
        row, column = divmod(bit, BITS // 2)
        value = 230 if number >> bit & 1 else 20
        picture[
            row * cell_height : (row + 1) * cell_height,
            column * cell_width : (column + 1) * cell_width,
        ] = value
    return picture


def read_number(picture: np.ndarray) -> int:
    """Read the number back from ``(H, W, 3)`` uint8 pixels of any size."""
    height, width = picture.shape[:2]
    number = 0
    for bit in range(BITS):
        row, column = divmod(bit, BITS // 2)
        y, x = int((row + 0.5) * height / 4), int((column + 0.5) * width / (BITS // 2))
        number |= int(picture[y, x].mean() > 128) << bit
    return number


def write_video(
    path: Path,
    frames: int | Sequence[np.ndarray] = 30,
    *,
    fps: int = 30,
    codec: str = "libx264",
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    rotation: float = 0.0,
    hflip: bool = False,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    color: dict[str, Any] | None = None,
) -> Path:
    """Encode pictures (or that many numbered ones) to a file.

    Args:
        path: The file; its ending decides the container.
        frames: ``(H, W, 3)`` uint8 pictures, or how many numbered frames.
        fps: Frames per second.
        codec: FFmpeg's encoder.
        pts: When each frame appears, in ``time_base``; evenly spaced where None.
        time_base: Seconds per tick; 1 / fps where None.
        pix_fmt: Pixel format of the encoder.
        gop: Frames from key frame to key frame.
        rotation: Degrees anticlockwise that a player is to turn the picture.
        hflip: Whether a player is to mirror it.
        options: Of the encoder.
        container_options: Of the file format.
        color: Attributes of the codec context, for example ``{"colorspace": 1}``.

    Returns:
        ``path``.
    """
    pictures = [numbered_frame(i) for i in range(frames)] if isinstance(frames, int) else frames
    path.parent.mkdir(parents=True, exist_ok=True)
    base = time_base or Fraction(1, fps)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.time_base = base
        stream.codec_context.time_base = base
        stream.codec_context.gop_size = gop
        stream.options = {"threads": "1", **(options or {})}
        for name, value in (color or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation or hflip:
            stream.set_display_rotation(rotation, hflip=hflip)
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = pts[i] if pts is not None else i
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path

"""Writing pictures that we draw as a video that every browser and phone plays."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from ...errors import UserError
from ...files import atomic_path, check_file
from ...text import printable

_TICKS = 90_000
_MADE_BY = "made by vmf"
"""In the file, so that no video of somebody else is replaced."""


def check_video_file(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuse to write where a video could not be written, or would replace one that is not ours.

    Raises:
        UserError: If the name does not end in ``.mp4``, the system refuses to write, or there is a
            file that this program did not write.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise UserError(f"{path}: a video is written as .mp4; name a file that ends so")
    check_file(path)
    if path.exists() and not overwrite and not _is_ours(path):
        raise UserError(
            f"{path} is there and was not written by vmf: name another place, or --overwrite "
            "replaces it"
        )


def write_video(
    path: str | Path,
    pictures: Iterable[np.ndarray],
    times: Iterable[float],
    *,
    seconds_of_last: float = 0.0,
) -> None:
    """Write H.264, yuv420p, MP4 with its index in front; all or nothing.

    Args:
        path: The file, ``.mp4``.
        pictures: ``(H, W, 3)`` uint8 RGB with even sides, all of one size.
        times: When each appears, in rising seconds; the first is written as 0.
        seconds_of_last: How long the last picture stays.

    Raises:
        UserError: If the system refuses to write.
    """
    with atomic_path(path) as temporary:
        try:
            _encode(temporary, pictures, times, seconds_of_last)
        except av.error.FFmpegError as error:
            reason = error.strerror or str(error)
            raise UserError(f"cannot write {printable(str(path))}: {reason}") from error


def _encode(
    path: Path, pictures: Iterable[np.ndarray], times: Iterable[float], seconds_of_last: float
) -> None:
    with av.open(str(path), "w", container_options={"movflags": "+faststart"}) as container:
        container.metadata["comment"] = _MADE_BY
        stream: Any = container.add_stream("libx264", rate=Fraction(_TICKS, 3000))
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS)
        # Without B-frames a file ends when its last picture does.
        stream.codec_context.max_b_frames = 0
        stream.options = {"preset": "veryfast", "crf": "18", "threads": "1"}
        first, last, frame = 0.0, -1, None
        for number, (picture, seconds) in enumerate(zip(pictures, times, strict=True)):
            if number == 0:
                first = seconds
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            last = max(last + 1, round((seconds - first) * _TICKS))
            frame.pts, frame.time_base = last, Fraction(1, _TICKS)
            container.mux(stream.encode(frame))
        if frame is not None and round(seconds_of_last * _TICKS) > 1:
            # Players leave the last picture at once; so it comes twice.
            frame.pts = last + round(seconds_of_last * _TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _is_ours(path: Path) -> bool:
    try:
        with av.open(str(path)) as container:
            return container.metadata.get("comment") == _MADE_BY
    except (av.error.FFmpegError, OSError):
        return False

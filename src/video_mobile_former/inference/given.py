"""From in-memory sources (bytes, files, containers, frames) to the clips a model takes."""

from __future__ import annotations

import os
from typing import BinaryIO, NamedTuple

import av.error
import numpy as np
import torch
from av.container import InputContainer
from torch import Tensor

from ..clip_spec import ClipSpec
from ..data.loading.sampling import is_short, views
from ..data.transforms import EvalTransform
from ..data.video.backend import Reading
from ..data.video.media import READ_ERRORS
from ..data.video.picture import Converter
from ..data.video.reader import VideoReader
from ..errors import UserError, VideoError

Source = str | os.PathLike[str] | bytes | BinaryIO | InputContainer | np.ndarray | Tensor
"""A path, the bytes of a file, an open file, a PyAV container, or frames."""

_MOST_FRAMES = 2048
"""Frames of a container kept at once, about 400 MB at 224 pixels."""

_NO_NAME = "the given video"
"""Name of a video without a path in messages."""


class FileViews(NamedTuple):
    """The views of a video file."""

    clips: Tensor
    """``(V, 3, T, S, S)`` uint8, view by view."""
    padded: bool
    """The video is shorter than one clip."""
    duration_seconds: float
    """From the first frame to the end of the last one, by the packets."""


def views_of_file(
    reader: VideoReader,
    clip: ClipSpec,
    *,
    num_views: int,
    num_crops: int,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> FileViews:
    """The views of an open file or of a part of it, as evaluation samples them.

    Args:
        reader: The file.
        clip: What the model takes.
        num_views: Clips in time.
        num_crops: Crops of each.
        start_seconds: Start of the part; None is the start of the file.
        end_seconds: End of the part, itself excluded; None is the end of the file.

    Raises:
        VideoError: If it cannot be read, or the part holds no frame.
    """
    transform = EvalTransform(clip, num_crops)
    times = reader.timestamps(start_seconds, end_seconds)
    if not len(times):
        raise VideoError(reader.path, f"no frames from {start_seconds or 0:g} s on in that part")
    ranks = np.concatenate(views(times, clip, num_views))
    whole = reader.frames(times[ranks], transform.decode_size, enlarge=transform.enlarge)
    crops = [transform(part.cpu()) for part in whole.split(clip.num_frames)]
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return FileViews(
        torch.cat(crops).transpose(1, 2),
        is_short(times, clip),
        float(times[-1] - times[0]) + step,
    )


def views_of(
    source: Source,
    clip: ClipSpec,
    *,
    num_views: int,
    num_crops: int,
    frame_rate: float | None,
    reading: Reading,
) -> tuple[Tensor, bool]:
    """The views of a video, as evaluation samples them.

    Args:
        source: See :data:`Source`.
        clip: What the model takes.
        num_views: Clips in time.
        num_crops: Crops of each.
        frame_rate: Frames per second of an array or tensor; None means the rate in which
            ``clip.stride`` is counted.
        reading: How bytes are decoded.

    Returns:
        ``(V, 3, T, S, S)`` uint8, and whether the video is shorter than one clip.

    Raises:
        VideoError: If it cannot be read.
        UserError: If the source is none of these.
    """
    if not isinstance(source, (np.ndarray, Tensor, InputContainer)):
        named = isinstance(source, (str, os.PathLike))
        path = os.fspath(source) if named else _NO_NAME
        content = None if named else _content(source)
        with VideoReader(path, content=content, reading=reading) as reader:
            return views_of_file(reader, clip, num_views=num_views, num_crops=num_crops)[:2]
    transform = EvalTransform(clip, num_crops)
    if isinstance(source, InputContainer):
        times, frames = _decoded(source, Converter(transform.decode_size))
    else:
        frames = _as_frames(source)
        times = np.arange(len(frames)) / (frame_rate or clip.stride_fps)
    parts = [frames[torch.from_numpy(ranks)] for ranks in views(times, clip, num_views)]
    crops = torch.cat([transform(part.cpu()) for part in parts])
    return crops.transpose(1, 2), is_short(times, clip)


def _as_frames(source: np.ndarray | Tensor) -> Tensor:
    """Frames as ``(T, 3, H, W)`` uint8."""
    wanted = "(T, 3, H, W)" if isinstance(source, Tensor) else "(T, H, W, 3)"
    frames = source if isinstance(source, Tensor) else torch.from_numpy(_plain(source))
    if frames.dtype != torch.uint8 or frames.dim() != 4 or source.shape[_CHANNELS[wanted]] != 3:
        raise UserError(
            f"a clip must be uint8 RGB of shape {wanted}, "
            f"not {str(source.dtype).removeprefix('torch.')} {tuple(source.shape)}"
        )
    if frames.numel() == 0:
        raise UserError(f"a clip must hold at least one picture, not {tuple(source.shape)}")
    return frames if isinstance(source, Tensor) else frames.permute(0, 3, 1, 2)


_CHANNELS = {"(T, 3, H, W)": 1, "(T, H, W, 3)": 3}


def _plain(source: np.ndarray) -> np.ndarray:
    """An array that torch can share: numeric, without negative strides."""
    if source.dtype.kind not in "buif":
        raise UserError(f"a clip must be an array of uint8, not of {source.dtype}")
    return np.ascontiguousarray(source)


def _content(source: bytes | BinaryIO) -> bytes:
    """The bytes of a video."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    read = getattr(source, "read", None)
    content = read() if callable(read) else None
    if not isinstance(content, bytes):
        kind = "a file opened as text" if isinstance(content, str) else type(source).__name__
        raise UserError(
            "a video must be a path, bytes, a file opened in binary mode, a PyAV container, or "
            f"uint8 frames as a tensor or array, not {kind}"
        )
    return content


def _decoded(container: InputContainer, convert: Converter) -> tuple[np.ndarray, Tensor]:
    """Times (N,) in seconds and frames ``(N, 3, H, W)`` of the rest of a container.

    Whenever there are more than :data:`_MOST_FRAMES`, every second one is kept, so that the memory
    for a long recording is bounded.
    """
    if not container.streams.video:
        raise VideoError(_NO_NAME, "no video stream in the container")
    times: list[float] = []
    frames: list[np.ndarray] = []
    step = 1
    try:
        for number, frame in enumerate(container.decode(video=0)):
            if number % step == 0:
                times.append(float(number) if frame.time is None else frame.time)
                frames.append(np.ascontiguousarray(convert(frame)))
            if len(frames) > _MOST_FRAMES:
                del times[1::2], frames[1::2]
                step *= 2
    except READ_ERRORS as error:
        if not frames and not isinstance(error, av.error.EOFError):
            raise VideoError(_NO_NAME, f"cannot be decoded: {error}") from error
    if not frames:
        raise VideoError(_NO_NAME, "no frames are left in the container")
    order = np.argsort(times, kind="stable")
    stacked = torch.from_numpy(np.stack([frames[i] for i in order]))
    return np.array(times)[order], stacked.permute(0, 3, 1, 2)

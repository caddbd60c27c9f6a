"""What worker processes do: from the bytes of a caller to frames, within limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import av
import numpy as np
import torch

from ..clip_spec import ClipSpec
from ..data.limits import Limits, check_pixels, limited
from ..data.loading.sampling import is_short, views
from ..data.transforms import EvalTransform
from ..data.video.from_begin import frames_from_begin
from ..data.video.media import READ_ERRORS
from ..data.video.picture import Converter
from ..data.video.reader import VideoReader
from ..errors import VideoError
from ..inference.stream import FrameChooser, Slot
from .workers import Part

_TOGETHER = 8
"""Slots in one part: a fraction of a clip, so that the model need not wait for more."""
_LONGEST_SHAPE = 20
"""Long side of a picture over its short one, which is scaled to a fixed size."""


@dataclass(frozen=True)
class Bounds:
    """What a video may be."""

    seconds: float
    """From its first frame to its last."""
    frames: int
    pixels: int
    """Of one picture."""
    memory_mb: float
    read_seconds: float
    """Time that reading may take."""

    @property
    def limits(self) -> Limits:
        """For the block that reads."""
        return Limits(seconds=self.read_seconds, memory_mb=self.memory_mb, pixels=self.pixels)


def read_clips(path: str, clip: ClipSpec, num_views: int, bounds: Bounds) -> Iterator[Part]:
    """The views of a video, as ``vmf predict`` samples them.

    Yields:
        One part: ``duration_seconds`` and ``padded``; ``(V, 3, T, S, S)``.

    Raises:
        VideoError: If it cannot be read or is more than the bounds allow.
    """
    transform = EvalTransform(clip)
    with limited(path, bounds.limits), VideoReader(path) as reader:
        times = reader.timestamps()
        duration = _checked(path, times, bounds)
        ranks = np.concatenate(views(times, clip, num_views))
        whole = reader.frames(times[ranks], transform.decode_size, enlarge=transform.enlarge)
        clips = torch.cat([transform(part) for part in whole.split(clip.num_frames)])
    facts = {"duration_seconds": duration, "padded": bool(is_short(times, clip))}
    yield Part(facts, (clips.transpose(1, 2).contiguous().numpy(),))


def read_slots(
    path: str, clip: ClipSpec, frame_seconds: float, gap_seconds: float, bounds: Bounds
) -> Iterator[Part]:
    """All frames of a video that a model sees in windows, as ``vmf find`` chooses them.

    Yields:
        ``duration_seconds`` first; then ``seconds`` and ``restart`` of some slots each, and their
        frames ``(N, S, S, 3)``.

    Raises:
        VideoError: As :func:`read_clips`.
    """
    choose = FrameChooser(clip, frame_seconds, gap_seconds)
    with limited(path, bounds.limits):
        with VideoReader(path) as reader:
            duration = _checked(path, reader.timestamps(), bounds)
        yield Part({"duration_seconds": duration})
        waiting: list[Slot] = []
        for number, (seconds, picture) in enumerate(frames_from_begin(path)):
            if number >= bounds.frames:
                raise VideoError(path, f"it has more than {bounds.frames} frames")
            waiting += choose(seconds, picture)
            while len(waiting) >= _TOGETHER:
                yield _part(waiting[:_TOGETHER])
                waiting = waiting[_TOGETHER:]
        if waiting:
            yield _part(waiting)


def read_picture(content: bytes, short_side: int, most_pixels: int) -> Iterator[Part]:
    """A JPEG picture as the frame of a stream.

    Yields:
        ``(H, W, 3)`` RGB with its short side at ``short_side``.

    Raises:
        VideoError: If it is none, damaged or too large.
    """
    limits = Limits(seconds=5.0, memory_mb=512.0, pixels=most_pixels)
    with limited("", limits):
        if not content.startswith(b"\xff\xd8\xff"):
            raise VideoError("", "not a JPEG picture")
        check_pixels(*_jpeg_size(content))
        codec: Any = av.CodecContext.create("mjpeg", "r")
        codec.thread_count = 1
        codec.options = {"err_detect": "explode", "max_pixels": str(most_pixels)}
        try:
            frames = [*codec.decode(av.Packet(content)), *codec.decode(None)]
        except READ_ERRORS as error:
            raise VideoError("", "the picture is damaged or cut off") from error
        if len(frames) != 1 or frames[0].is_corrupt:
            raise VideoError("", "the picture is damaged or cut off")
        check_shape(frames[0].width, frames[0].height)
        found = Converter(short_side)(frames[0])
    yield Part({}, (np.ascontiguousarray(found),))


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Width and height that the head of a JPEG picture announces; 0, 0 where it does not."""
    at = 2
    while at + 9 < len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # the head of a frame
            height = int.from_bytes(content[at + 5 : at + 7], "big")
            return int.from_bytes(content[at + 7 : at + 9], "big"), height
        at += 2 + length
    return 0, 0


def check_shape(width: int, height: int) -> None:
    """Refuse a picture so narrow that scaling its short side would make it huge.

    Raises:
        VideoError: If it is.
    """
    if max(width, height) > _LONGEST_SHAPE * min(width, height):
        raise VideoError("", f"pictures of {width}×{height} are too narrow")


def slots_of(part: Part) -> list[Slot]:
    """The slots in a part of :func:`read_slots`."""
    frames = part.arrays[0]
    seconds = cast("list[float]", part.facts["seconds"])
    restart = cast("list[bool]", part.facts["restart"])
    # Copies: a slot that is kept would keep the others of its part.
    return [
        Slot(float(time), frame.copy(), bool(begins))
        for time, frame, begins in zip(seconds, frames, restart, strict=True)
    ]


def _part(slots: list[Slot]) -> Part:
    facts = {
        "seconds": [float(slot.seconds) for slot in slots],
        "restart": [bool(slot.restart) for slot in slots],
    }
    return Part(facts, (np.stack([slot.frame for slot in slots]),))


def _checked(path: str, times: np.ndarray, bounds: Bounds) -> float:
    """Seconds of a video that the bounds allow."""
    if not len(times):
        raise VideoError(path, "there are no frames in it")
    duration = float(times[-1] - times[0])
    if len(times) > bounds.frames:
        raise VideoError(path, f"it has {len(times)} frames; at most {bounds.frames} are read")
    if duration > bounds.seconds:
        text = f"it lasts {duration:.0f} s; at most {bounds.seconds:g} s are read"
        raise VideoError(path, text)
    return duration

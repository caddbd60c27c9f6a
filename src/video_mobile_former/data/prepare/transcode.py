"""One clip as a small H.264 file made for random access, read back and compared.

What speeds up the reading of a few frames: short groups of pictures (a frame needs at most the
handful before it), no B-frames (time stamps in the order of decoding), x264's ``fastdecode`` (no
arithmetic coding, no deblocking: a third fewer cycles a frame), and the size that training uses.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from ...errors import VideoError
from ..video.reader import VideoReader
from .settings import PrepareSettings

_ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
_CHUNK_BYTES = 64 << 20
"""Decoded pictures kept at once."""
_CHUNK_FRAMES = 256
_CLOCKS = (90_000, 24_000, 30_000, 60_000, 12_800, 15_360, 16_000, 1_000_000)
"""Time bases of an output, in ticks per second; the first that fits all time stamps is taken."""
_LOWEST_PSNR = 18.0
"""Mean dB below which the pictures read back are not those that went in."""


@dataclass(frozen=True)
class Prepared:
    """Facts of the file, measured on the file itself."""

    frames: int
    seconds: float
    """From the first frame to the last one."""
    width: int
    height: int
    bytes: int
    gop: int
    """Longest distance between two key frames, in frames."""
    psnr: float
    """Mean over the frames, in dB, against what went in; 99 where nothing was lost."""
    begin_seconds: float = 0.0
    """Where its first frame appears in the source."""


def transcode(
    source: Callable[[], VideoReader],
    target: Path,
    settings: PrepareSettings,
    *,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    alive: Callable[[], None] = lambda: None,
) -> Prepared:
    """Write the frames of a video, or of a part, to an MP4 file whose clock begins at 0.

    Pictures are those that :class:`VideoReader` gives: upright, RGB by the colour range and matrix
    that the file names; high dynamic range is not tone-mapped. An odd last row or column is cut
    off. Time stamps keep their distances, even or not. Sound is dropped.

    Args:
        source: Opens the video.
        target: The file to write, ``.mp4``.
        settings: Size, quality, key frames.
        start_seconds: Start of the part; the first frame at or after it is the first taken.
        end_seconds: End of the part, itself excluded.
        alive: Called whenever some frames are done.

    Returns:
        What the file holds, from reading it back.

    Raises:
        VideoError: If the source cannot be read, or the result is not what went in.
        OSError: If the system refuses to write.
    """
    with source() as reader:
        times = reader.timestamps(start_seconds, end_seconds)
        if not len(times):
            raise VideoError(reader.path, "no frames between its start and end times")
        times = _thinned(times, settings.max_fps)
        chunks = _chunks(reader, times, settings.short_side, alive)
        samples = _encode(chunks, times - times[0], target, settings)
    try:
        found = _read_back(target, times - times[0], samples, settings, alive)
    except VideoError as error:
        raise VideoError(str(target), f"the result is not sound: {error.reason}") from error
    return dataclasses.replace(found, begin_seconds=float(times[0]))


def _chunks(
    reader: VideoReader, times: np.ndarray, short_side: int, alive: Callable[[], None]
) -> Iterator[np.ndarray]:
    """Yield the frames at ``times`` as runs of ``(n, H, W, 3)`` uint8 with even sides."""
    begin, step = 0, 1  # the size is known from the first frame
    while begin < len(times):
        frames = reader.frames(times[begin : begin + step], short_side, enlarge=False)
        pictures = frames.permute(0, 2, 3, 1).numpy()
        yield pictures[:, : _even(pictures.shape[1]), : _even(pictures.shape[2])]
        alive()
        begin += step
        step = min(_CHUNK_FRAMES, max(1, _CHUNK_BYTES // pictures[0].size))


def _even(side: int) -> int:
    return max(2, side // 2 * 2)


def _encode(
    chunks: Iterator[np.ndarray], times: np.ndarray, target: Path, settings: PrepareSettings
) -> list[np.ndarray]:
    """Write the pictures; return every frame's sample of pixels to compare with."""
    clock = _clock(times)
    pts = np.round(times * clock).astype(np.int64)
    # Two frames within one tick: keep their order.
    pts = np.maximum.accumulate(pts - np.arange(len(pts))) + np.arange(len(pts))
    samples: list[np.ndarray] = []
    with av.open(str(target), "w", options={"movflags": "+faststart"}) as container:
        stream: Any = container.add_stream(
            "libx264",
            rate=Fraction(_rate(times)).limit_denominator(1001),
            options={
                "preset": settings.preset,
                "tune": "fastdecode",
                "crf": f"{settings.crf:g}",
                "x264-params": "open-gop=0",
            },
        )
        context = stream.codec_context
        stream.pix_fmt = "yuv420p"
        stream.time_base = context.time_base = Fraction(1, clock)
        context.gop_size, context.max_b_frames, context.thread_count = settings.gop, 0, 1
        # Say which colours are meant: players guess differently.
        context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG
        scaler = VideoReformatter()
        for pictures in chunks:
            for picture in pictures:
                if not samples:
                    stream.height, stream.width = picture.shape[:2]
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame = scaler.reformat(
                    frame,
                    format="yuv420p",
                    dst_colorspace=Colorspace.ITU601,
                    dst_color_range=ColorRange.MPEG,
                    interpolation=Interpolation.AREA,  # the mean of four pixels is their colour
                    **_ONE_THREAD,
                )
                frame.pts, frame.time_base = int(pts[len(samples)]), Fraction(1, clock)
                samples.append(_sample(picture))
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return samples


def _read_back(
    target: Path,
    times: np.ndarray,
    samples: list[np.ndarray],
    settings: PrepareSettings,
    alive: Callable[[], None],
) -> Prepared:
    longest = _longest_gop(target)
    if longest > settings.gop:
        raise VideoError(str(target), f"{longest} frames from key frame to key frame")
    with VideoReader(target) as reader:
        found = reader.timestamps()
        if len(found) != len(times):
            raise VideoError(str(target), f"{len(found)} frames instead of {len(times)}")
        off = float(np.abs(found - times).max())
        if off > 1e-4:
            raise VideoError(str(target), f"a time stamp is off by {off:.4f} s")
        errors: list[float] = []
        shape = (0, 0)
        for pictures in _chunks(reader, found, 1 << 30, alive):
            shape = pictures.shape[1:3]
            for picture in pictures:
                wanted, got = samples[len(errors)], _sample(picture)
                if wanted.shape != got.shape:
                    raise VideoError(str(target), f"pictures of {shape[1]}×{shape[0]} pixels")
                errors.append(_psnr(wanted, got))
    mean = float(np.mean(errors))
    if mean < _LOWEST_PSNR and settings.crf <= 40:
        raise VideoError(str(target), f"other pictures than went in: PSNR {mean:.1f} dB")
    return Prepared(
        frames=len(found),
        seconds=round(float(found[-1]), 6),
        width=shape[1],
        height=shape[0],
        bytes=target.stat().st_size,
        gop=longest,
        psnr=round(mean, 2),
    )


def _longest_gop(path: Path) -> int:
    """Frames from key frame to key frame at most.

    Raises:
        VideoError: If there are B-frames, or the first frame is no key frame.
    """
    keys: list[int] = []
    count = 0
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size == 0:
                continue
            if packet.pts != packet.dts:
                raise VideoError(str(path), "B-frames in it")
            if packet.is_keyframe:
                keys.append(count)
            count += 1
    if not keys or keys[0] != 0:
        raise VideoError(str(path), "it does not begin with a key frame")
    return int(np.diff([*keys, count]).max())


def _sample(picture: np.ndarray) -> np.ndarray:
    """Every eighth pixel each way: enough to judge a frame by, little enough to keep."""
    return picture[4::8, 4::8].astype(np.int16)


def _psnr(wanted: np.ndarray, got: np.ndarray) -> float:
    if not wanted.size:  # a picture of fewer than five pixels
        return 99.0
    error = float(((wanted - got).astype(np.float32) ** 2).mean())
    return min(99.0, 10 * math.log10(255**2 / error)) if error else 99.0


def _clock(times: np.ndarray) -> int:
    for clock in _CLOCKS:
        ticks = times * clock
        # Seconds in float64 are good to nanoseconds for hours.
        if np.abs(ticks - np.round(ticks)).max() < clock * 1e-9:
            return clock
    return _CLOCKS[0]


def _rate(times: np.ndarray) -> float:
    """Frames a second, which the encoder takes as a hint."""
    return float(np.clip(1 / np.median(np.diff(times)), 1, 240)) if len(times) > 1 else 25.0


def _thinned(times: np.ndarray, max_fps: float | None) -> np.ndarray:
    """Leave the first frame of each 1 / ``max_fps`` seconds."""
    if max_fps is None:
        return times
    # The tolerance keeps a frame on the bound in the slot that begins there.
    slots = np.floor((times - times[0]) * max_fps + 1e-3)
    return times[np.concatenate([[True], np.diff(slots) > 0])]

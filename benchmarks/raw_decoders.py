"""Bare loops that only decode: what the loader is measured against.

Each takes a file and the positions of the frames wanted, gives the frames and does nothing else, on
one thread. They are given what the loader has to find out: time stamps and key frames.
"""

from __future__ import annotations

import bisect
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

Decoder = Callable[["Video", list[int]], Any]


@dataclass(frozen=True)
class Video:
    """A file and what a bare loop is given."""

    path: Path
    pts: tuple[int, ...]
    """Of all frames, sorted."""
    keys: tuple[int, ...]
    """Of the key frames."""

    @classmethod
    def of(cls, path: Path) -> Video:
        with av.open(str(path)) as container:
            packets = [p for p in container.demux(video=0) if p.size]
        keys = sorted(p.pts for p in packets if p.is_keyframe and p.pts is not None)
        return cls(path, tuple(sorted(p.pts for p in packets if p.pts is not None)), tuple(keys))


def pyav(video: Video, positions: list[int]) -> list[av.VideoFrame]:
    """Frames in the file's own colour format: not even converted to RGB."""
    frames = []
    with av.open(str(video.path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        at, decoded = None, iter(())
        for pts in [video.pts[i] for i in positions]:
            key = video.keys[bisect.bisect_right(video.keys, pts) - 1]
            if at is None or key > at:
                container.seek(key, stream=stream)
                decoded = container.decode(stream)
            if at == pts:
                frames.append(frames[-1])
                continue
            for frame in decoded:
                at = frame.pts
                if at == pts:
                    frames.append(frame)
                    break
    return frames


def pyav_rgb(video: Video, positions: list[int]) -> list[Any]:
    """The same, converted to RGB."""
    return [frame.to_ndarray(format="rgb24") for frame in pyav(video, positions)]


def torchcodec(video: Video, positions: list[int]) -> Any:
    """RGB; the file is not scanned for time stamps."""
    decoders = importlib.import_module("torchcodec.decoders")
    decoder = decoders.VideoDecoder(str(video.path), num_ffmpeg_threads=1, seek_mode="approximate")
    return decoder.get_frames_at(positions).data


def decord(video: Video, positions: list[int]) -> Any:
    """RGB."""
    reader = importlib.import_module("decord").VideoReader(str(video.path), num_threads=1)
    return reader.get_batch(positions).asnumpy()


def available() -> dict[str, Decoder]:
    """The bare loops whose library is installed and loads."""
    found: dict[str, Decoder] = {"pyav": pyav, "pyav_rgb": pyav_rgb}
    for name, module, decode in (
        ("torchcodec", "torchcodec.decoders", torchcodec),
        ("decord2", "decord", decord),
    ):
        try:
            importlib.import_module(module)
        except (ImportError, RuntimeError, OSError):
            continue
        found[name] = decode
    return found


COMPARED = ("pyav", "torchcodec", "decord2")
"""Of these the fastest is the bar; pyav_rgb is for information."""

"""Reading one file from end to end for its facts; runs in a worker process."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import io
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...errors import VideoError
from ..byte_ranges import is_url
from ..limits import Limits, check_memory, limited
from ..video.endings import is_complete
from ..video.media import (
    READ_ERRORS,
    Media,
    open_bytes,
    open_video,
    picture_memory,
    pixel_shape,
    read_media,
    time_base,
    time_origin,
)
from ..video.packets import DAMAGED_SHARE, PacketTable, is_end, read_table
from ..video.picture import Converter, jpeg
from ..video.pyav_backend import FrameExtractor
from . import content
from .facts import FileFacts, FileTask
from .inspect_folder import inspect_folder
from .pictures import (
    SHORT_SIDE,
    Pictures,
    UnusableFile,
    pictured,
    places_to_keep,
    seen_through,
    shown,
)
from .sniff import is_video, missing_bytes, not_a_video

_PQ, _HLG, _BT2020 = 16, 18, 9
"""Numbers of ITU-T H.273 for transfer characteristics and colour primaries."""
_IRREGULAR = 0.2
"""Deviation, as a share of the usual step, from which a step is irregular."""
_TICK_SECONDS = 0.5
"""Time between two heartbeats."""


def inspect_file(task: FileTask, alive: Callable[[], None]) -> FileFacts:
    """Read a file and return its facts.

    Args:
        task: Which file, and how thoroughly.
        alive: Called about twice a second while the work makes progress.

    Returns:
        The facts. An unreadable file is a fact too and raises nothing.
    """
    facts = FileFacts(key=task.key, full=task.full, sniffed=task.sniff)
    try:
        # The time limit counts from the last heartbeat: a film of three hours is fine.
        with limited(task.key.path, Limits(seconds=math.inf, memory_mb=task.memory_limit_mb)):
            if task.sniff:
                return _sniffed(task, facts)
            return _inspect(task, facts, _Ticker(alive))
    except UnusableFile as fault:
        known = fault.facts or facts
        return dataclasses.replace(known, fault=fault.kind, reason=fault.reason)
    except VideoError as error:
        return dataclasses.replace(facts, fault="too large", reason=error.reason)


class _Ticker:
    """Passes on heartbeats at a limited rate."""

    def __init__(self, alive: Callable[[], None]):
        self._alive, self._last = alive, time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last >= _TICK_SECONDS:
            self._alive()
            self._last = now


def _sniffed(task: FileTask, facts: FileFacts) -> FileFacts:
    """Whether a file that is ignored because of its name is a video."""
    try:
        with Path(task.key.path).open("rb") as file:
            return facts if is_video(file) else dataclasses.replace(facts, fault="not a video")
    except OSError:
        return dataclasses.replace(facts, fault="cannot be read")


def _inspect(task: FileTask, facts: FileFacts, alive: Callable[[], None]) -> FileFacts:
    media, digest = _fetch(task, alive)
    facts = dataclasses.replace(facts, sha256=digest)
    if media.content is None and Path(media.path).is_dir():
        return inspect_folder(task, facts, alive)
    if task.key.size == 0 or media.content == b"":
        raise UnusableFile("empty file", "the file is empty", facts)
    try:
        container, stream = open_video(media)
    except VideoError as error:
        with _opened(media) as file:
            raise UnusableFile(*not_a_video(file, error.reason), facts) from error
    with container:
        facts = _describe(container, stream, facts)
        check_memory(*picture_memory(stream))
        if container.format.name.endswith("_pipe"):
            # FFmpeg opens a single picture as a video of one frame.
            what = container.format.name.removesuffix("_pipe").upper()
            raise UnusableFile("not a video", f"not a video but a {what} picture", facts)
        try:
            table = read_table(media, container, stream)
        except VideoError as error:
            # How much of it is there matters for repairing it.
            facts = pictured(facts, _watch(media, set(), alive))
            promised = facts.decoded or facts.header_frames
            kind = "truncated" if promised else "unreadable"
            raise UnusableFile(kind, error.reason, facts) from error
        facts = _timed(container, stream, table, facts)
    with _opened(media) as file:
        if missing := missing_bytes(file):
            reason = f"the file is cut off: {missing} bytes are missing at its end"
            raise UnusableFile("truncated", reason, facts)
    if task.full:
        return _decoded(media, task, facts, alive)
    return _glanced(media, task, table, facts)


def _fetch(task: FileTask, alive: Callable[[], None]) -> tuple[Media, str]:
    """The video's source, and the digest of its bytes."""
    path = task.key.path
    try:
        if is_url(path) or task.in_archive:
            size = task.key.size if task.in_archive else None
            offset = task.key.offset if task.in_archive else None
            media = read_media(path, offset, size)
            return media, hashlib.sha256(media.content or b"").hexdigest()
        return Media(path), content.sha256_of_file(path, alive)
    except FileNotFoundError as error:
        raise UnusableFile("missing", "no such file") from error
    except PermissionError as error:
        raise UnusableFile("no permission", "no permission to read it") from error
    except (OSError, ValueError) as error:  # a null character in the name; VideoError is one, too
        reason = error.reason if isinstance(error, VideoError) else None
        reason = reason or getattr(error, "strerror", None) or str(error)
        raise UnusableFile("cannot be read", reason) from error


def _opened(media: Media) -> BinaryIO:
    return Path(media.path).open("rb") if media.content is None else io.BytesIO(media.content)


# Headers and packets ----------------------------------------------------------------------


def _describe(container: InputContainer, stream: VideoStream, facts: FileFacts) -> FileFacts:
    context = stream.codec_context
    length = float(stream.duration * time_base(stream)) if stream.duration else 0.0
    if not length and container.duration:
        length = container.duration / av.time_base
    pixels = VideoFormat(context.pix_fmt).components if context.pix_fmt else ()
    return dataclasses.replace(
        facts,
        container=container.format.name,
        codec=context.name,
        pixel_format=context.pix_fmt or "",
        bits=max((component.bits for component in pixels), default=0),
        transfer={_PQ: "PQ", _HLG: "HLG"}.get(int(context.color_trc or 0), ""),
        wide_gamut=context.color_primaries == _BT2020,
        width=context.width,
        height=context.height,
        pixel_shape=pixel_shape(stream),
        header_frames=stream.frames,
        header_seconds=length,
    )


def _timed(
    container: InputContainer, stream: VideoStream, table: PacketTable, facts: FileFacts
) -> FileFacts:
    base = float(time_base(stream))
    times = (table.pts - time_origin(container, stream)) * base
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 0.0
    # Millisecond clocks cannot distinguish 33 from 33.3.
    tolerance = max(_IRREGULAR * usual, 1.5 * base)
    return dataclasses.replace(
        facts,
        frames=len(times),
        clock="; ".join(table.notes),
        first_seconds=float(times[0]),
        duration_seconds=float(times[-1] - times[0]) + usual,
        step_seconds=usual,
        longest_step_seconds=float(steps.max()) if len(steps) else 0.0,
        irregular_steps=int((np.abs(steps - usual) > tolerance).sum()),
    )


# Frames -----------------------------------------------------------------------------------


def _decoded(
    media: Media, task: FileTask, facts: FileFacts, alive: Callable[[], None]
) -> FileFacts:
    """Decode every frame."""
    seconds = facts.duration_seconds if task.moving else None
    seen = _watch(media, places_to_keep(facts.frames, seconds), alive)
    facts = pictured(facts, seen)
    if not seen.decoded:
        raise UnusableFile("unreadable", "none of its frames decode", facts)
    facts = shown(facts, task, seen)
    if seen.failed:
        of = max(facts.header_frames, facts.frames)
        reason = f"damaged: only the first {facts.decoded} of {of} frames decode"
        raise UnusableFile("truncated", reason, facts)
    if seen.unreadable > DAMAGED_SHARE * facts.frames:
        reason = f"damaged: {seen.unreadable} of {seen.packets} packets cannot be decoded"
        raise UnusableFile("truncated", reason, facts)
    # MP4 and MOV may skip frames on purpose, by an edit list; others state where they end.
    whole = facts.container.startswith("mov") or is_complete(open_bytes(media), facts.container)
    if facts.header_frames > seen.packets and not whole:
        reason = f"its header says {facts.header_frames} frames, {seen.packets} are there"
        raise UnusableFile("truncated", reason, facts)
    return seen_through(facts, seen)


def _glanced(media: Media, task: FileTask, table: PacketTable, facts: FileFacts) -> FileFacts:
    """Decode only the first frame and one to show."""
    seen = Pictures()
    for frame in _frames(media, seen, lambda: None):
        seen.add(frame)
        break
    facts = pictured(facts, seen)
    if not seen.decoded:
        raise UnusableFile("unreadable", "its first frame does not decode", facts)
    if not task.thumbnail:
        return facts
    middle = np.array([facts.frames // 2])
    with contextlib.closing(FrameExtractor(media)) as source:
        try:
            picture = source.pictures(middle, table, Converter(SHORT_SIDE, enlarge=False))[0]
        except VideoError as error:
            raise UnusableFile("truncated", error.reason, facts) from error
    return dataclasses.replace(facts, thumbnail=jpeg(picture))


def _watch(media: Media, wanted: set[int], alive: Callable[[], None]) -> Pictures:
    seen = Pictures()
    convert = Converter(SHORT_SIDE, enlarge=False)
    for frame in _frames(media, seen, alive):
        if seen.decoded in wanted:
            seen.kept[seen.decoded] = convert(frame)
        seen.add(frame)
    return seen


def _frames(media: Media, seen: Pictures, alive: Callable[[], None]) -> Iterator[VideoFrame]:
    container, stream = open_video(media)
    try:
        with container:
            for packet in container.demux(stream):
                if not is_end(packet):
                    seen.packets += 1
                alive()
                if not packet.size and not is_end(packet):
                    continue
                try:
                    frames = packet.decode()
                except READ_ERRORS as error:
                    if getattr(error, "errno", None) == errno.ENOMEM:
                        raise
                    seen.unreadable += 1
                else:
                    yield from frames
    except READ_ERRORS as error:
        if getattr(error, "errno", None) == errno.ENOMEM:
            raise MemoryError from error
        seen.failed = True

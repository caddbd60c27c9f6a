"""When the frames of a file appear, read from its packets without decoding."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from ...errors import VideoError
from ..limits import check_memory, check_time
from .media import READ_ERRORS, Media, open_video, picture_memory, time_base

_END_TOLERANCE_SECONDS = 1.0
"""How much earlier than its header says a whole file may end; durations are written carelessly."""


@dataclass(frozen=True)
class PacketTable:
    """Time stamps of the frames of a file or of a part of it, in ticks of the stream."""

    pts: np.ndarray
    """``(N,)`` int64, sorted: when each frame appears."""
    keys: np.ndarray
    """``(K,)`` int64, sorted: those of them at which decoding can begin."""
    in_order: bool
    """The packets cannot be told apart by time, so frames are known only by their rank in the
    order in which the decoder gives them."""
    whole: bool
    """Covers the whole file."""


def is_end(packet: Packet[VideoStream]) -> bool:
    """Tell the empty packet that PyAV gives at the end from empty ones in the file."""
    return packet.size == 0 and packet.pts is None and packet.dts is None


def read_table(media: Media, container: InputContainer, stream: VideoStream) -> PacketTable:
    """Read the time stamps of a whole file that has just been opened.

    The file position is at the end afterwards.

    Raises:
        VideoError: If the file ends in the middle of what it promises, or holds no frame.
    """
    pts: list[int | None] = []
    keys: list[int] = []
    partial = False
    begin: int | None = None
    headless = False
    try:
        for packet in container.demux(stream):
            check_time()
            if not is_end(packet):
                partial = packet.is_corrupt
            if packet.size and begin is None:
                # The first key frame, though it may lie before the cut of an edit list.
                begin, headless = packet.pts, not packet.is_keyframe
            # A discarded packet is decoded for the sake of later ones, but never shown (it lies
            # before the cut of an edit list).
            if packet.size == 0 or packet.is_discard:
                continue
            pts.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
    except READ_ERRORS as error:
        raise VideoError(media.path, _cut_off(len(pts), stream)) from error
    if _is_cut_off(media, container, stream, partial, pts):
        raise VideoError(media.path, _cut_off(len(pts) - partial, stream))
    known = np.array([value for value in pts if value is not None], dtype=np.int64)
    distinct = np.unique(known)
    if not len(pts):
        raise VideoError(media.path, "its video stream holds no frames")
    # AVI stores no time stamps: FFmpeg guesses them from the order of the packets, and the guess
    # is wrong where frames are stored in another order than shown.
    guessed = container.format.name == "avi"
    complete = len(distinct) == len(pts)
    # Cut out of a longer stream: what refers to pictures before the cut cannot be decoded, and
    # which these are only the decoder knows.
    headless = headless or begin is None or bool(distinct[0] < begin)
    if complete and len(keys) and not headless:
        return PacketTable(distinct, np.unique(np.array(keys, dtype=np.int64)), guessed, whole=True)
    return _table_by_decoding(media)


def read_part(
    container: InputContainer, stream: VideoStream, start: int | None, end: int | None
) -> PacketTable | None:
    """Read the time stamps between two instants, jumping to the key frame before the first.

    Args:
        container: An open file.
        stream: Its pictures.
        start: First tick wanted; None from the begin of the file.
        end: First tick no longer wanted; None to the end of the file.

    Returns:
        A table that covers the part (and some frames around it), or None where the file cannot be
        read in part.
    """
    if container.format.name == "avi":
        return None
    pts: list[int] = []
    keys: list[int] = []
    try:
        if start is not None:
            container.seek(start, stream=stream)
        for packet in container.demux(stream):
            check_time()
            if packet.size == 0 or packet.is_discard:
                continue
            if packet.pts is None:
                return None
            if start is not None and not pts and not (packet.is_keyframe and packet.pts <= start):
                return None
            # Frames are decoded before they are shown: nothing shown before `end` follows.
            if end is not None and packet.dts is not None and packet.dts >= end:
                break
            pts.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
    except READ_ERRORS:
        return None
    distinct = np.unique(np.array(pts, dtype=np.int64))
    if not len(pts) or len(distinct) < len(pts) or not keys:
        return None
    return PacketTable(distinct, np.unique(np.array(keys, dtype=np.int64)), False, whole=False)


def _table_by_decoding(media: Media) -> PacketTable:
    """Decode everything once to see how many frames come out and when."""
    times: list[int | None] = []
    container, stream = open_video(media)
    base, rate = time_base(stream), stream.average_rate
    try:
        with container:
            for frame in container.decode(stream):
                check_time()
                times.append(frame.pts if frame.pts is not None else frame.dts)
    except READ_ERRORS as error:
        check_memory(*picture_memory(stream))
        raise VideoError(
            media.path, f"damaged: {len(times)} frames decode, then no more"
        ) from error
    if not times:
        raise VideoError(media.path, "none of its frames decode")
    known = [value for value in times if value is not None]
    if len(set(known)) == len(times):
        pts = np.sort(np.array(known, dtype=np.int64))
    else:
        # No usable time stamps at all: the nominal frame rate is all there is.
        step = float(1 / (rate * base)) if rate else 1.0
        pts = np.round(np.arange(len(times)) * step).astype(np.int64)
    return PacketTable(pts, pts[:1], in_order=True, whole=True)


def _is_cut_off(
    media: Media,
    container: InputContainer,
    stream: VideoStream,
    partial: bool,
    pts: list[int | None],
) -> bool:
    """Tell whether a file that was read to its end ends too early; FFmpeg raises no error then."""
    name = container.format.name
    # In transport streams the mark means a lost packet anywhere, not a short read at the end.
    if partial and name != "mpegts":
        return True
    entries = getattr(stream, "index_entries", None)  # from PyAV 17 on
    if entries and entries[len(entries) - 1].pos + entries[len(entries) - 1].size > container.size:
        return True
    if not name.startswith(("matroska", "flv")) or not container.duration:
        return False
    # These have no complete index, but their header says when the last stream ends.
    promised = container.duration / av.time_base - _END_TOLERANCE_SECONDS
    last = max((value for value in pts if value is not None), default=0)
    if last * time_base(stream) > promised:
        return False
    try:
        with open_video(media)[0] as again:
            # Sound may go on after the pictures.
            for packet in again.demux():
                check_time()
                if packet.pts is None:
                    continue
                if (packet.pts + (packet.duration or 0)) * packet.time_base >= promised:
                    return False
            return True
    except READ_ERRORS:
        return True


def _cut_off(present: int, stream: VideoStream) -> str:
    of = f"{present} of {stream.frames}" if stream.frames > present else f"{present}"
    return f"the file is cut off or damaged: {of} frames are there"

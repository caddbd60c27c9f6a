"""When the frames of a file appear, read from its packets without decoding."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from ...errors import VideoError
from ..limits import check_memory, check_time
from .clock import jumps, mended
from .endings import is_complete
from .media import READ_ERRORS, Media, open_bytes, open_video, picture_memory, time_base

_END_TOLERANCE_SECONDS = 1.0
"""How much earlier than its header says a whole file may end; durations are written carelessly."""
_TS_DISCONT = 0x0200
"""FFmpeg's flag of formats whose clock may start anew on the way."""
STEPS_BACK_SECONDS = (0.0, 1.0, 4.0, 16.0, 64.0)
"""How far before the place wanted a jump is tried, where nearer ones land behind it."""

DAMAGED_SHARE = 0.1
"""Share of unreadable packets with which a file is still read."""

Order = Literal["time", "packets", "frames"]


@dataclass(frozen=True)
class PacketTable:
    """Time stamps of the frames of a file or of a part of it, in ticks of the stream."""

    pts: np.ndarray
    """``(N,)`` sorted: when each frame appears; int64, or float64 where times were made up."""
    keys: np.ndarray
    """``(K,)`` int64, sorted: those of them at which decoding can begin; of use by time only."""
    order: Order
    """How a decoded frame is known: by its time; by its packet, counted in the order in which they
    are stored; or by its own rank in the order in which the decoder gives frames."""
    whole: bool
    """Covers the whole file."""
    notes: tuple[str, ...] = ()
    """What is odd about the time stamps of the file, a phrase each."""


def is_end(packet: Packet[VideoStream]) -> bool:
    """Tell the empty packet that PyAV gives at the end from empty ones in the file."""
    return packet.size == 0 and packet.pts is None and packet.dts is None


def is_shown(packet: Packet[VideoStream]) -> bool:
    """Whether a packet has a row in the table.

    A discarded one is decoded for the sake of later ones, but never shown (it lies before the cut
    of an edit list).
    """
    return bool(packet.size) and not packet.is_discard


class Unreadable:
    """Counts the packets that a decoder refuses, and gives up when they are too many.

    Args:
        path: The file, for messages.
        stream: Whose pictures are decoded.
        allowed: Share of the packets that may be unreadable.
    """

    def __init__(self, path: str, stream: VideoStream, allowed: float = DAMAGED_SHARE):
        self._path, self._stream, self._allowed = path, stream, allowed
        self._seen: set[tuple[int | None, ...]] = set()

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, packet: Packet[VideoStream], of: int, what: str = "packets") -> None:
        """Count a packet once, however often it is read.

        Args:
            packet: Which the decoder refused.
            of: Packets of the file, or of the part that is read.
            what: What these are, for the message.

        Raises:
            VideoError: If they are too many, or it was memory that was refused.
        """
        check_memory(*picture_memory(self._stream))
        self._seen.add((packet.pts, packet.dts, packet.pos))
        if len(self) > self._allowed * of:
            raise VideoError(
                self._path,
                f"damaged: of {of} {what} more than {self._allowed:.0%} cannot be decoded",
            )


@dataclass
class _Packets:
    """What is read of all packets of a file, in the order in which they are stored."""

    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    shown: list[bool] = field(default_factory=list)
    last_is_cut: bool = False
    headless: bool = False
    """Pictures refer to others that were cut away."""

    def shown_pts(self) -> list[int | None]:
        return [value for value, shown in zip(self.pts, self.shown, strict=True) if shown]


def read_table(
    media: Media,
    container: InputContainer,
    stream: VideoStream,
    *,
    damaged_share: float = DAMAGED_SHARE,
    partial: bool = False,
) -> PacketTable:
    """Read the time stamps of a whole file that has just been opened.

    The file position is at the end afterwards.

    Args:
        media: The file.
        container: It, open.
        stream: Its pictures.
        damaged_share: Share of its packets that may be unreadable.
        partial: Use the readable part of a file that is cut off.

    Raises:
        VideoError: If the file ends in the middle of what it promises, or holds no frame.
    """
    packets = _Packets()
    notes: list[str] = []
    broken = _read_packets(container, stream, packets)
    times = packets.shown_pts()
    if broken or _is_cut_off(media, container, stream, packets, notes):
        present = len(times) - (packets.last_is_cut and not broken)
        if not partial or present < 1:
            raise VideoError(media.path, _cut_off(present, stream)) from broken
        notes.append(_cut_off(present, stream))
    if not times:
        raise VideoError(media.path, "its video stream holds no frames")
    distinct = np.unique(np.array([value for value in times if value is not None], dtype=np.int64))
    offsets = _jumps(container, stream, packets)
    if offsets is None and len(distinct) == len(times) and packets.keys and not packets.headless:
        keys = np.unique(np.array(packets.keys, dtype=np.int64))
        order: Order = "time"
        # AVI stores no time stamps: FFmpeg guesses them from the order of the packets, and the
        # guess is wrong where frames are stored in another order than shown.
        if container.format.name == "avi":
            order = "packets"
        elif _is_reordered(media, container, stream, packets):
            order = "packets"
            notes.append("frames are stored in another order than their time stamps say")
        return PacketTable(distinct, keys, order, whole=True, notes=tuple(notes))
    return _table_by_decoding(media, packets, offsets, notes, damaged_share)


def _read_packets(
    container: InputContainer, stream: VideoStream, packets: _Packets
) -> Exception | None:
    """Read what the packets say; the error that ended it, if one did."""
    begin: int | None = None
    try:
        for packet in container.demux(stream):
            check_time()
            if not packet.size:
                if not is_end(packet):
                    packets.last_is_cut = packet.is_corrupt
                continue
            packets.last_is_cut = packet.is_corrupt
            pts, is_key, shown = packet.pts, packet.is_keyframe, not packet.is_discard
            if not packets.pts:
                # The first key frame, though it may lie before the cut of an edit list.
                begin, packets.headless = pts, not is_key
            packets.pts.append(pts)
            packets.dts.append(packet.dts)
            packets.shown.append(shown)
            if shown and is_key and pts is not None:
                packets.keys.append(pts)
    except READ_ERRORS as error:
        return error
    # Cut out of a longer stream: what refers to pictures before the cut cannot be decoded, and
    # which these are only the decoder knows.
    first = min((value for value in packets.shown_pts() if value is not None), default=0)
    packets.headless = packets.headless or begin is None or first < begin
    return None


def _jumps(container: InputContainer, stream: VideoStream, packets: _Packets) -> np.ndarray | None:
    """What to add to the time stamps of each packet, where the clock starts anew on the way."""
    if not container.format.flags & _TS_DISCONT or None in packets.dts:
        return None
    offsets = jumps(np.array(packets.dts, dtype=np.int64), float(time_base(stream)))
    return offsets if offsets.any() else None


def _may_be_reordered(container: InputContainer, stream: VideoStream, pts: list[int]) -> bool:
    """Whether times rise in the order of storage though the decoder may give another one.

    MPEG streams always say when a picture is shown.
    """
    stores_only_order = not container.format.flags & _TS_DISCONT
    return stores_only_order and stream.codec_context.has_b_frames and pts == sorted(pts)


def _is_reordered(
    media: Media, container: InputContainer, stream: VideoStream, packets: _Packets
) -> bool:
    """Whether the decoder gives pictures in another order than their time stamps.

    That is so where a file knows only when packets are decoded (MP4 and FLV without composition
    offsets), and B-frames are in it.
    """
    times = [value for value in packets.pts if value is not None]
    if not stream.codec_context.has_b_frames or times != sorted(times):
        return False
    last: int | None = None
    container, stream = open_video(media)
    with container:
        for packet in container.demux(stream):
            check_time()
            try:
                frames = packet.decode() if packet.size or is_end(packet) else []
            except READ_ERRORS:
                continue
            for frame in frames:
                if frame.pts is not None and last is not None and frame.pts < last:
                    return True
                last = frame.pts if last is None else max(last, frame.pts or last)
    return False


def read_part(
    container: InputContainer, stream: VideoStream, start: int | None, end: int | None
) -> PacketTable | None:
    """Read the time stamps between two instants, jumping to the key frame before the first.

    Args:
        container: An open file.
        stream: Its pictures.
        start: First tick wanted; None from the start of the file.
        end: First tick no longer wanted; None to the end of the file.

    Returns:
        A table that covers the part (and some frames around it), or None where the file cannot be
        read in part.
    """
    if container.format.name == "avi":
        return None
    if start is None:
        found = _read_on(container, stream, start, end)
        return found if isinstance(found, PacketTable) else None
    if container.format.flags & _TS_DISCONT and not _clock_runs_on(container, stream):
        return None
    for back in STEPS_BACK_SECONDS:
        try:
            container.seek(start - round(back / time_base(stream)), stream=stream)
        except READ_ERRORS:
            return None
        found = _read_on(container, stream, start, end)
        if isinstance(found, PacketTable):
            return found
        if found == "useless":
            return None
    return None


def _read_on(
    container: InputContainer, stream: VideoStream, start: int | None, end: int | None
) -> PacketTable | Literal["behind", "useless"]:
    """Read from the last key frame at or before ``start`` on, seen from where the file stands."""
    pts: list[int] = []
    dts: list[int] = []
    keys: list[int] = []
    try:
        for packet in container.demux(stream):
            check_time()
            if not is_shown(packet):
                continue
            if packet.pts is None:
                return "useless"
            if start is not None and packet.is_keyframe and packet.pts <= start:
                pts, dts, keys = [], [], []  # nearer than the one before
            elif start is not None and not pts:
                if packet.is_keyframe:
                    return "behind"
                continue  # it refers to what lies before
            # Frames are decoded before they are shown: nothing shown before `end` follows.
            if end is not None and packet.dts is not None and packet.dts >= end:
                break
            pts.append(packet.pts)
            dts.append(packet.pts if packet.dts is None else packet.dts)
            if packet.is_keyframe:
                keys.append(packet.pts)
    except READ_ERRORS:
        return "useless"
    distinct = np.unique(np.array(pts, dtype=np.int64))
    runs_on = not (np.diff(dts) < 0).any()
    if not len(pts) or len(distinct) < len(pts) or not keys or not runs_on:
        return "useless"
    # Where only decoding has times, order is known by decoding from the start.
    if len(pts) > 2 and _may_be_reordered(container, stream, pts):
        return "useless"
    return PacketTable(distinct, np.unique(np.array(keys, dtype=np.int64)), "time", whole=False)


_SAMPLES = 8


def _clock_runs_on(container: InputContainer, stream: VideoStream) -> bool:
    """Look at the clock at some places of a file: joined recordings are read as a whole."""
    last = -math.inf
    try:
        for i in range(_SAMPLES):
            container.seek(container.size * i // _SAMPLES, unsupported_byte_offset=True)
            packets = (p.dts for p in container.demux(stream) if p.dts is not None)
            dts = next(packets, None)
            if dts is None or dts < last:
                return False
            last = dts
    except READ_ERRORS:
        return False
    return True


def _table_by_decoding(
    media: Media,
    packets: _Packets,
    offsets: np.ndarray | None,
    notes: list[str],
    damaged_share: float,
) -> PacketTable:
    """Decode everything once to see how many frames come out and when."""
    pts: list[int | None] = []
    dts: list[int | None] = []
    container, stream = open_video(media)
    base, rate = time_base(stream), stream.average_rate
    unreadable = Unreadable(media.path, stream, damaged_share)
    shift = iter([] if offsets is None else offsets.tolist())
    with container:
        for packet in _until_broken(container, stream):
            check_time()
            offset = next(shift, 0) if packet.size else 0
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
            try:
                for frame in packet.decode() if packet.size or is_end(packet) else ():
                    pts.append(frame.pts)
                    dts.append(frame.dts)
            except READ_ERRORS:
                unreadable.note(packet, len(packets.pts))
    if not pts:
        raise VideoError(media.path, "none of its frames decode")
    times, made_up = mended(pts, dts, float(1 / (rate * base)) if rate else None)
    if offsets is not None:
        changes = int((np.diff(offsets) != 0).sum())
        notes.append(f"its clock starts anew {changes} times on the way")
    if made_up:
        notes.append(f"{made_up} of {len(pts)} time stamps are missing, double or out of order")
    return PacketTable(times, times[:1], "frames", whole=True, notes=tuple(notes))


def _until_broken(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """The packets up to the end, or to where the container is broken."""
    with contextlib.suppress(*READ_ERRORS):
        yield from container.demux(stream)


def _is_cut_off(
    media: Media,
    container: InputContainer,
    stream: VideoStream,
    packets: _Packets,
    notes: list[str],
) -> bool:
    """Tell whether a file that was read to its end ends too early; FFmpeg raises no error then."""
    name = container.format.name
    # In transport streams the mark means a lost packet anywhere, not a short read at the end.
    if packets.last_is_cut and name != "mpegts":
        return True
    entries = getattr(stream, "index_entries", None)  # from PyAV 17 on
    if entries and entries[len(entries) - 1].pos + entries[len(entries) - 1].size > container.size:
        return True
    if not name.startswith(("matroska", "flv")) or not container.duration:
        return False
    # These have no complete index, but their header says when the last stream ends.
    promised = container.duration / av.time_base - _END_TOLERANCE_SECONDS
    last = max((value for value in packets.shown_pts() if value is not None), default=0)
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
    except READ_ERRORS:
        return True
    if not is_complete(open_bytes(media), name):
        return True
    length, end = container.duration / av.time_base, float(last * time_base(stream))
    notes.append(f"its header says {length:.1f} s, its last frame is at {end:.1f} s")
    return False


def _cut_off(present: int, stream: VideoStream) -> str:
    of = f"{present} of {stream.frames}" if stream.frames > present else f"{present}"
    return f"the file is cut off or damaged: {of} frames are there"

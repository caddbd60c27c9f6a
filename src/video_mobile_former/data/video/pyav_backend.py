"""Getting chosen frames out of a video stream, decoding as little as possible."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Sequence

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...errors import VideoError
from ..limits import check_memory, check_time
from .media import (
    READ_ERRORS,
    Media,
    open_video,
    picture_memory,
    pixel_shape,
    time_base,
    time_origin,
)
from .packets import (
    DAMAGED_SHARE,
    STEPS_BACK_SECONDS,
    PacketTable,
    Unreadable,
    is_end,
    is_shown,
    read_part,
    read_table,
)
from .picture import Converter

_LOG = logging.getLogger(__name__)
_LATE_BY_MANY = ("h264", "hevc", "vvc")
"""Decoders that hold back as many pictures as the file makes them; others hold back one or none."""
_FAR_SECONDS = 10.0
"""A part that begins or ends further than this from the ends of a file is read alone."""


class FrameExtractor:
    """A video file open in PyAV; see :class:`~.backend.FrameSource`.

    Args:
        media: The file or its bytes.
        damaged_share: Share of its packets that may be unreadable.
        partial: Use the readable part of a file that is cut off.

    Raises:
        VideoError: If it cannot be opened.
    """

    def __init__(
        self, media: Media, *, damaged_share: float = DAMAGED_SHARE, partial: bool = False
    ):
        self.media = media
        self.container, self.stream = open_video(media)
        self._damaged_share, self._partial = damaged_share, partial
        self.unreadable = Unreadable(media.path, self.stream, damaged_share)
        self.base = time_base(self.stream)
        self.origin = time_origin(self.container, self.stream)
        self._used = False
        self._interlaced = False
        self._packets, self._packets_of = 1, ""

    def close(self) -> None:
        """Release the file."""
        self.container.close()

    def rewind(self) -> None:
        """Go to the start; not every file can be sought to it, so it is opened again."""
        if self._used:
            self.container.close()
            self.container, self.stream = open_video(self.media)
        self._used = True

    @property
    def codec(self) -> str:
        """FFmpeg's name of the decoder."""
        return self.stream.codec_context.name

    def read_table(self, start: int | None = None, end: int | None = None) -> PacketTable:
        """Read the time stamps from tick ``start`` to ``end``, and more where that is cheap.

        Raises:
            VideoError: If the file is cut off or broken.
        """
        far = round(_FAR_SECONDS / self.base)
        length = round((self.container.duration or 0) / av.time_base / self.base)
        begin = start if start is not None and start > self.origin + far else None
        stop = end if end is not None and end < self.origin + length - far else None
        if begin is not None or stop is not None:
            self.rewind()
            part = read_part(self.container, self.stream, begin, stop)
            if part is not None:
                return part
        self.rewind()
        return read_table(
            self.media,
            self.container,
            self.stream,
            damaged_share=self._damaged_share,
            partial=self._partial,
        )

    def pictures(self, ranks: np.ndarray, table: PacketTable, convert: Converter) -> np.ndarray:
        """Decode the frames at these positions in the table, sorted and distinct."""
        convert.pixel_shape = pixel_shape(self.stream)
        self._check_memory(len(ranks), convert)
        known = len(self.unreadable)
        if table.order == "time":
            found = self.by_time(table.pts[ranks], table, convert)
        else:
            found = self.in_order(ranks, table, convert)
        if len(self.unreadable) > known:
            _warn(self.media.path, len(self.unreadable))
        return np.stack(found)

    def _check_memory(self, count: int, convert: Converter) -> None:
        """Refuse early what cannot fit: the pictures as decoded, and twice the result, stacked."""
        decoded, what = picture_memory(self.stream)
        if not decoded:
            return  # it announces no size
        context = self.stream.codec_context
        width, height = convert.target(context.width, context.height)
        result = 2 * count * convert.results * 3 * width * height
        check_memory(decoded + result, f"{count} frames of {width}×{height} from {what}")

    def by_time(
        self, wanted: np.ndarray, table: PacketTable, convert: Converter
    ) -> list[np.ndarray]:
        """Decode the frames with these time stamps.

        Args:
            wanted: ``(N,)`` ticks out of ``table.pts``, sorted, distinct.
            table: Time stamps and key frames of the file or of a part that holds all of them.
            convert: Makes pixels of a frame.

        Returns:
            N pictures ``(H, W, 3)`` uint8.

        Raises:
            VideoError: If one of them cannot be decoded; says how many can.
        """
        self._used = True
        self._packets, self._packets_of = len(table.pts), "" if table.whole else " of this part"
        found: dict[int, np.ndarray] = {}
        keys = np.searchsorted(table.keys, wanted, side="right") - 1
        for key in np.unique(keys):
            pts = {int(value) for value in wanted[keys == key]}
            if key >= 0:
                found |= self._run(pts, int(table.keys[key]), convert)
        missing = {int(value) for value in wanted} - found.keys()
        if missing:
            found |= self._from_begin(missing, table, convert)
        return [found[int(value)] for value in wanted]

    def in_order(
        self, wanted: np.ndarray, table: PacketTable, convert: Converter
    ) -> list[np.ndarray]:
        """Decode frames by their rank in the order of the file or of the decoder.

        Args:
            wanted: ``(N,)`` ranks, sorted, distinct.
            table: Of the whole file.
            convert: Makes pixels of a frame.

        Returns:
            N pictures ``(H, W, 3)`` uint8; at a rank without a frame that of the one before.

        Raises:
            VideoError: If too much cannot be decoded.
        """
        found: list[np.ndarray] = []
        last: VideoFrame | None = None
        for rank, frame in self._ranked(table):
            while len(found) < len(wanted) and wanted[len(found)] < rank:
                found.append(convert(last or frame))
            last = frame
            if len(found) < len(wanted) and wanted[len(found)] == rank:
                found.append(convert(frame))
            if len(found) == len(wanted):
                return found
        if last is None:
            raise VideoError(self.media.path, "none of its frames decode")
        return found + [convert(last)] * (len(wanted) - len(found))

    def _ranked(self, table: PacketTable) -> Iterator[tuple[int, VideoFrame]]:
        """All frames with their ranks in a table that does not go by time."""
        rank = fed = -1
        for packet, frames in self._decoded(table):
            fed += is_shown(packet) or is_end(packet)
            context = self.stream.codec_context
            for frame in frames:
                rank += 1
                # Packets may give no picture. Where the decoder is late by a known number of
                # pictures, that tells which packet a picture belongs to.
                if table.order == "packets" and context.name not in _LATE_BY_MANY:
                    rank = max(rank, fed - bool(context.has_b_frames))
                yield rank, frame

    def _run(self, wanted: set[int], key: int, convert: Converter) -> dict[int, np.ndarray]:
        """Jump to the key frame at ``key`` and decode up to the last frame wanted.

        Returns:
            Those of the frames that came out sound; the caller sees to the others.
        """
        for back in STEPS_BACK_SECONDS:
            found = self._run_from(wanted, key, key - round(back / self.base), convert)
            if found is not None:
                return found
        return {}

    def _run_from(
        self, wanted: set[int], key: int, place: int, convert: Converter
    ) -> dict[int, np.ndarray] | None:
        """Jump to a place at or before the key frame; None where that lands behind it."""
        found: dict[int, np.ndarray] = {}
        waiting = set(wanted)
        at_key = False
        with contextlib.suppress(*READ_ERRORS), self._skipping() as skip:
            self.container.seek(place, stream=self.stream)
            for packet in self.container.demux(self.stream):
                check_time()
                if is_end(packet):
                    break
                # Where a jump lands amid a packet, its rest may bear the time of the whole.
                at_key = at_key or (packet.pts == key and packet.is_keyframe)
                if packet.size == 0:
                    continue
                if not at_key:
                    if packet.is_keyframe and packet.pts is not None and packet.pts > key:
                        return None
                    continue
                skip(packet.pts not in waiting and not self._interlaced)
                self._keep(self._tried(packet), wanted, convert, found)
                if packet.pts is not None:
                    waiting.discard(packet.pts)
                # A picture made of two fields may come in two packets, so there one waits for it;
                # else the decoder is flushed.
                if len(found) == len(wanted) or not (waiting or self._interlaced):
                    break
            self._keep(self.stream.decode(None), wanted, convert, found)
        return found if at_key else None

    def _keep(
        self,
        frames: list[VideoFrame],
        wanted: set[int],
        convert: Converter,
        found: dict[int, np.ndarray],
    ) -> None:
        for frame in frames:
            # The first interlaced frame may have been cut short: it is decoded once more.
            sound = not frame.is_corrupt and (self._interlaced or not frame.interlaced_frame)
            self._interlaced = self._interlaced or frame.interlaced_frame
            if frame.pts in wanted and sound:
                found[frame.pts] = convert(frame)

    @contextlib.contextmanager
    def _skipping(self) -> Iterator[Callable[[bool], None]]:
        """Give a switch that lets the decoder pass over a picture nothing else refers to."""
        context = self.stream.codec_context
        # Only H.264 says of a picture that no other refers to it at all; elsewhere it may mean
        # none of the same layer, or the decoder ignores the switch.
        able = context.name == "h264"

        def skip(unwanted: bool) -> None:
            if able:
                context.skip_frame = "NONREF" if unwanted else "DEFAULT"

        try:
            yield skip
        finally:
            skip(False)

    def _from_begin(
        self, wanted: set[int], table: PacketTable, convert: Converter
    ) -> dict[int, np.ndarray]:
        """Decode everything from the start of the table; the reference for all short cuts.

        Where the decoder gives no frame at a time that the packets promise (hidden frames of some
        codecs), the frame on display at that time stands for it, as in a player.
        """
        found: dict[int, np.ndarray] = {}
        waiting = sorted(wanted, reverse=True)
        previous: VideoFrame | None = None
        for frame in self._all_frames(table):
            if frame.pts is None:
                continue
            while waiting and frame.pts > waiting[-1]:
                found[waiting.pop()] = convert(previous or frame)
            if waiting and frame.pts == waiting[-1]:
                found[waiting.pop()] = convert(frame)
            if not waiting:
                return found
            previous = frame
        if previous is None:
            raise VideoError(self.media.path, "none of its frames decode")
        return found | {pts: convert(previous) for pts in waiting}

    def _all_frames(self, table: PacketTable) -> Iterator[VideoFrame]:
        for _, frames in self._decoded(table):
            yield from frames

    def _decoded(
        self, table: PacketTable
    ) -> Iterator[tuple[Packet[VideoStream], Sequence[VideoFrame]]]:
        """All packets from the start of the table on, and what the decoder gives at each."""
        count = 0
        self._packets, self._packets_of = len(table.pts), "" if table.whole else " of this part"
        try:
            if table.whole:
                self.rewind()
            else:
                self.container.seek(int(table.keys[0]), stream=self.stream)
            for packet in self.container.demux(self.stream):
                if packet.size == 0 and not is_end(packet):
                    continue
                check_time()
                frames = self._tried(packet)
                yield packet, frames
                count += len(frames)
        except READ_ERRORS as error:
            check_memory(*picture_memory(self.stream))
            of = f"{count} of {self._packets} frames{self._packets_of}"
            raise VideoError(self.media.path, f"damaged: {of} decode, then no more") from error

    def _tried(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        """What the decoder gives; nothing where it cannot read the packet.

        Raises:
            VideoError: If that happens too often.
        """
        try:
            return packet.decode()
        except READ_ERRORS:
            self.unreadable.note(packet, self._packets, f"frames{self._packets_of}")
            return []


@functools.lru_cache(maxsize=1000)
def _warn(path: str, count: int) -> None:
    """Print it once for a file, not at each read."""
    what = "1 packet" if count == 1 else f"{count} packets"
    _LOG.warning("%s: %s cannot be decoded; the frame before stands for it", path, what)

"""Getting chosen frames out of a video stream, decoding as little as possible."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import av
import numpy as np
from av.video.frame import VideoFrame

from ...errors import VideoError
from ..limits import check_memory, check_time
from .media import READ_ERRORS, Media, open_video, picture_memory, time_base, time_origin
from .packets import PacketTable, is_end, read_part, read_table
from .picture import Converter

_FAR_SECONDS = 10.0
"""A part that begins or ends further than this from the ends of a file is read alone."""


class FrameExtractor:
    """A video file open in PyAV; see :class:`~.backend.FrameSource`.

    Args:
        media: The file or its bytes.

    Raises:
        VideoError: If it cannot be opened.
    """

    def __init__(self, media: Media):
        self.media = media
        self.container, self.stream = open_video(media)
        self.base = time_base(self.stream)
        self.origin = time_origin(self.container, self.stream)
        self._used = False
        self._interlaced = False

    def close(self) -> None:
        """Release the file."""
        self.container.close()

    def rewind(self) -> None:
        """Stand at the begin; not every file can be sought to it, so it is opened again."""
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
        return read_table(self.media, self.container, self.stream)

    def pictures(self, ranks: np.ndarray, table: PacketTable, convert: Converter) -> np.ndarray:
        """Decode the frames at these positions in the table, sorted and distinct."""
        self._check_memory(len(ranks), convert)
        if table.in_order:
            return np.stack(self.in_order(ranks, table, convert))
        return np.stack(self.by_time(table.pts[ranks], table, convert))

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
        """Decode frames by their rank in the order of the decoder.

        Args:
            wanted: ``(N,)`` ranks, sorted, distinct.
            table: Of the whole file.
            convert: Makes pixels of a frame.

        Returns:
            N pictures ``(H, W, 3)`` uint8.

        Raises:
            VideoError: If one of them cannot be decoded; says how many can.
        """
        found: list[np.ndarray] = []
        last: VideoFrame | None = None
        for rank, last in enumerate(self._all_frames(table)):
            if rank == wanted[len(found)]:
                found.append(convert(last))
            if len(found) == len(wanted):
                return found
        if last is None:
            raise VideoError(self.media.path, "none of its frames decode")
        # The file has fewer frames than packets, without an error: its last frame is repeated.
        return found + [convert(last)] * (len(wanted) - len(found))

    def _run(self, wanted: set[int], key: int, convert: Converter) -> dict[int, np.ndarray]:
        """Jump to the key frame at ``key`` and decode up to the last frame wanted.

        Returns:
            Those of the frames that came out sound; the caller sees to the others.
        """
        found: dict[int, np.ndarray] = {}
        waiting = set(wanted)
        at_key = False
        with contextlib.suppress(*READ_ERRORS), self._skipping() as skip:
            self.container.seek(key, stream=self.stream)
            for packet in self.container.demux(self.stream):
                check_time()
                if is_end(packet):
                    break
                at_key = at_key or packet.pts == key
                if packet.size == 0:
                    continue
                if packet.pts in waiting and not at_key:
                    return {}  # landed behind the key frame
                skip(packet.pts not in waiting and not self._interlaced)
                self._keep(packet.decode(), wanted, convert, found)
                if packet.pts is not None:
                    waiting.discard(packet.pts)
                # A picture made of two fields may come in two packets, so there one waits for it;
                # else the decoder is told to hand over what it holds back.
                if len(found) == len(wanted) or not (waiting or self._interlaced):
                    break
            self._keep(self.stream.decode(None), wanted, convert, found)
        return found

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
        """Decode everything from the begin of the table; the reference for all short cuts.

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
        count = 0
        try:
            if table.whole:
                self.rewind()
            else:
                self.container.seek(int(table.keys[0]), stream=self.stream)
            for packet in self.container.demux(self.stream):
                if packet.size == 0 and not is_end(packet):
                    continue
                check_time()
                for frame in packet.decode():
                    yield frame
                    count += 1
        except READ_ERRORS as error:
            check_memory(*picture_memory(self.stream))
            of = f"{count} of {len(table.pts)} frames" + ("" if table.whole else " of this part")
            raise VideoError(self.media.path, f"damaged: {of} decode, then no more") from error

"""Reading the frames a clip needs from a video file, with PyAV.

Time stamps come from the packets, without decoding. For the frames wanted the reader jumps to the
key frame before each of them and decodes no further than needed; frames in between are neither
converted nor, where nothing refers to them, decoded. What comes out is what a decode of the whole
file gives; where a jump does not land as expected the file is decoded from its begin instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import torch

from .extract import FrameExtractor
from .limits import check_memory
from .opening import picture_memory, read_media, time_base, time_origin
from .packets import PacketTable, read_part, read_table
from .picture import Converter, target_size

_FAR_SECONDS = 10.0
"""A part that begins or ends further than this from the ends of a file is read alone."""


@dataclass(frozen=True)
class VideoInfo:
    """What a file holds, as it is shown: after rotation."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    num_frames: int
    """Frames of the whole file."""
    duration_seconds: float
    """From the first frame to the end of the last one."""
    frame_rate: float
    """Frames per second on average; 0 for a single picture."""
    codec: str
    """FFmpeg's name of the decoder, for example ``"h264"``."""


class VideoReader:
    """Reads frames of one video file; a context manager.

    Times are seconds since the begin of the file as a player counts them: where the clock of a
    file does not start at 0 (transport streams), its start is subtracted.

    Args:
        path: A local file or the URL of one.
        offset: First byte of the video inside the file, where the file holds several (a tar shard).
        size: Bytes of the video inside the file; None reads to its end.

    Raises:
        VideoError: If it is missing, is no video, has no picture stream or an unknown codec.
        UserError: If the library for a kind of URL is not installed.
    """

    def __init__(self, path: str | Path, *, offset: int | None = None, size: int | None = None):
        media = read_media(str(path), offset, size)
        self.path = media.path
        self._source = FrameExtractor(media)
        self._origin = time_origin(self._source.container, self._source.stream)
        self._base = time_base(self._source.stream)
        self._table: PacketTable | None = None
        self._info: VideoInfo | None = None

    def close(self) -> None:
        """Release the file; the reader cannot be used afterwards."""
        self._source.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def info(self) -> VideoInfo:
        """Size, length and codec; the first frame is decoded to know which way up it is."""
        if self._info is None:
            times = self.timestamps()
            first = self.frames(times[:1])
            step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
            duration = float(times[-1] - times[0]) + step
            self._info = VideoInfo(
                width=first.shape[3],
                height=first.shape[2],
                num_frames=len(times),
                duration_seconds=duration,
                frame_rate=len(times) / duration if duration else 0.0,
                codec=self._source.stream.codec_context.name,
            )
        return self._info

    def timestamps(
        self, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> np.ndarray:
        """Tell when the frames of the file, or of a part of it, appear.

        Args:
            start_seconds: Begin of the part; None is the begin of the file.
            end_seconds: End of the part, itself excluded; None is the end of the file.

        Returns:
            ``(N,)`` float64 seconds, sorted; N is 0 where the part holds no frame.

        Raises:
            VideoError: If the file is cut off or broken.
        """
        times = self._seconds(self._read_table(start_seconds, end_seconds).pts)
        # Annotations are decimals: half a tick decides whether a frame lies on the bound.
        tick = float(self._base) / 2
        first = 0 if start_seconds is None else np.searchsorted(times, start_seconds - tick)
        last = len(times) if end_seconds is None else np.searchsorted(times, end_seconds - tick)
        return times[first:last]

    def frames(
        self,
        which: Sequence[float] | Sequence[int] | np.ndarray,
        resize_size: int | None = None,
        *,
        enlarge: bool = True,
        exact: bool = True,
    ) -> torch.Tensor:
        """Decode chosen frames.

        Args:
            which: Floats are seconds, each standing for the frame then on display; integers are
                positions in ``timestamps()``. Any order, repetitions allowed.
            resize_size: Short side of the result in pixels; None leaves the size as it is.
            enlarge: Whether smaller pictures are enlarged to ``resize_size``.
            exact: Whether pictures up to half as large again are made smaller; to leave them as
                they are is faster.

        Returns:
            ``(T, 3, H, W)`` uint8 RGB, upright, stored channels-last.

        Raises:
            VideoError: If one of them cannot be decoded; says how many can.
        """
        wanted = np.asarray(which)
        if wanted.ndim != 1 or len(wanted) == 0:
            raise ValueError("which must be a non-empty one-dimensional sequence")
        table, ranks = self._ranks(wanted)
        unique, inverse = np.unique(ranks, return_inverse=True)
        self._check_memory(len(unique), resize_size, enlarge=enlarge)
        convert = Converter(resize_size, enlarge=enlarge, exact=exact)
        if table.in_order:
            found = self._source.in_order(unique, table, convert)
        else:
            found = self._source.by_time(table.pts[unique], table, convert)
        clip = torch.from_numpy(np.stack(found))
        if len(unique) != len(ranks) or (np.diff(ranks) < 0).any():
            clip = clip[torch.from_numpy(inverse)]
        return clip.permute(0, 3, 1, 2)

    def _check_memory(self, count: int, resize_size: int | None, *, enlarge: bool) -> None:
        """Refuse early what cannot fit: the pictures as decoded, and twice the result, stacked."""
        decoded, what = picture_memory(self._source.stream)
        context = self._source.stream.codec_context
        if not decoded:
            return  # it announces no size
        width, height = target_size(context.width, context.height, resize_size, enlarge)
        result = 2 * count * 3 * width * height
        check_memory(decoded + result, f"{count} frames of {width}×{height} from {what}")

    # Time stamps

    def _seconds(self, pts: np.ndarray) -> np.ndarray:
        return (pts - self._origin) * self._base.numerator / self._base.denominator

    def _ticks(self, seconds: float) -> int:
        return round(seconds / self._base) + self._origin

    def _read_table(self, start: float | None = None, end: float | None = None) -> PacketTable:
        """Read the time stamps from ``start`` to ``end`` seconds, and more where that is cheap."""
        if self._table is not None and self._table.whole:
            return self._table
        source = self._source
        length = (source.container.duration or 0) / av.time_base
        far_start = start is not None and start > _FAR_SECONDS
        far_end = end is not None and end < length - _FAR_SECONDS
        self._table = None
        if far_start or far_end:
            source.rewind()
            self._table = read_part(
                source.container,
                source.stream,
                self._ticks(start) if start is not None and far_start else None,
                self._ticks(end) if end is not None and far_end else None,
            )
        if self._table is None:
            source.rewind()
            self._table = read_table(source.media, source.container, source.stream)
        return self._table

    def _ranks(self, wanted: np.ndarray) -> tuple[PacketTable, np.ndarray]:
        """The positions in a table of the frames wanted."""
        if np.issubdtype(wanted.dtype, np.integer):
            table = self._read_table()
            if wanted.min() < 0 or wanted.max() >= len(table.pts):
                raise ValueError(f"{self.path}: positions run from 0 to {len(table.pts) - 1}")
            return table, wanted.astype(np.int64)
        table = self._table or self._read_table()
        times = self._seconds(table.pts)
        if not table.whole and (wanted.min() < times[0] or wanted.max() > times[-1]):
            table = self._read_table()
            times = self._seconds(table.pts)
        found = np.searchsorted(times, wanted + 1e-6, side="right") - 1
        return table, np.clip(found, 0, len(times) - 1)

"""Reading the frames a clip needs from a video file or a folder of pictures.

Time stamps come from the packets, without decoding. For the frames wanted the reader jumps to the
key frame before each of them and decodes no further than needed; frames in between are neither
converted nor, where nothing refers to them, decoded. What comes out is what a decode of the whole
file gives; where a jump does not land as expected the file is decoded from its start instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .backend import Reading, open_source
from .crops import CropConverter, Crops
from .packets import PacketTable
from .picture import Converter


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
    """Reads frames of one video; a context manager.

    Times are seconds since the start of the file as a player counts them: where the clock of a
    file does not start at 0 (transport streams), its start is subtracted.

    Args:
        path: A local file, a folder of pictures (``img_00001.jpg`` …), or the URL of a file.
        offset: First byte of the video inside the file, where the file holds several (a tar shard).
        size: Bytes of the video inside the file; None reads to its end.
        content: The bytes of a file, in place of what is at ``path``, which then is only its name
            in messages.
        reading: Backend, and the frame rate of folders; None takes the defaults.

    Raises:
        VideoError: If it is missing, is no video, has no picture stream or an unknown codec.
        UserError: If the library for a kind of URL or for the backend is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        offset: int | None = None,
        size: int | None = None,
        content: bytes | None = None,
        reading: Reading | None = None,
    ):
        self.path, self._source = open_source(
            str(path), offset, size, reading or Reading(), content=content
        )
        self._table: PacketTable | None = None
        self._info: VideoInfo | None = None

    def close(self) -> None:
        """Release the file; the reader cannot be used afterwards."""
        self._source.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    @property
    def clock_start_seconds(self) -> float:
        """Time stamp, as it stands in the file, at which the clock of ``timestamps()`` shows 0."""
        return float(self._source.origin * self._source.base)

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
                codec=self._source.codec,
            )
        return self._info

    def timestamps(
        self, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> np.ndarray:
        """Tell when the frames of the file, or of a part of it, appear.

        Args:
            start_seconds: Start of the part; None is the start of the file.
            end_seconds: End of the part, itself excluded; None is the end of the file.

        Returns:
            ``(N,)`` float64 seconds, sorted; N is 0 where the part holds no frame.

        Raises:
            VideoError: If the file is cut off or broken.
        """
        times = self._seconds(self._read_table(start_seconds, end_seconds).pts)
        # Annotations are decimals: half a tick decides whether a frame lies on the bound.
        tick = float(self._source.base) / 2
        first = 0 if start_seconds is None else np.searchsorted(times, start_seconds - tick)
        last = len(times) if end_seconds is None else np.searchsorted(times, end_seconds - tick)
        return times[first:last]

    def frames(
        self,
        which: Sequence[float] | Sequence[int] | np.ndarray,
        resize_size: int | None = None,
        *,
        enlarge: bool = True,
        crops: Crops | None = None,
    ) -> torch.Tensor:
        """Decode chosen frames.

        Args:
            which: Floats are seconds, each meaning the frame then on display; integers are
                positions in ``timestamps()``. Any order, repetitions allowed.
            resize_size: Short side of the result in pixels; None leaves the size as it is.
            enlarge: Whether smaller pictures are enlarged to ``resize_size``.
            crops: Rectangles to cut out of all frames while they are converted, and their size;
                in place of ``resize_size``.

        Returns:
            ``(T, 3, H, W)`` uint8 RGB, upright, stored channels-last; with ``crops`` n rectangles
            of them, ``(n, T, 3, S, S)``.

        Raises:
            VideoError: If one of them cannot be decoded; says how many can.
        """
        wanted = np.asarray(which)
        if wanted.ndim != 1 or len(wanted) == 0:
            raise ValueError("which must be a non-empty one-dimensional sequence")
        if crops is not None and resize_size is not None:
            raise ValueError("crops have a size of their own: leave resize_size out")
        table, ranks = self._ranks(wanted)
        unique, inverse = np.unique(ranks, return_inverse=True)
        convert = CropConverter(crops) if crops else Converter(resize_size, enlarge=enlarge)
        clip = torch.from_numpy(self._source.pictures(unique, table, convert))
        if len(unique) != len(ranks) or (np.diff(ranks) < 0).any():
            clip = clip[torch.from_numpy(inverse)]
        return clip.transpose(0, 1) if crops else clip.permute(0, 3, 1, 2)

    # Time stamps

    def _seconds(self, pts: np.ndarray) -> np.ndarray:
        base = self._source.base
        return (pts - self._source.origin) * base.numerator / base.denominator

    def _ticks(self, seconds: float) -> int:
        return round(seconds / self._source.base) + self._source.origin

    def _read_table(self, start: float | None = None, end: float | None = None) -> PacketTable:
        """Read the time stamps from ``start`` to ``end`` seconds, and more where that is cheap."""
        if self._table is not None and self._table.whole:
            return self._table
        self._table = self._source.read_table(
            None if start is None else self._ticks(start), None if end is None else self._ticks(end)
        )
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

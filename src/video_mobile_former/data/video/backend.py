"""The interface of decoding backends, and the settings of reading."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol

import numpy as np

from ...errors import UserError
from .packets import DAMAGED_SHARE, PacketTable
from .picture import Converter

Backend = Literal["pyav", "torchcodec"]
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Reading:
    """How videos are read, the same for all clips of a data set."""

    backend: Backend = "pyav"
    """Library that decodes video files."""
    device: Device = "cpu"
    """Where video files are decoded; ``"cuda"`` needs torchcodec. Frames arrive on the CPU."""
    frame_rate: float = 30.0
    """Frames per second of folders of pictures, above 0."""
    damaged_share: float = DAMAGED_SHARE
    """Share of its packets that may be unreadable, 0 to 1; the frame before replaces each."""
    partial: bool = False
    """Use the readable part of a video file that is cut off."""

    def __post_init__(self) -> None:
        if self.backend not in ("pyav", "torchcodec"):
            raise UserError(f"backend must be pyav or torchcodec, not {self.backend!r}")
        if self.device not in ("cpu", "cuda"):
            raise UserError(f"device of decoding must be cpu or cuda, not {self.device!r}")
        if self.device == "cuda" and self.backend != "torchcodec":
            raise UserError("decoding on cuda needs the backend torchcodec")
        if not 0 < self.frame_rate < math.inf:
            raise UserError(f"frame_rate must be above 0, not {self.frame_rate}")
        if not 0 <= self.damaged_share <= 1:
            raise UserError(f"damaged_share must be between 0 and 1, not {self.damaged_share}")

    def check(self) -> None:
        """Make sure that the backend and the device are there, before worker processes try.

        Raises:
            UserError: If not; says what to install.
        """
        if self.backend == "torchcodec":
            from .torchcodec_backend import check_torchcodec

            check_torchcodec(self.device)


class FrameSource(Protocol):
    """An open video: a file read with one library or the other, or a folder of pictures."""

    origin: int
    """Tick at which a player's clock shows 0."""
    base: Fraction
    """Seconds per tick."""

    @property
    def codec(self) -> str:
        """FFmpeg's name of the decoder."""
        ...

    def read_table(self, start: int | None = None, end: int | None = None) -> PacketTable:
        """Read the time stamps from tick ``start`` to ``end``, and more where that is cheap."""
        ...

    def pictures(self, ranks: np.ndarray, table: PacketTable, convert: Converter) -> np.ndarray:
        """Decode frames.

        Args:
            ranks: ``(N,)`` positions in ``table.pts``, sorted, distinct.
            table: Out of ``read_table``.
            convert: Makes pixels of a frame.

        Returns:
            ``(N, H, W, 3)`` uint8 RGB, upright, or whatever else ``convert`` makes of each frame.

        Raises:
            VideoError: If one of them cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Release the file."""
        ...


def open_source(
    path: str,
    offset: int | None,
    size: int | None,
    reading: Reading,
    *,
    content: bytes | None = None,
) -> tuple[str, FrameSource]:
    """Open a video.

    Args:
        path: A local file, a folder of pictures or a URL.
        offset: First byte of the video inside the file; None is its start.
        size: Bytes of the video inside the file; None is all that follow.
        reading: Backend, and frame rate of a folder.
        content: The bytes of the file, where ``path`` is only a name for them.

    Returns:
        The name of the video for people, and its frames.

    Raises:
        VideoError: If it is missing or no video.
    """
    # Imported here: these modules import this one.
    from .media import Media, read_media
    from .picture_folder import FrameFolder
    from .pyav_backend import FrameExtractor

    if content is None and offset is None and size is None and os.path.isdir(path):  # noqa: PTH112 - never raises
        return path, FrameFolder(path, reading.frame_rate)
    media = read_media(path, offset, size) if content is None else Media(path, content)
    options: dict[str, Any] = {
        "damaged_share": reading.damaged_share,
        "partial": reading.partial,
    }
    if reading.backend == "torchcodec":
        from .torchcodec_backend import TorchcodecFrames

        return media.path, TorchcodecFrames(media, reading.device, **options)
    return media.path, FrameExtractor(media, **options)

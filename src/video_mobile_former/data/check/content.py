"""Compact content of a video: signatures to find copies, and digests."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..video.picture_folder import picture_names

GRID = 8
"""Cells per row and column in one picture of a signature."""
MOMENTS = 8
"""Pictures in a signature, evenly spread over the video."""
SIGNATURE_BYTES = MOMENTS * GRID * GRID

_LUMA = np.array([0.299, 0.587, 0.114])
_BLOCK = 1 << 20


def moments(num_frames: int) -> np.ndarray:
    """The frames that represent a video of this length.

    Returns:
        ``(MOMENTS,)`` int64 positions, rising; with repetitions where frames are few.
    """
    return ((np.arange(MOMENTS) + 0.5) * num_frames / MOMENTS).astype(np.int64)


def brightness_grid(picture: np.ndarray) -> np.ndarray:
    """Mean brightness in each cell of a picture.

    Args:
        picture: ``(H, W, 3)`` uint8 RGB, of any size.

    Returns:
        ``(GRID, GRID)`` uint8.
    """
    gray = picture @ _LUMA
    height, width = gray.shape
    # An integral image gives the sum over any rectangle. Pixels of a picture narrower than the grid
    # count in several cells.
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = gray.cumsum(0).cumsum(1)
    top, bottom = _bounds(height)
    left, right = _bounds(width)
    total = (
        sums[bottom][:, right] - sums[top][:, right] - sums[bottom][:, left] + sums[top][:, left]
    )
    area = (bottom - top)[:, None] * (right - left)[None, :]
    return np.clip(np.round(total / area), 0, 255).astype(np.uint8)


def _bounds(length: int) -> tuple[np.ndarray, np.ndarray]:
    edges = np.arange(GRID + 1) * length / GRID
    low = np.floor(edges[:-1] + 0.5).astype(np.int64)
    high = np.floor(edges[1:] + 0.5).astype(np.int64)
    low = np.minimum(low, length - 1)
    return low, np.maximum(high, low + 1)


def pack_signature(grids: list[np.ndarray]) -> str:
    """Base64 of the grids of all moments, in order."""
    return base64.b64encode(np.stack(grids).tobytes()).decode("ascii")


def unpack_signature(text: str) -> np.ndarray:
    """``(MOMENTS × GRID × GRID,)`` uint8 of what :func:`pack_signature` wrote."""
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8)


def sha256_of_file(path: str, tick: Callable[[], None]) -> str:
    """Digest of the bytes of a file, or of the pictures in a folder, in order.

    Args:
        path: The file or folder.
        tick: Called repeatedly as a heartbeat.

    Raises:
        OSError: If it cannot be read.
        VideoError: If it is a folder that cannot be listed.
    """
    digest = hashlib.sha256()
    folder = Path(path)
    if not folder.is_dir():
        _add_file(digest, folder, tick)
        return digest.hexdigest()
    for name in picture_names(folder):
        digest.update(b"%d\0" % (folder / name).stat().st_size)
        _add_file(digest, folder / name, tick)
    return digest.hexdigest()


def _add_file(digest: Any, path: Path, tick: Callable[[], None]) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            tick()

"""Operations on single pixel values: a lookup table of 256 values per channel.

Tables are computed on the CPU in integers or float64 and only looked up on the device, so the
result is bit-identical on every device. Statistics (darkest value, histogram, mean) are taken over
all frames of a clip together, so that every frame changes in the same way.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .color import mean_luma

_LEVELS = torch.arange(256)


def look_up(clips: Tensor, tables: Tensor) -> Tensor:
    """Map every pixel through the table of its clip and channel.

    Args:
        clips: ``(B, T, 3, H, W)`` uint8 on any device.
        tables: ``(B, 3, 256)`` uint8 on the CPU.

    Returns:
        New clips.
    """
    count = len(clips)
    first = torch.arange(0, 3 * count * 256, 256, dtype=torch.int32, device=clips.device)
    # index_select takes 32-bit positions: eight times as fast on a CPU as a 64-bit index.
    places = clips.int() + first.view(count, 1, 3, 1, 1)
    flat = tables.to(clips.device, non_blocking=True).flatten()
    return flat.index_select(0, places.flatten()).view(clips.shape)


def autocontrast(clips: Tensor, values: Tensor) -> Tensor:
    """Stretch each channel so that its darkest value becomes 0 and its brightest 255."""
    low, high = (
        extreme.cpu().double()[..., None]
        for extreme in (clips.amin((1, 3, 4)), clips.amax((1, 3, 4)))
    )
    stretched = (_LEVELS - low) * (255 / (high - low).clamp_min(1))
    return _rounded(torch.where(high > low, stretched, _LEVELS.double()))


def equalize(clips: Tensor, values: Tensor) -> Tensor:
    """Equalise the histogram of each channel."""
    counts = _histograms(clips)
    total = counts.sum(-1, keepdim=True)
    last = torch.where(counts > 0, _LEVELS, 0).amax(-1, keepdim=True)
    step = (total - counts.gather(-1, last)) // 255
    below = counts.cumsum(-1) - counts
    spread = (below + step // 2) // step.clamp_min(1)
    return torch.where(step > 0, spread, _LEVELS).clamp(0, 255).to(torch.uint8)


def invert(clips: Tensor, values: Tensor) -> Tensor:
    """Invert every value: 255 minus it."""
    return _each_channel(255 - _LEVELS.expand(len(values), -1))


def posterize(clips: Tensor, values: Tensor) -> Tensor:
    """Keep the upper ``values`` of 8 bits."""
    lost = 2 ** (8 - values.long()[:, None])
    return _each_channel(_LEVELS // lost * lost)


def solarize(clips: Tensor, values: Tensor) -> Tensor:
    """Invert pixels of at least ``values``."""
    return _each_channel(torch.where(values[:, None] > _LEVELS, _LEVELS, 255 - _LEVELS))


def solarize_add(clips: Tensor, values: Tensor) -> Tensor:
    """Add ``values`` to pixels below 128."""
    return _each_channel(torch.where(_LEVELS < 128, _LEVELS + values[:, None], _LEVELS))


def brightness(clips: Tensor, values: Tensor) -> Tensor:
    """Multiply by ``values``."""
    return _each_channel(_LEVELS * values[:, None])


def contrast(clips: Tensor, values: Tensor) -> Tensor:
    """Multiply the distance from the clip's mean luma by ``values``."""
    mean = mean_luma(clips)[:, None].round()
    return _each_channel(mean + (_LEVELS - mean) * values[:, None])


TABLES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    table.__name__: table
    for table in (
        autocontrast,
        equalize,
        invert,
        posterize,
        solarize,
        solarize_add,
        brightness,
        contrast,
    )
}
"""From clips ``(B, T, 3, H, W)`` and values ``(B,)`` to tables ``(B, 3, 256)``, by name."""


def _histograms(clips: Tensor) -> Tensor:
    """``(B, 3, 256)`` int64 on the CPU."""
    rows = clips.transpose(1, 2).reshape(len(clips) * 3, -1)
    if clips.device.type == "cpu":
        counts = torch.stack([torch.bincount(row, minlength=256) for row in rows])
    else:
        counts = count_at_once(rows).cpu()
    return counts.view(-1, 3, 256)


def count_at_once(rows: Tensor) -> Tensor:
    """Histogram of each row in a single count, which avoids repeated device synchronisation.

    Args:
        rows: ``(N, M)`` uint8.

    Returns:
        ``(N, 256)`` int64.
    """
    first = torch.arange(0, len(rows) * 256, 256, dtype=torch.int32, device=rows.device)
    places = (rows.int() + first[:, None]).flatten()
    return torch.bincount(places, minlength=len(rows) * 256).view(-1, 256)


def _each_channel(table: Tensor) -> Tensor:
    return _rounded(table.double())[:, None].expand(-1, 3, -1)


def _rounded(table: Tensor) -> Tensor:
    return (table + 0.5).floor().clamp(0, 255).to(torch.uint8)

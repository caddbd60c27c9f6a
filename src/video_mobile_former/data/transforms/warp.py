"""Operations that move pixels: rotation, shear and translation, with grey filling.

Bilinear in integers: positions are computed in float64 and weights in 1/256, so that the result is
bit-identical on every device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

FILL = 128
"""Filling where the picture has moved away."""


def warp(clips: Tensor, matrices: Tensor) -> Tensor:
    """Resample each clip through an affine map.

    Args:
        clips: ``(B, T, 3, H, W)`` uint8 on any device.
        matrices: ``(B, 2, 3)`` float64 on the CPU: from a position in the result, in pixels from
            the upper left corner, to the position (x, y) in the clip that is shown there.

    Returns:
        New clips, contiguous.
    """
    count, frames, _, height, width = clips.shape
    size, values = height * width, frames * 3
    # A pixel with all its frames is one row, so that a position is looked up once for all frames:
    # ten times as fast on a CPU as frame by frame. The row after the last pixel is the filling.
    rows = torch.full((count, size + 1, values), FILL, dtype=torch.uint8, device=clips.device)
    rows[:, :size] = clips.reshape(count, values, size).transpose(1, 2)
    rows = rows.view(-1, values)
    sums = torch.full((count * size, values), 128, dtype=torch.int16, device=clips.device)
    # A CUDA device has float64 too, which saves the transfer.
    matrices = matrices.to(clips.device) if clips.device.type == "cuda" else matrices
    for places, weights in _neighbours(matrices, height, width):
        if weights.device.type == "cpu" and not weights.any():
            continue  # shears need two neighbours, whole-pixel shifts one
        found = rows.index_select(0, places.to(clips.device))
        # The sum of up to 255 × 256 needs all 16 bits, including the sign bit.
        sums += found.to(torch.int16).mul_(weights.to(clips.device)[:, None])
    out = sums.bitwise_right_shift_(8).to(torch.uint8).view(count, size, values)
    return out.transpose(1, 2).contiguous().view(clips.shape)


def _neighbours(matrices: Tensor, height: int, width: int) -> list[tuple[Tensor, Tensor]]:
    """The four pixels around each position of the results, as rows of :func:`warp`.

    Returns:
        Four times ``(B·H·W,)`` int32 rows and ``(B·H·W,)`` int16 weights that add up to 256.
    """
    count, size, device = len(matrices), height * width, matrices.device
    x = torch.arange(width, dtype=torch.float64, device=device) + 0.5
    y = torch.arange(height, dtype=torch.float64, device=device) + 0.5
    weight = matrices[..., None, None]
    # (B, H, W) each
    right, down = (weight[:, :, 0] * x + (weight[:, :, 1] * y[:, None] + weight[:, :, 2])).unbind(1)
    outside = (right < 0) | (right >= width) | (down < 0) | (down >= height)
    (left, right), of_right = _neighbours_along(right, width)
    (up, down), of_down = _neighbours_along(down, height)
    of_both = (of_right * of_down + 128) // 256
    first = torch.arange(count, dtype=torch.int32, device=device)[:, None, None] * (size + 1)
    return [
        (
            torch.where(outside, size, row * width + column).add_(first).flatten(),
            share.to(torch.int16).flatten(),
        )
        for row, column, share in (
            (up, left, 256 - of_right - of_down + of_both),
            (up, right, of_right - of_both),
            (down, left, of_down - of_both),
            (down, right, of_both),
        )
    ]


def _neighbours_along(places: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Pixels before and after each position on one axis, and the latter's weight in 1/256."""
    places = places - 0.5
    before = places.floor()
    share = ((places - before) * 256 + 0.5).int()
    before = before.int()
    return (before.clamp(0, size - 1), (before + 1).clamp(0, size - 1)), share


def rotate(values: Tensor, height: int, width: int) -> Tensor:
    """Rotate about the centre, anticlockwise by ``values`` degrees."""
    angle = torch.deg2rad(values)
    cos, sin = angle.cos(), angle.sin()
    x, y = width / 2, height / 2
    right = torch.stack([cos, -sin, x - cos * x + sin * y], 1)
    down = torch.stack([sin, cos, y - sin * x - cos * y], 1)
    return torch.stack([right, down], 1)


def shear_x(values: Tensor, height: int, width: int) -> Tensor:
    """Shift each row to the left by ``values`` times its distance from the upper edge."""
    return _identity(values, (0, 1), values)


def shear_y(values: Tensor, height: int, width: int) -> Tensor:
    """Shift each column upwards by ``values`` times its distance from the left edge."""
    return _identity(values, (1, 0), values)


def translate_x(values: Tensor, height: int, width: int) -> Tensor:
    """Shift to the left by ``values`` times the width."""
    return _identity(values, (0, 2), values * width)


def translate_y(values: Tensor, height: int, width: int) -> Tensor:
    """Shift upwards by ``values`` times the height."""
    return _identity(values, (1, 2), values * height)


MATRICES: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    matrix.__name__: matrix for matrix in (rotate, shear_x, shear_y, translate_x, translate_y)
}
"""From values ``(B,)``, height and width to matrices ``(B, 2, 3)`` for :func:`warp`, by name."""


def _identity(values: Tensor, place: tuple[int, int], change: Tensor) -> Tensor:
    matrices = torch.eye(2, 3, dtype=torch.float64).repeat(len(values), 1, 1)
    matrices[:, place[0], place[1]] = change
    return matrices

"""A steady crop of each person: a smoothed square with a margin, of one size for a whole clip."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...data.transforms.geometry import resize
from ...errors import UserError
from .boxes import Boxes

MARGIN = 0.25
"""Added around a person, as a share of the longer side of the box."""
SMOOTH_SECONDS = 0.15
"""Standard deviation of the Gaussian over time that boxes are smoothed with."""


def of_track(boxes: Boxes, track: int) -> Boxes:
    """The boxes of one person."""
    here = boxes.tracks == track
    return Boxes(boxes.seconds[here], boxes.corners[here], boxes.scores[here], boxes.tracks[here])


def steady_squares(boxes: Boxes, times: np.ndarray, *, margin: float = MARGIN) -> np.ndarray:
    """Where to cut a person out of the frames of a clip.

    Centres are smoothed in time and interpolated where the person was not seen; the side is one for
    the clip, the largest of the smoothed longer sides in it, so that nearness does not flicker.

    Args:
        boxes: Of one person, sorted by time, at least one.
        times: ``(T,)`` seconds of the frames, sorted.
        margin: Added around, as a share of the side, at least 0.

    Returns:
        ``(T, 3)`` float64: centre x, centre y and side in pixels.

    Raises:
        UserError: If there is no box or the margin is negative.
    """
    if not len(boxes):
        raise UserError("a person without boxes cannot be cut out")
    if not margin >= 0:
        raise UserError(f"margin must be at least 0, not {margin}")
    corners = boxes.corners
    longer = (corners[:, 2:] - corners[:, :2]).max(axis=1)
    shapes = np.column_stack([(corners[:, :2] + corners[:, 2:]) / 2, longer])
    # Smoothed at the times of the boxes, then read at those of the frames.
    distance = (boxes.seconds[:, None] - boxes.seconds) / SMOOTH_SECONDS
    weights = np.exp(-(distance**2) / 2)
    smooth = weights @ shapes / weights.sum(axis=1, keepdims=True)
    found = np.column_stack([np.interp(times, boxes.seconds, smooth[:, i]) for i in range(3)])
    found[:, 2] = found[:, 2].max() * (1 + 2 * margin)
    return found


def cut_out(frames: Tensor, squares: np.ndarray, size: int) -> Tensor:
    """Cut a square out of each frame; what lies outside of the picture repeats its edge.

    Args:
        frames: ``(T, 3, H, W)`` uint8.
        squares: ``(T, 3)`` of :func:`steady_squares`.
        size: Pixels of the result.

    Returns:
        ``(T, 3, size, size)`` uint8.
    """
    height, width = frames.shape[-2:]
    side = max(2, round(float(squares[:, 2].max())))
    # A square far larger than the picture would be mostly edge.
    side = min(side, 2 * max(height, width))
    cuts = []
    for frame, (x, y, _) in zip(frames, squares, strict=True):
        left, top = round(float(x) - side / 2), round(float(y) - side / 2)
        rows = torch.arange(top, top + side).clamp(0, height - 1)
        columns = torch.arange(left, left + side).clamp(0, width - 1)
        cuts.append(resize(frame[:, rows][:, :, columns][None], size, size)[0])
    return torch.stack(cuts)

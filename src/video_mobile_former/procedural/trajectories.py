"""How things move over a clip: functions of time from 0 to 1."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEFT, RIGHT, UP, DOWN = range(4)
"""Directions; opposite ones are adjacent."""
CLOCKWISE: tuple[int, ...] = (UP, DOWN, RIGHT, LEFT)
"""The direction a quarter turn clockwise of each."""


def unit(direction: Tensor) -> Tensor:
    """Steps (..., 2) of directions 0 to 3; y grows downwards."""
    table = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
    return table.to(direction.device)[direction]


def heading(angle: Tensor) -> Tensor:
    """Unit vectors (..., 2) of angles in radians."""
    return torch.stack([angle.cos(), angle.sin()], -1)


def eased(time: Tensor, start: Tensor | float, end: Tensor | float) -> Tensor:
    """0 before ``start``, 1 after ``end``, smooth between."""
    part = ((time - start) / (end - start)).clamp(0, 1)
    return part * part * (3 - 2 * part)


def ramp(time: Tensor, start: Tensor | float, end: Tensor | float) -> Tensor:
    """0 before ``start``, 1 after ``end``, at constant speed between."""
    return ((time - start) / (end - start)).clamp(0, 1)


def flash(time: Tensor, middle: Tensor | float, width: Tensor | float) -> Tensor:
    """1 during ``width`` around ``middle``, else 0."""
    return ((time - middle).abs() < width / 2).float()


def accelerated(time: Tensor, change: Tensor) -> Tensor:
    """Distance from 0 to 1 at a speed that grows from 1 - change to 1 + change times its mean."""
    return time * (1 - change) + change * time * time


def swinging(time: Tensor, cycles: Tensor, phase: Tensor, decay: Tensor) -> Tensor:
    """An oscillation whose amplitude falls (decay > 0) or grows (decay < 0) by e to that power."""
    reach = (-decay * (time - (decay < 0).to(time.dtype))).exp()
    return reach * (2 * math.pi * (cycles * time + phase)).sin()

"""Zero padding around a picture, in the two conventions networks use."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

PaddingKind = Literal["centred", "same"]
"""``centred``: half a kernel on every side. ``same``: TensorFlow's SAME, only as many zeros as
⌈size / stride⌉ outputs need, the odd one at the bottom and right; with stride 2 on an even size
the kernel then starts one pixel later than a centred one. With stride 1 both are the same."""


def pad_same(x: Tensor, kernel_size: int, stride: int) -> tuple[Tensor, tuple[int, int]]:
    """Add the asymmetric zeros, and return the symmetric padding left to the convolution.

    Args:
        x: (…, H, W).
        kernel_size: Height and width of the kernel.
        stride: Spatial stride.

    Returns:
        ``x``, with a row below and a column at the right where needed, and the padding
        (height, width) that the convolution adds on both sides.
    """
    high, wide = (_total(size, kernel_size, stride) for size in x.shape[-2:])
    if high % 2 or wide % 2:
        x = F.pad(x, (0, wide % 2, 0, high % 2))
    return x, (high // 2, wide // 2)


def _total(size: int, kernel_size: int, stride: int) -> int:
    rest = size % stride or stride
    return max(kernel_size - rest, 0)

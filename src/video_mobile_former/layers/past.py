"""What causal convolutions remember between two steps of a stream: the last frames of their inputs.

A temporal kernel of length kt that looks back only needs the kt − 1 frames before the first one of
a step. Each of them is a tensor (B, C, H, W) of its own, whatever the graph form: nothing above
rank 4 crosses a step, streams of a batch are rows, and a step of one frame moves no memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .forms import fold_pixels, is_channels_last


def past_names(name: str, temporal_kernel: int) -> list[str]:
    """Names of the frames that a causal convolution remembers, the oldest first.

    Args:
        name: The convolution.
        temporal_kernel: Length kt of its kernel; kt − 1 frames are remembered.
    """
    return [f"{name}.past{age}" for age in range(temporal_kernel - 1, 0, -1)]


class Past:
    """Frames before a step, and those that the step leaves for the next one.

    Args:
        before: Tensors (B, C, H, W) by the names of :func:`past_names`; zeros where nothing came
            before. Other entries are not used.
    """

    def __init__(self, before: Mapping[str, Tensor]):
        self.before = before
        self.after: dict[str, Tensor] = {}
        """Frames for the next step, under the same names."""

    def join(self, name: str, x: Tensor, num_frames: int, temporal_kernel: int) -> Tensor:
        """Put the frames before a step in front of its own.

        Args:
            name: The convolution.
            x: (B, C, T, H, W) or (B·T, C, H, W).
            num_frames: T.
            temporal_kernel: Length kt of the kernel.

        Returns:
            In the form of ``x``, kt − 1 + T frames.
        """
        names = past_names(name, temporal_kernel)
        old = [self.before[key] for key in names]
        if x.dim() == 5:
            joined = torch.cat([*(frame.unsqueeze(2) for frame in old), x], dim=2)
            self._keep(names, joined[:, :, num_frames:].unbind(2))
            return joined
        rows = self._rows(old, x, num_frames)
        layout = is_channels_last(x)
        self._keep(names, [_unfold(row, x, layout) for row in _tail(rows, num_frames)])
        return _unfold(rows, x, layout)

    def taps(self, name: str, x: Tensor, num_frames: int, temporal_kernel: int) -> list[Tensor]:
        """What each tap of a kernel reads, the oldest first.

        Args:
            name: The convolution.
            x: (B·T, C, H, W).
            num_frames: T.
            temporal_kernel: Length kt of the kernel.

        Returns:
            kt tensors in the shape of ``x``; the last one is ``x``.
        """
        names = past_names(name, temporal_kernel)
        old = [self.before[key] for key in names]
        if num_frames == 1:
            window = [*old, x]
            self._keep(names, window[1:])
            return window
        rows = self._rows(old, x, num_frames)
        layout = is_channels_last(x)
        self._keep(names, [_unfold(row, x, layout) for row in _tail(rows, num_frames)])
        shifts = range(temporal_kernel - 1)
        return [*(_unfold(rows[:, k : k + num_frames], x, layout) for k in shifts), x]

    def _keep(self, names: Sequence[str], frames: Sequence[Tensor]) -> None:
        self.after.update(zip(names, frames, strict=True))

    @staticmethod
    def _rows(old: Sequence[Tensor], x: Tensor, num_frames: int) -> Tensor:
        """All frames as (B, kt − 1 + T, C·H·W), pixels in the memory order of ``x``."""
        layout = is_channels_last(x)
        frames = [fold_pixels(frame, 1, layout) for frame in old]
        return torch.cat([*frames, fold_pixels(x, num_frames, layout)], dim=1)


def _tail(rows: Tensor, first: int) -> list[Tensor]:
    return [rows[:, i : i + 1] for i in range(first, rows.shape[1])]


def _unfold(rows: Tensor, like: Tensor, channels_last: bool) -> Tensor:
    """(B, T, C·H·W) as (B·T, C, H, W)."""
    c, h, w = like.shape[1:]
    if channels_last:
        return rows.reshape(-1, h, w, c).permute(0, 3, 1, 2)
    return rows.reshape(-1, c, h, w)

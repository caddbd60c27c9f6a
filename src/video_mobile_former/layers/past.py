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
        window = Window(old, x, num_frames)
        self._keep(names, [window.frames(i, i + 1) for i in range(num_frames, len(window))])
        return window.frames(0, len(window))

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
        window = Window(old, x, num_frames)
        self._keep(names, [window.frames(i, i + 1) for i in range(num_frames, len(window))])
        return [*(window.frames(k, k + num_frames) for k in range(len(old))), x]

    def _keep(self, names: Sequence[str], frames: Sequence[Tensor]) -> None:
        self.after.update(zip(names, frames, strict=True))


class Window:
    """The frames before a step and its own, in a row, to be cut anew.

    A single stream stays of rank 4 all the way, in whatever layout its runtime keeps it.

    Args:
        old: Frames (B, C, H, W) before the step, the oldest first.
        x: Its own, (B·T, C, H, W).
        num_frames: T.
    """

    def __init__(self, old: Sequence[Tensor], x: Tensor, num_frames: int):
        self.like, self.channels_last = x, is_channels_last(x)
        self.length = len(old) + num_frames
        self.single = x.shape[0] == num_frames
        if self.single:
            self.joined = torch.cat([*old, x])
        else:
            rows = [fold_pixels(frame, 1, self.channels_last) for frame in old]
            rows.append(fold_pixels(x, num_frames, self.channels_last))
            self.joined = torch.cat(rows, dim=1)  # (B, len(old) + T, C·H·W)

    def __len__(self) -> int:
        return self.length

    def frames(self, start: int, end: int) -> Tensor:
        """Some of the frames of each stream, (B·(end − start), C, H, W)."""
        if self.single:
            return self.joined[start:end]
        c, h, w = self.like.shape[1:]
        rows = self.joined[:, start:end]
        if self.channels_last:
            return rows.reshape(-1, h, w, c).permute(0, 3, 1, 2)
        return rows.reshape(-1, c, h, w)

"""Parameter-free functions on features in either graph form, and on their memory layout.

The forms are those of :mod:`.conv`: (B, C, T, H, W), and (B·T, C, H, W) with time folded into the
batch. Frames may be stored channels-last (C innermost); most changes of axes are then views of the
same memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sum_shifted(steps: list[Tensor], num_frames: int) -> Tensor:
    """Sum ``steps[k]``, each (B·T, C, H, W), where step k is read ``k − centre`` frames later.

    Frames beyond either end of a clip count as zero; clips do not mix.
    """
    first = steps[0]
    centre = len(steps) // 2
    channels_last = first.is_contiguous(memory_format=torch.channels_last)
    rows = [fold_pixels(step, num_frames, channels_last) for step in steps]
    total = rows[centre]
    in_place = may_overwrite()
    for k, row in enumerate(rows):
        shift = k - centre
        if shift == 0 or abs(shift) >= num_frames:
            continue
        kept = row[:, shift:] if shift > 0 else row[:, :shift]
        if in_place:
            (total[:, :-shift] if shift > 0 else total[:, -shift:]).add_(kept)
        else:
            total = total + F.pad(kept, (0, 0, max(-shift, 0), max(shift, 0)))
    n, c, h, w = first.shape
    if channels_last:
        return total.view(n, h, w, c).permute(0, 3, 1, 2)
    return total.view(n, c, h, w)


def is_channels_last(x: Tensor) -> bool:
    """Whether frames (B·T, C, H, W) are stored with C innermost."""
    return x.is_contiguous(memory_format=torch.channels_last)


def repeat_channels(x: Tensor, times: int) -> Tensor:
    """Repeat each channel of channels-last (B·T, C, H, W), copies side by side."""
    if times == 1:
        return x
    n, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).unsqueeze(-1).expand(-1, -1, -1, -1, times)
    return rows.reshape(n, h, w, c * times).permute(0, 3, 1, 2)


def frames_to_volume(x: Tensor, num_frames: int) -> Tensor:
    """View channels-last (B·T, C, H, W) as (B, C, T, H, W), without a copy."""
    n, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(n // num_frames, num_frames, h, w, c)
    return rows.permute(0, 4, 1, 2, 3)


def volume_to_frames(x: Tensor) -> Tensor:
    """Undo :func:`frames_to_volume`; no copy where C is innermost in memory."""
    return x.permute(0, 2, 3, 4, 1).flatten(0, 1).permute(0, 3, 1, 2)


def may_overwrite() -> bool:
    """Whether a fresh tensor may be changed in place: no autograd, no tracing.

    In-place operations save memory traffic; exporters would turn them into scatter operations.
    """
    return not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def fold_pixels(x: Tensor, num_frames: int, channels_last: bool) -> Tensor:
    """View (B·T, C, H, W) as (B, T, C·H·W) in memory order, without a copy."""
    n = x.shape[0]
    if channels_last:
        x = x.permute(0, 2, 3, 1)
    return x.reshape(n // num_frames, num_frames, -1)


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of ``groups`` equal groups (ShuffleNet, arXiv 1707.01083)."""
    if groups == 1:
        return x
    n, c = x.shape[:2]
    # Pixels are folded so that no tensor has more than four axes.
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        rows = x.permute(0, 2, 3, 1)
        dealt = rows.reshape(n, -1, groups, c // groups).transpose(2, 3)
        return dealt.reshape(rows.shape).permute(0, 3, 1, 2)
    return x.reshape(n, groups, c // groups, -1).transpose(1, 2).reshape(x.shape)


def drop_path(x: Tensor, rate: float, training: bool, num_frames: int) -> Tensor:
    """Stochastic depth: zero the residual of random clips and scale up the others.

    Source: arXiv 1603.09382. ``x`` is a token tensor (B, M, D) or features in either form; all
    frames of a clip are kept or dropped together.
    """
    if not training or rate == 0.0:
        return x
    repeats = num_frames if x.dim() == 4 else 1
    keep = torch.rand(x.shape[0] // repeats, device=x.device) >= rate
    scale = keep.to(x.dtype) / (1.0 - rate)
    return x * scale.repeat_interleave(repeats).view(-1, *[1] * (x.dim() - 1))

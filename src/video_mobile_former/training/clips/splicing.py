"""Streams for training, spliced from the clips of a batch.

A camera does not start anew when something else happens. Clips of a batch, of whatever source, are
put one after another and every frame keeps the label of its clip. Where a stream begins within its
first clip is random, so that an update of the model comes at any moment of an action.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_PURPOSE = 0x5B11CE
"""Keeps these random numbers apart from others of the same place."""


@dataclass(frozen=True)
class Streams:
    """Streams with labels by frame."""

    frames: Tensor
    """(S, 3, L, H, W)."""
    targets: Tensor
    """(S, L) int64, or (S, L, K) float32 of multi-label and mixed clips."""
    since: Tensor
    """(S, L) int64: frames since the clip that is seen began."""
    clip_frames: int
    """Frames of one clip."""


def splice(clips: Tensor, targets: Tensor, number: int, place: Sequence[int]) -> Streams:
    """Put clips one after another, ``number`` to a stream.

    A stream begins at a random frame of its first clip; what it leaves out there stands at its end,
    so that no frame is lost. Of clips that make no whole stream at the end, none is used; fewer
    than ``number`` clips make one shorter stream.

    Args:
        clips: (B, 3, T, H, W).
        targets: (B,) int64, or (B, K) float32.
        number: Clips of a stream, at least 1; with 1 streams are the clips, from their first frame.
        place: Seed, epoch, batch and process, which decide what is random.
    """
    count, length = clips.shape[0], clips.shape[2]
    number = max(1, min(number, count))
    streams = count // number
    kept = streams * number
    frames = clips[:kept].unflatten(0, (streams, number)).transpose(1, 2).flatten(2, 3)
    labels = targets[:kept].unflatten(0, (streams, number)).repeat_interleave(length, dim=1)
    since = torch.arange(length, device=clips.device).repeat(streams, number)
    if number > 1:
        seeds = np.random.default_rng(np.random.SeedSequence([*place, _PURPOSE]))
        first = torch.as_tensor(seeds.integers(0, length, streams), device=clips.device)
        order = torch.arange(number * length, device=clips.device) + first[:, None]
        order = order % (number * length)
        row = torch.arange(streams, device=clips.device)[:, None]
        frames = frames.transpose(1, 2)[row, order].transpose(1, 2)
        labels, since = labels[row, order], since[row, order]
    return Streams(frames, labels, since, length)

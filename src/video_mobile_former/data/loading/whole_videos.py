"""Whole videos, a part at a time, so that a long one needs no more memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ...clip_spec import ClipSpec
from ...console import track
from ..index.index import ClipIndex
from ..limits import Limits
from ..video.backend import Reading
from . import sampling
from .dataset import Batch, ClipDataset, PartOfSample
from .loader import make_loader

FRAMES_AT_ONCE = 512
"""Frames of a part, each crop for itself: 77 MB at 224² pixels."""


class WholeVideos(ClipDataset):
    """As many views as see the whole of each video, as :func:`~.sampling.full_views` says.

    An item has as many of them as fit in memory, and ``of_views`` is the number that the video
    has. Batches are of one video, since each has its own number of views.

    Args:
        index: Clips and labels.
        spec: What the model takes.
        num_crops: Crops per view, at least 1.
        parts: Which part of each clip, from 0; None takes the first of all.
        limits: Limits on reading one part; None takes the defaults.
        reading: Decode backend, and frame rate of folders of pictures; None takes the defaults.
    """

    def __init__(
        self,
        index: ClipIndex,
        spec: ClipSpec,
        *,
        num_crops: int = 1,
        parts: Sequence[int] | None = None,
        limits: Limits | None = None,
        reading: Reading | None = None,
    ):
        super().__init__(
            index, spec, train=False, num_crops=num_crops, limits=limits, reading=reading
        )
        self.parts = parts
        self.views_at_once = max(1, FRAMES_AT_ONCE // (spec.num_frames * num_crops))

    def _views(
        self, i: int, times: np.ndarray, generator: torch.Generator
    ) -> tuple[list[np.ndarray], PartOfSample]:
        count = sampling.full_views(times, self.spec)
        first = self.views_at_once * (self.parts[i] if self.parts else 0)
        chosen = range(first, min(first + self.views_at_once, count))
        return sampling.views(times, self.spec, count, chosen), {"of_views": count}


def whole_videos(
    index: ClipIndex,
    spec: ClipSpec,
    *,
    num_crops: int = 1,
    num_workers: int | None = None,
    reading: Reading | None = None,
) -> Iterator[Batch]:
    """All views that see the whole of each video, with a progress bar.

    Args:
        index: Clips and labels.
        spec: What the model takes.
        num_crops: Crops per view, at least 1.
        num_workers: Processes that decode; None takes the usable cores, at most 8.
        reading: Decode backend, and frame rate of folders of pictures; None takes the defaults.

    Yields:
        Batches of one video: the first part of each in the order of the index, then what is left
        of the longer ones. ``indices`` are positions in ``index`` throughout.
    """
    dataset = WholeVideos(index, spec, num_crops=num_crops, reading=reading)
    loader = make_loader(dataset, batch_size=1, num_workers=num_workers, give_up=False)
    left: list[tuple[int, int]] = []
    for batch in track(loader, description="evaluate", total=len(loader)):
        for i, count in batch.get("of_views", {}).items():
            num_parts = -(-count // dataset.views_at_once)
            left += [(i, part) for part in range(1, num_parts)]
        yield batch
    if not left:
        return
    del loader  # its processes would wait beside those of the next one
    rows = np.array([i for i, _ in left])
    later = WholeVideos(
        dataclasses.replace(index, clips=index.table.take(rows)),
        spec,
        num_crops=num_crops,
        parts=[part for _, part in left],
        reading=reading,
    )
    rest = make_loader(later, batch_size=1, num_workers=num_workers, give_up=False)
    for batch in track(rest, description="rest of long videos", total=len(rest)):
        batch["indices"] = batch["indices"].new_tensor(rows[batch["indices"].numpy()])
        batch["failures"] = [
            dataclasses.replace(failure, index=int(rows[failure.index]))
            for failure in batch["failures"]
        ]
        yield batch

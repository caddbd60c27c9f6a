"""Scoring all views of every clip of a data set."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.index.index import ClipIndex
from ..data.loading.dataset import Batch, ClipFailure
from ..errors import CheckpointError, UserError, VideoError
from ..inference.scorer import Scorer

_MAX_EMPTY = 20
"""Consecutive batches without a readable clip that stop the run, as when a disk is gone."""


@dataclass(frozen=True)
class Scores:
    """The model's scores for the clips of an index, in their order."""

    probabilities: Tensor
    """``(N, K)`` float32, averaged over views."""
    labels: Tensor
    """``(N,)`` int64, or for a multi-label index ``(N, K)`` float32 with a 1 for each class."""
    num_padded: int
    """Clips shorter than the model's, padded with their last frame."""
    mean_views: float
    """Views of all clips together, crops included."""
    seconds: float
    """Time from the first file opened to the last score, decoding included."""
    failures: tuple[ClipFailure, ...] = ()
    """Clips that cannot be read; the tensors exclude them."""
    kept: tuple[int, ...] | None = None
    """Positions in the index of the readable clips, where some are not."""


def score_clips(
    scorer: Scorer,
    batches: Iterable[Batch],
    index: ClipIndex,
    *,
    freeze_frames: int | None = None,
) -> Scores:
    """Score all clips that can be read.

    Args:
        scorer: The model.
        batches: All clips of ``index``, in any order; a clip may come in several parts, each with
            some of its views.
        index: The clips.
        freeze_frames: Position k in [0, T): every frame of a clip is replaced by its k-th one, so
            that nothing moves; None leaves clips unchanged.

    Returns:
        Probabilities and labels.

    Raises:
        VideoError: If more than half of the clips, or all of 20 batches in a row, cannot be read;
            names the first one and why.
        CheckpointError: If the numbers of classes of model and index differ, or scores are not
            finite.
    """
    check_frozen_frame(freeze_frames, scorer.clip.num_frames)
    sums = torch.zeros(len(index), len(index.class_names))
    num_views = torch.zeros(len(index), dtype=torch.int64)
    labels = torch.zeros(sums.shape if index.multi_label else len(index), dtype=_kind(index))
    num_padded = 0
    start = time.perf_counter()
    failed: dict[int, ClipFailure] = {}
    empty = 0
    for batch in batches:
        for failure in batch["failures"]:
            failed.setdefault(failure.index, failure)
        empty = 0 if len(batch["indices"]) else empty + 1
        _refuse(failed, len(index), empty)
        clips, places = batch["clips"], batch["indices"]
        if not len(places):
            continue
        if freeze_frames is not None:
            clips = freeze(clips, freeze_frames)
        scores = scorer.mean_of_views(clips)
        _check_scores(scores, batch, index)
        views = clips.shape[1]
        sums[places] += views * scores
        num_views[places] += views
        labels[places] = batch["labels"]
        num_padded += len(batch["padded"])
    kept = None
    if failed:  # also clips with a readable first part and an unreadable later one
        kept = tuple(i for i in range(len(index)) if i not in failed)
        sums, num_views, labels = (x[list(kept)] for x in (sums, num_views, labels))
    return Scores(
        probabilities=scorer.finished(sums / num_views[:, None]),
        labels=labels,
        num_padded=num_padded,
        mean_views=float(num_views.double().mean()),
        seconds=time.perf_counter() - start,
        failures=tuple(failed[i] for i in sorted(failed)),
        kept=kept,
    )


def _refuse(failed: dict[int, ClipFailure], clips: int, empty: int) -> None:
    """Raise where most clips cannot be read: accuracy on the others would be misleading."""
    if len(failed) <= clips / 2 and empty < _MAX_EMPTY:
        return
    first = failed[min(failed)]
    more = f" ({len(failed)} of {clips} clips cannot be read)" if clips > 1 else ""
    raise VideoError(first.path, first.reason + more)


def _kind(index: ClipIndex) -> torch.dtype:
    return torch.float32 if index.multi_label else torch.int64


def freeze(clips: Tensor, k: int) -> Tensor:
    """Replace every frame by the k-th one.

    Args:
        clips: ``(..., 3, T, H, W)``.
        k: In [0, T).

    Returns:
        The same shape; a view that takes no memory.
    """
    return clips[..., k : k + 1, :, :].expand_as(clips)


def check_frozen_frame(freeze_frames: int | None, num_frames: int) -> None:
    """Check that a clip has the frame to freeze at.

    Raises:
        UserError: If it is out of range.
    """
    if freeze_frames is not None and not 0 <= freeze_frames < num_frames:
        raise UserError(
            f"the frame to freeze at must lie between 0 and {num_frames - 1} for clips of "
            f"{num_frames} frames, not {freeze_frames}"
        )


def _check_scores(scores: Tensor, batch: Batch, index: ClipIndex) -> None:
    if scores.shape[1] != len(index.class_names):
        raise CheckpointError(
            f"the model has {scores.shape[1]} classes, {index.source} has "
            f"{len(index.class_names)}: they do not belong together"
        )
    bad = (~scores.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if bad:
        clip = index.clips[int(batch["indices"][bad[0]])]
        raise CheckpointError(
            f"the model's scores for {clip.name or clip.path} are not finite: its weights are "
            "damaged or training diverged"
        )

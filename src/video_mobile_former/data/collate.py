"""How several clips make a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from .dataset import Batch, ClipFailure, ClipSample, PartsOfBatch, ToAugment
from .transforms import stack_parameters


def collate(items: Sequence[ClipSample | ClipFailure]) -> Batch:
    """Stack the items that could be read and list those that could not."""
    good = [item for item in items if not isinstance(item, ClipFailure)]
    parameters = [item["parameters"] for item in good if "parameters" in item]
    later: ToAugment = {"parameters": stack_parameters(parameters)} if parameters else {}
    of_views = {item["index"]: item["of_views"] for item in good if "of_views" in item}
    parts: PartsOfBatch = {"of_views": of_views} if of_views else {}
    return Batch(
        clips=_stack_clips([item["clip"] for item in good]),
        labels=_stack_labels([item["label"] for item in good]),
        indices=torch.tensor([item["index"] for item in good], dtype=torch.int64),
        failures=[item for item in items if isinstance(item, ClipFailure)],
        held=[item["index"] for item in good if item["held"]],
        **later,
        **parts,
    )


def _stack_clips(clips: Sequence[Tensor]) -> Tensor:
    if not clips:
        return torch.empty((0, 0, 3, 0, 0, 0), dtype=torch.uint8)
    out = clips[0].new_empty(0)
    if get_worker_info() is not None:
        # Memory that the main process maps: else the batch would be copied there afterwards.
        storage = torch.UntypedStorage._new_shared(len(clips) * clips[0].numel())
        shape = (len(clips), *clips[0].shape)
        out = out.set_(storage, 0, shape)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return torch.stack(list(clips), out=out)


def _stack_labels(labels: Sequence[int | Tensor]) -> Tensor:
    rows = [label for label in labels if isinstance(label, Tensor)]
    if rows:
        return torch.stack(rows)
    return torch.tensor(labels, dtype=torch.int64)

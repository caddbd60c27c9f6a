"""Measuring the model on the validation clips while training, one centred view of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..data.loading.dataset import Batch
from ..data.transforms import normalize
from ..inference.scorer import probabilities
from .run.interrupt import StopTraining
from .tally import Gather, LossTally, Measured, MultiLabelTally, SingleLabelTally, Tally


@torch.no_grad()
def validate(
    model: Any,
    batches: Iterable[Batch],
    *,
    num_classes: int,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[Any]],
    world_size: int = 1,
    stop: Callable[[], bool] = lambda: False,
    families: Sequence[str] | None = None,
    errors: Callable[[Batch, int], Tensor] | None = None,
) -> Measured:
    """Measure a model on clips with one or more views each, whose probabilities are averaged.

    Args:
        model: Takes normalised clips and has a ``clip``; with a true ``multi_label`` it is
            measured as such. Its mode is put back afterwards.
        batches: The clips of this process.
        num_classes: Number of logits.
        device: Where the model is.
        autocast: Makes the context of the forward pass.
        world_size: Processes that share the clips; all get the same result.
        stop: Asked at every batch.
        families: Family of each class, for accuracies of these; None of data without.
        errors: In place of classes: gives the losses (B,) of a batch with this number.

    Raises:
        StopTraining: As soon as ``stop`` says so, in any process.
    """
    several = model.multi_label
    tally: Tally
    if errors is not None:
        tally = LossTally()
    else:
        tally = MultiLabelTally(num_classes) if several else SingleLabelTally(num_classes, families)
    failed, names = 0, []
    was_training = model.training
    model.eval()
    stopped = False
    for number, batch in enumerate(batches):
        stopped = stop()
        if stopped:
            break
        failed += len(batch["failures"])
        names += [str(failure) for failure in batch["failures"]]
        if not len(batch["labels"]):
            continue
        if errors is not None:
            with autocast():
                tally.add(errors(batch, number).float().cpu(), batch["labels"])
            continue
        clips = batch["clips"].to(device)
        with autocast():
            logits = model(normalize(clips.flatten(0, 1), model.clip))
        scores = probabilities(logits.float(), multi_label=several)
        scores = scores.unflatten(0, clips.shape[:2]).mean(1)  # (B, V, K) to (B, K)
        tally.add(scores.cpu(), batch["labels"].cpu())
    model.train(was_training)
    about = torch.tensor([failed, stopped], dtype=torch.float64)
    shared = torch.cat([tally.sums(), about])
    if world_size > 1:
        shared = shared.to(device)
        dist.all_reduce(shared)
        shared = shared.cpu()
    if shared[-1]:
        raise StopTraining
    return tally.result(shared[:-2], int(shared[-2]), names[:3], Gather(world_size, device))

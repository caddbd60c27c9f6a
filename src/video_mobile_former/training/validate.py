"""Measuring the model on the validation clips while training, one centred view of each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F

from ..clip import ClipSpec
from ..data.dataset import Batch
from ..data.transforms import normalize
from .interrupt import StopTraining


@dataclass(frozen=True)
class Measured:
    """Accuracy on the validation clips; shares in [0, 1]."""

    top1: float
    top5: float
    mean_class: float
    """Mean over the classes present of each one's top-1."""
    loss: float
    """Mean cross-entropy without label smoothing."""
    clips: int
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    """The first clips of this process that cannot be read."""

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint says of it, as JSON data."""
        values = dataclasses.asdict(self)
        del values["failures"]
        return {**values, "views": 1}

    def better_than(self, best: dict[str, Any] | None) -> bool:
        """Whether top-1, or with equal top-1 the loss, beats ``best``."""
        if best is None:
            return True
        return (self.top1, -self.loss) > (best["top1"], -best["loss"])


@torch.no_grad()
def measure(
    model: Any,
    batches: Iterable[Batch],
    *,
    num_classes: int,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[Any]],
    world_size: int = 1,
    stop: Callable[[], bool] = lambda: False,
) -> Measured:
    """Measure a model on clips with one or more views each, whose logits are averaged as scores.

    Args:
        model: Takes normalised clips and has a ``clip``; its mode is put back afterwards.
        batches: The clips of this process.
        num_classes: Number of logits.
        device: Where the model is.
        autocast: Makes the context of the forward pass.
        world_size: Processes that share the clips; all get the same result.
        stop: Asked at every batch.

    Raises:
        StopTraining: As soon as ``stop`` says so, in any process.
    """
    # Rows: clips of each class, correct ones, correct within five; then loss and failures.
    sums = torch.zeros(3, num_classes, dtype=torch.float64)
    loss, failed, names = 0.0, 0, []
    was_training = model.training
    model.eval()
    stopped = False
    for batch in batches:
        stopped = stop()
        if stopped:
            break
        failed += len(batch["failures"])
        names += [str(failure) for failure in batch["failures"]]
        if not len(batch["labels"]):
            continue
        scores = _scores(model, batch["clips"].to(device), model.clip, autocast)
        labels = batch["labels"]
        loss += F.nll_loss(scores.clamp_min(1e-12).log(), labels, reduction="sum").item()
        order = scores.argsort(dim=1, descending=True, stable=True)
        hits = order == labels[:, None]
        for row, right in enumerate((hits.any(1), hits[:, 0], hits[:, :5].any(1))):
            sums[row].index_add_(0, labels, right.double())
    model.train(was_training)
    shared = torch.cat([sums.flatten(), torch.tensor([loss, failed, stopped], dtype=sums.dtype)])
    if world_size > 1:
        shared = shared.to(device)
        dist.all_reduce(shared)
        shared = shared.cpu()
    if shared[-1]:
        raise StopTraining
    return _summary(shared, num_classes, names)


def _scores(
    model: Any,
    clips: torch.Tensor,
    spec: ClipSpec,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> torch.Tensor:
    """Class probabilities (B, C) of uint8 clips (B, V, 3, T, H, W), averaged over views."""
    batch, views = clips.shape[:2]
    with autocast():
        logits = model(normalize(clips.flatten(0, 1), spec))
    return logits.float().softmax(-1).unflatten(0, (batch, views)).mean(1).cpu()


def _summary(shared: torch.Tensor, num_classes: int, names: list[str]) -> Measured:
    present, top1, top5 = shared[: 3 * num_classes].view(3, num_classes)
    loss, failed, _ = shared[3 * num_classes :].tolist()
    clips = int(present.sum())
    if not clips:
        nothing = math.nan
        return Measured(nothing, nothing, nothing, nothing, 0, int(failed), names[:3])
    per_class = (top1 / present)[present > 0]
    return Measured(
        top1=float(top1.sum()) / clips,
        top5=float(top5.sum()) / clips,
        mean_class=float(per_class.mean()),
        loss=loss / clips,
        clips=clips,
        failed=int(failed),
        failures=names[:3],
    )

"""Adding up what a model says about the validation clips, over batches and processes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from ..errors import RecipeError
from ..evaluation.metrics.average_precision import average_precisions
from .recipe.fields import Recipe

BestBy = Literal["top1", "mean_class", "map", "loss"]

BEST_NAMES: dict[str, str] = {
    "top1": "top-1",
    "mean_class": "mean per class",
    "map": "mAP",
    "loss": "loss",
}
"""What a person is told of each way to find the best checkpoint."""


@dataclass(frozen=True)
class Measured:
    """How good a model is on the validation clips; shares in [0, 1], None where none is."""

    top1: float | None
    top5: float | None
    mean_class: float | None
    """Mean over the classes present of each one's top-1."""
    loss: float
    """Mean cross-entropy, of multi-label data mean binary cross-entropy; without label smoothing
    and class weights."""
    clips: int
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    """The first clips of this process that cannot be read."""
    map: float | None = None
    """Multi-label: mean of the average precisions of the classes that have clips."""
    map_classes: int | None = None
    """How many classes those are."""
    families: dict[str, float] | None = None
    """Drawn clips: top-1 of the clips of each family."""

    def scores(self) -> dict[str, float]:
        """What was measured, under the names of the columns of the log."""
        values = {name: getattr(self, name) for name in ("top1", "top5", "mean_class", "map")}
        return {k: v for k, v in values.items() if v is not None} | {"loss": self.loss}

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint says of it, as JSON data."""
        values = dataclasses.asdict(self)
        del values["failures"]
        return {k: v for k, v in values.items() if v is not None} | {"views": 1}

    def better_than(self, best: dict[str, Any] | None, by: BestBy = "top1") -> bool:
        """Whether ``by``, or where that is equal the loss, beats ``best``."""
        if best is None:
            return True
        now = self.to_dict()
        sign = -1 if by == "loss" else 1
        return (sign * now[by], -now["loss"]) > (sign * best[by], -best["loss"])


FEW_CLIPS = 50
"""Below so many validation clips one clip is 2 points or more of top-1, and the best of many epochs
is the luckiest rather than the best."""


def newest_is_best(recipe: Recipe, val_clips: int, *, labels: bool = True) -> bool:
    """Whether validation only measures, and ``best`` is whatever is newest.

    Args:
        recipe: What is asked for.
        val_clips: How many clips are validated on.
        labels: Whether classes are learned.

    Returns:
        True where the recipe says ``last``, and by ``auto`` of few clips with classes, unless the
        run is to stop early, which takes something that can get worse.
    """
    train = recipe.train
    few = labels and val_clips < FEW_CLIPS and not train.patience
    return train.best_by == "last" or (train.best_by == "auto" and few)


def best_by(
    recipe: Recipe, *, multi_label: bool, labels: bool = True, val_clips: int = FEW_CLIPS
) -> BestBy:
    """What decides which checkpoint of a run is the best, and is shown of each.

    Args:
        recipe: What is asked for.
        multi_label: Whether a clip may have several classes.
        labels: Whether classes are learned.
        val_clips: How many clips are validated on; by ``auto``, few of them decide by the loss, or
            decide nothing, see :func:`newest_is_best`.

    Raises:
        RecipeError: If the recipe asks for something that the data does not have.
    """
    by = recipe.train.best_by
    if not labels:
        if by not in ("auto", "loss", "last"):
            raise RecipeError(f"train.best_by {by}: without labels there is only the loss")
        return "loss"
    if by == "auto" and recipe.train.patience and val_clips < FEW_CLIPS:
        return "loss"
    if by in ("auto", "last"):
        balanced = recipe.data.class_balanced or recipe.optim.class_weights != "none"
        return "map" if multi_label else "mean_class" if balanced else "top1"
    if by != "loss" and (by == "map") != multi_label:
        have, may = ("multi-label", "map") if multi_label else ("single-label", "top1, mean_class")
        raise RecipeError(f"train.best_by {by}: the data is {have}; use auto, {may} or loss")
    return by


class Tally(Protocol):
    """Takes the scores of one batch after the other."""

    def add(self, scores: Tensor, labels: Tensor) -> None:
        """Count a batch.

        Args:
            scores: (B, K) float32 probabilities, on the CPU.
            labels: As in :class:`~video_mobile_former.data.loading.dataset.Batch`.
        """
        ...

    def sums(self) -> Tensor:
        """What the processes add up: a vector of float64, as long in each of them."""
        ...

    def result(self, total: Tensor, failed: int, failures: list[str], gather: Gather) -> Measured:
        """Sum up.

        Args:
            total: :meth:`sums`, added up over all processes.
            failed: Clips of all processes that cannot be read.
            failures: The first of this process.
            gather: To be called by all processes alike.
        """
        ...


class SingleLabelTally:
    """Accuracies of clips that have one class each; sums are all it needs."""

    def __init__(self, num_classes: int, families: Sequence[str] | None = None):
        self._families = families
        # Rows: clips of each class, correct ones, correct within five.
        self._hits = torch.zeros(3, num_classes, dtype=torch.float64)
        self._loss = 0.0

    def add(self, scores: Tensor, labels: Tensor) -> None:
        """See :class:`Tally`."""
        self._loss += F.nll_loss(scores.clamp_min(1e-12).log(), labels, reduction="sum").item()
        order = scores.argsort(dim=1, descending=True, stable=True)
        hits = order == labels[:, None]
        for row, right in enumerate((hits.any(1), hits[:, 0], hits[:, :5].any(1))):
            self._hits[row].index_add_(0, labels, right.double())

    def sums(self) -> Tensor:
        """See :class:`Tally`."""
        return torch.cat([self._hits.flatten(), torch.tensor([self._loss], dtype=torch.float64)])

    def result(self, total: Tensor, failed: int, failures: list[str], gather: Gather) -> Measured:
        """See :class:`Tally`."""
        present, top1, top5 = total[:-1].view(3, -1)
        clips = int(present.sum())
        if not clips:
            none = math.nan
            return Measured(none, none, none, none, 0, failed, failures)
        return Measured(
            top1=float(top1.sum()) / clips,
            top5=float(top5.sum()) / clips,
            mean_class=float((top1 / present)[present > 0].mean()),
            loss=float(total[-1]) / clips,
            clips=clips,
            failed=failed,
            failures=failures,
            families=self._by_family(present, top1),
        )

    def _by_family(self, present: Tensor, right: Tensor) -> dict[str, float] | None:
        if self._families is None:
            return None
        found: dict[str, float] = {}
        for family in dict.fromkeys(self._families):
            mine = torch.tensor([name == family for name in self._families])
            if present[mine].sum():
                found[family] = float(right[mine].sum() / present[mine].sum())
        return found


class LossTally:
    """The mean loss of clips that have no labels."""

    def __init__(self) -> None:
        self._sums = torch.zeros(2, dtype=torch.float64)

    def add(self, scores: Tensor, labels: Tensor) -> None:
        """See :class:`Tally`; the scores are losses (B,)."""
        self._sums += torch.tensor([len(scores), scores.double().sum()], dtype=torch.float64)

    def sums(self) -> Tensor:
        """See :class:`Tally`."""
        return self._sums

    def result(self, total: Tensor, failed: int, failures: list[str], gather: Gather) -> Measured:
        """See :class:`Tally`."""
        clips = int(total[0])
        loss = float(total[1]) / clips if clips else math.nan
        return Measured(None, None, None, loss, clips, failed, failures)


class MultiLabelTally:
    """Mean average precision, which needs the scores of all clips in one place."""

    def __init__(self, num_classes: int):
        self._scores = [torch.zeros(0, num_classes)]
        self._targets = [torch.zeros(0, num_classes)]
        self._loss = 0.0

    def add(self, scores: Tensor, labels: Tensor) -> None:
        """See :class:`Tally`."""
        # Scores of exactly 0 and 1 would make the loss infinite.
        inside = scores.double().clamp(1e-12, 1 - 1e-12)
        right = torch.where(labels > 0, inside, 1 - inside)
        self._loss -= right.log().sum().item()
        self._scores.append(scores)
        self._targets.append(labels)

    def sums(self) -> Tensor:
        """See :class:`Tally`."""
        clips = sum(map(len, self._scores))
        return torch.tensor([clips, self._loss], dtype=torch.float64)

    def result(self, total: Tensor, failed: int, failures: list[str], gather: Gather) -> Measured:
        """See :class:`Tally`."""
        both = gather(torch.cat([torch.cat(self._scores), torch.cat(self._targets)], dim=1))
        scores, targets = both.chunk(2, dim=1)
        clips = int(total[0])
        precisions = average_precisions(scores, targets > 0)
        precisions = precisions[~precisions.isnan()]
        return Measured(
            top1=None,
            top5=None,
            mean_class=None,
            loss=float(total[1]) / scores.numel() if clips else math.nan,
            clips=clips,
            failed=failed,
            failures=failures,
            # Without any label there is nothing to rank; 0 keeps the run comparable with itself.
            map=float(precisions.mean()) if len(precisions) else 0.0,
            map_classes=len(precisions),
        )


class Gather:
    """Puts the rows of all processes end to end, those of the first process first.

    Args:
        world_size: Processes; 1 hands back what it gets.
        device: Where the processes exchange tensors.
    """

    def __init__(self, world_size: int, device: torch.device):
        self.world_size, self.device = world_size, device

    def __call__(self, rows: Tensor) -> Tensor:
        """Gather ``(n, K)`` rows, n of each process its own; on the CPU."""
        if self.world_size == 1:
            return rows
        counts = torch.zeros(self.world_size, dtype=torch.int64, device=self.device)
        counts[dist.get_rank()] = len(rows)
        dist.all_reduce(counts)
        # All have to send as much: the shorter ones are filled up.
        filled = torch.zeros(int(counts.max()), rows.shape[1], device=self.device)
        filled[: len(rows)] = rows
        found = [torch.empty_like(filled) for _ in range(self.world_size)]
        dist.all_gather(found, filled)
        return torch.cat([part[:n] for part, n in zip(found, counts.tolist(), strict=True)]).cpu()

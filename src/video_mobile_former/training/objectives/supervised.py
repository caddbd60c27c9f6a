"""Supervised learning: the classes of the data, with weights, smoothing and mixed clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch.nn.functional as F
from torch import Tensor

from ...errors import RecipeError
from ..clips.inputs import mixing
from ..clips.mixing import dense_targets
from ..recipe.fields import Recipe
from .objective import Beside, Figures, OnePass, Pass

LossKind = Literal["cross_entropy", "bce"]


class Supervised(OnePass):
    """Learns the classes of clips.

    Args:
        recipe: Kind of the loss, label smoothing, how clips are mixed.
        model: Tells whether a clip may have several classes.
        class_weights: ``(num_classes,)`` float32; None is 1 for all.
        beside: Losses beside.
    """

    labels = True

    def __init__(
        self,
        recipe: Recipe,
        model: Any,
        class_weights: Tensor | None = None,
        beside: Sequence[Beside] = (),
    ):
        super().__init__(beside, mixing(recipe.augment))
        self.kind: LossKind = loss_kind(recipe.optim.loss, multi_label=model.multi_label)
        self.label_smoothing = recipe.optim.label_smoothing
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.figures = () if model.multi_label else ("top1",)

    def loss(self, seen: Pass, logits: Tensor) -> Tensor:
        """The loss of the labels."""
        return classification_loss(
            logits,
            seen.targets,
            kind=self.kind,
            label_smoothing=self.label_smoothing,
            class_weights=cast("Tensor | None", self.class_weights),
        )

    def count(self, seen: Pass, logits: Tensor) -> Figures:
        """How many clips are told right; of a mixed clip the class that it has most of counts."""
        if not self.figures:
            return {}
        labels = seen.targets.argmax(1) if seen.targets.dim() == 2 else seen.targets
        return {"top1": (logits.argmax(1) == labels).sum()}


def classification_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    kind: LossKind = "cross_entropy",
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy, or binary cross-entropy of every class by itself.

    With class weights w, cross-entropy of a clip with targets t is ``-sum_c w_c t_c log p_c``, and
    the binary kind multiplies the part of the positives by w, both as in torch. The mean is then
    over the clips, not over their weights: whichever clips meet in a batch or a process, each pulls
    equally hard. Weights with a mean of 1 over the training labels keep the loss's scale.

    Args:
        logits: (B, num_classes), B at least 1; taken as float32 whatever autocast made of them.
        targets: (B,) int64 classes, or (B, num_classes) float in [0, 1]: shares of classes that sum
            to 1 (mixed clips), or for ``"bce"`` any number of classes of each clip.
        kind: ``"cross_entropy"`` or ``"bce"``.
        label_smoothing: Share of the targets spread evenly over the classes, 0 to below 1
            (arXiv 1512.00567).
        class_weights: (num_classes,) float32, at least 0; None is 1 for all.

    Returns:
        The mean over the batch, for ``"bce"`` also over the classes; a scalar.
    """
    logits = logits.float()
    if kind == "bce":
        targets = dense_targets(targets, logits.shape[1])
        targets = targets * (1 - label_smoothing) + label_smoothing / logits.shape[1]
        return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=class_weights)
    if class_weights is None:
        return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    # torch's own mean divides by the weights of the classes in the batch.
    return F.cross_entropy(
        logits, targets, weight=class_weights, label_smoothing=label_smoothing, reduction="none"
    ).mean()


def loss_kind(choice: Literal["auto", "cross_entropy", "bce"], *, multi_label: bool) -> LossKind:
    """The loss that a recipe's ``optim.loss`` means for the data.

    Raises:
        RecipeError: For cross-entropy on multi-label data.
    """
    if choice == "auto":
        return "bce" if multi_label else "cross_entropy"
    if choice == "cross_entropy" and multi_label:
        raise RecipeError(
            "optim.loss cross_entropy needs one class of each clip, and the data is multi-label; "
            "use bce or auto"
        )
    return choice

"""The training loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import RecipeError

LossKind = Literal["cross_entropy", "bce"]


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


def dense_targets(targets: Tensor, num_classes: int) -> Tensor:
    """Classes as rows of 0 and 1; targets that have rows already are left as they are.

    Args:
        targets: (B,) int64, or (B, num_classes) float.
        num_classes: Length of a row.

    Returns:
        (B, num_classes) float32.
    """
    if targets.dim() == 1:
        targets = F.one_hot(targets, num_classes)
    return targets.float()


def zero_loss(parameters: Iterable[nn.Parameter]) -> Tensor:
    """A loss of 0 whose gradient is 0 for every trainable parameter.

    For a batch of which nothing could be read: with several processes each of them has to take
    part in the exchange of gradients, or the others wait for ever.
    """
    terms = [parameter.sum() * 0.0 for parameter in parameters if parameter.requires_grad]
    return sum(terms[1:], start=terms[0])

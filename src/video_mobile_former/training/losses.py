"""The training loss."""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn


def classification_loss(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy against labels that spread a share of their mass over all classes.

    Args:
        logits: (B, num_classes), B at least 1; taken as float32 whatever autocast made of them.
        labels: (B,) int64.
        label_smoothing: Share spread evenly over the classes, 0 to below 1 (arXiv 1512.00567).

    Returns:
        The mean over the batch, a scalar.
    """
    return F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)


def zero_loss(parameters: Iterable[nn.Parameter]) -> Tensor:
    """A loss of 0 whose gradient is 0 for every trainable parameter.

    For a batch of which nothing could be read: with several processes each of them has to take
    part in the exchange of gradients, or the others wait for ever.
    """
    terms = [parameter.sum() * 0.0 for parameter in parameters if parameter.requires_grad]
    return sum(terms[1:], start=terms[0])

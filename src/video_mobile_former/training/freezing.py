"""Fine-tuning that begins with the head alone, so that a new head does not spoil what is known.

A new head starts from random numbers, and its first gradients are as wrong as it is. As long as the
rest is frozen they end at the head; afterwards the rest learns from a head that fits (arXiv
2202.10054, linear probing before fine-tuning).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..models.shipped_weights import HEAD
from .recipe.fields import Recipe


def backbone(model: nn.Module) -> list[nn.Parameter]:
    """All parameters but those of the last linear layer."""
    return [p for name, p in model.named_parameters() if not name.startswith(HEAD)]


@contextmanager
def frozen_backbone(model: Any, frozen: bool = True) -> Iterator[None]:
    """Let only ``model.classifier`` learn from what is computed within, if it is to be ``frozen``.

    Norms of the rest use the statistics that they have and do not touch them; dropout and
    stochastic depth rest as well. The rest costs no more than in prediction.
    """
    if not frozen:
        yield
        return
    held = [p for p in backbone(model) if p.requires_grad]
    training = [module for module in model.modules() if module.training]
    model.eval()
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)
        for module in training:
            module.training = True


def norms_of(model: nn.Module) -> list[nn.Module]:
    """All modules whose statistics of batches :func:`keep_statistics` can keep."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def keep_statistics(norms: Iterable[nn.Module]) -> None:
    """Let norms use the statistics that they have, until something sets ``train()`` again."""
    for norm in norms:
        norm.training = False


def zero_loss(parameters: Iterable[nn.Parameter]) -> Tensor:
    """A loss of 0 whose gradient is 0 for every trainable parameter.

    For a batch of which nothing could be read: with several processes each of them has to take
    part in the exchange of gradients, or the others wait for ever.
    """
    terms = [parameter.sum() * 0.0 for parameter in parameters if parameter.requires_grad]
    return sum(terms[1:], start=terms[0])


def no_part(loss: Tensor, model: nn.Module) -> Tensor:
    """The same loss, with a gradient of 0 for the backbone: DDP waits for every parameter."""
    return loss + zero_loss(backbone(model))


def drop_gradients(model: nn.Module) -> None:
    """Leave the backbone without gradients, not with zeros, which optimisers would count."""
    for parameter in backbone(model):
        parameter.grad = None


def backbone_rate(epochs: float, recipe: Recipe) -> float:
    """What the backbone's learning rate is multiplied by.

    Args:
        epochs: How many are over; may be a fraction.
        recipe: For how many epochs the backbone is frozen, and over how many its rate rises then,
            as that of the head does from the start.

    Returns:
        A number in [0, 1]; 1 for a run without frozen epochs.
    """
    frozen, warmup = recipe.train.freeze_epochs, recipe.optim.warmup_epochs
    if not frozen:
        return 1.0
    since = epochs - frozen
    return 0.0 if since < 0 else min(1.0, since / warmup if warmup else 1.0)

"""AdamW with weight decay where it belongs, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .recipe_fields import OptimRecipe


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters into those with and those without weight decay.

    Args:
        model: Norms and biases are recognised by having one axis; whatever its
            ``no_weight_decay()``, if it has one, names is left alone as well.
        weight_decay: Decay of the rest, at least 0.

    Returns:
        Two groups for an optimiser, each with its ``weight_decay``.
    """
    named = getattr(model, "no_weight_decay", set)
    spared = set(named())
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            alone = parameter.ndim <= 1 or name in spared
            (plain if alone else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


def build_optimizer(model: nn.Module, recipe: OptimRecipe) -> torch.optim.AdamW:
    """Make AdamW (arXiv 1711.05101) for ``model``; its learning rate is set anew every step."""
    groups = parameter_groups(model, recipe.weight_decay)
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, fused=True)


def learning_rate(step: int, recipe: OptimRecipe, *, steps_per_epoch: int, epochs: int) -> float:
    """Give the learning rate of one optimiser step.

    Args:
        step: Steps taken before this one, from 0.
        recipe: Rate, warm-up and schedule.
        steps_per_epoch: Optimiser steps in an epoch, at least 1.
        epochs: Epochs of the whole run.

    Returns:
        A rise from ``lr / warm-up steps`` to ``lr``, then half a cosine down to ``min_lr`` (or
        ``lr`` throughout).
    """
    total = steps_per_epoch * epochs
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), total)
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    if recipe.schedule == "constant":
        return recipe.lr
    done = min((step - warmup) / max(total - warmup, 1), 1.0)
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * (1 + math.cos(math.pi * done)) / 2

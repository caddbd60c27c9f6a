"""AdamW or SGD with weight decay where it belongs, and the rate of a step and a layer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ..models.shipped_weights import HEAD
from .recipe.fields import OptimRecipe, Recipe

_BLOCK = re.compile(r"blocks\.(\d+)\.")
_FIRST = ("stem", "tokens")
"""What comes before the blocks in every network of the package."""


def parameter_groups(
    model: nn.Module, weight_decay: float, layer_decay: float = 1.0, *, head_apart: bool = False
) -> list[dict[str, Any]]:
    """Split the trainable parameters by weight decay and, on request, by depth.

    Args:
        model: Norms and biases are recognised by having one axis; whatever its
            ``no_weight_decay()``, if it has one, names is left alone as well.
        weight_decay: Decay of the rest, at least 0.
        layer_decay: Share of the learning rate that each layer keeps of the next one's, above 0
            to 1; see :func:`layer_scales`.
        head_apart: Whether the last linear layer has groups of its own, the others being marked
            as ``backbone``.

    Returns:
        Groups for an optimiser, each with its ``weight_decay`` and, as ``lr_scale``, what the
        learning rate is to be multiplied by. Without layer decay and ``head_apart`` exactly two,
        the second without weight decay; else for each depth that has parameters, from the stem up.
    """
    named = getattr(model, "no_weight_decay", set)
    spared = set(named())
    scales = layer_scales(model, layer_decay)
    found: dict[tuple[float, bool, bool], list[nn.Parameter]] = {}
    if layer_decay == 1 and not head_apart:
        found = {(1.0, False, False): [], (1.0, True, False): []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            alone = parameter.ndim <= 1 or name in spared
            before = head_apart and not name.startswith(HEAD)
            found.setdefault((scales[name], alone, before), []).append(parameter)
    return [
        {
            "params": found[scale, alone, before],
            "weight_decay": 0.0 if alone else weight_decay,
            "lr_scale": scale,
            "backbone": before,
        }
        for scale, alone, before in sorted(found)
    ]


def layer_scales(model: nn.Module, layer_decay: float) -> dict[str, float]:
    """Give what the learning rate of each parameter is multiplied by.

    Of a network with B blocks, the stem and the tokens have depth 0, ``blocks.N`` has depth
    N + 1, and all that follows (the head) B + 1; the scale is ``layer_decay ** (B + 1 - depth)``.

    Args:
        model: The family or a baseline, whose parameters have these names.
        layer_decay: Above 0 to 1.

    Returns:
        For each name of a parameter a number in (0, 1].
    """
    names = [name for name, _ in model.named_parameters()]
    blocks = {name: int(found[1]) for name in names if (found := _BLOCK.match(name))}
    head = max(blocks.values(), default=-1) + 2

    def depth(name: str) -> int:
        if name in blocks:
            return blocks[name] + 1
        return 0 if name.partition(".")[0] in _FIRST else head

    return {name: layer_decay ** (head - depth(name)) for name in names}


def build_optimizer(
    model: nn.Module,
    recipe: OptimRecipe,
    *,
    fused: bool = True,
    extra: nn.Module | None = None,
    head_apart: bool = False,
) -> torch.optim.Optimizer:
    """Make the optimiser for ``model``; the learning rates of its groups are set anew every step.

    Args:
        model: What is trained.
        recipe: Which optimiser, with its numbers.
        fused: Whether AdamW may take its step in one kernel. With fp16 such a step would also
            undo the scaling of the loss, too late for the gradient's norm to be limited.
        extra: Layers of training alone, which learn at the full rate.
        head_apart: See :func:`parameter_groups`.

    Source: AdamW is arXiv 1711.05101, Nesterov's momentum in SGD as torch has it.
    """
    groups = parameter_groups(model, recipe.weight_decay, recipe.layer_decay, head_apart=head_apart)
    if extra is not None:
        groups += parameter_groups(extra, recipe.weight_decay)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0
        )
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, fused=fused)


def set_rates(optimizer: Any, rate: float, backbone: float = 1.0) -> None:
    """Give every group its learning rate.

    Args:
        optimizer: One of :func:`build_optimizer`.
        rate: That of the whole, of which each group takes its ``lr_scale``.
        backbone: What it is multiplied by for groups marked as ``backbone``.
    """
    for group in optimizer.param_groups:
        scale = backbone if group.get("backbone") else 1.0
        group["lr"] = rate * scale * group.get("lr_scale", 1.0)


def step_batch(recipe: Recipe) -> int:
    """Videos in one optimiser step, of all processes together."""
    train = recipe.train
    return train.batch_size * train.accumulate * train.devices * train.nodes


def batch_scale(recipe: Recipe) -> float:
    """What ``optim.lr_batch`` multiplies all learning rates by (arXiv 1706.02677)."""
    return step_batch(recipe) / recipe.optim.lr_batch if recipe.optim.lr_batch else 1.0


_WARMUP_AGAIN = 0.1
"""Share of an extension that its warm-up takes at most."""


def learning_rate(
    step: int,
    recipe: OptimRecipe,
    *,
    steps_per_epoch: int,
    epochs: int,
    restarts: Sequence[int] = (),
) -> float:
    """Give the learning rate of one optimiser step, before any scaling by batch or layer.

    Args:
        step: Steps taken before this one, from 0.
        recipe: Rate, warm-up and schedule.
        steps_per_epoch: Optimiser steps in an epoch, at least 1.
        epochs: Epochs of the whole run.
        restarts: Epochs after which the schedule begins anew, as if the run did, but for a warm-up
            of at most a tenth of what it adds (warm restarts, arXiv 1608.03983).

    Returns:
        A rise from ``lr / warm-up steps`` to ``lr``, then what the schedule says: half a cosine
        down to ``min_lr``, steps down, or ``lr`` throughout.
    """
    first = max((r for r in restarts if step >= r * steps_per_epoch), default=0)
    end = min((r for r in restarts if r > first), default=epochs)
    step, total = step - first * steps_per_epoch, steps_per_epoch * (end - first)
    longest = _WARMUP_AGAIN * total if first else total
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), int(longest))
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    return _SCHEDULES[recipe.schedule](step, recipe, warmup, steps_per_epoch, total)


def _constant(step: int, recipe: OptimRecipe, warmup: int, epoch: int, total: int) -> float:
    return recipe.lr


def _steps(step: int, recipe: OptimRecipe, warmup: int, epoch: int, total: int) -> float:
    # However short the run, its first step has the full rate.
    marks = (max(1, round(at * (total if at < 1 else epoch))) for at in recipe.steps)
    passed = sum(step >= mark for mark in marks)
    return max(recipe.lr * recipe.step_factor**passed, recipe.min_lr)


def _cosine(step: int, recipe: OptimRecipe, warmup: int, epoch: int, total: int) -> float:
    done = min((step - warmup) / max(total - warmup, 1), 1.0)
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * (1 + math.cos(math.pi * done)) / 2


_SCHEDULES: dict[str, Callable[[int, OptimRecipe, int, int, int], float]] = {
    "cosine": _cosine,
    "step": _steps,
    "constant": _constant,
}

"""Which objective a recipe asks for. A new one is a file beside this and a row below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...errors import RecipeError, known_names
from ...models.video_model import VideoModel
from ...procedural import Target
from ..recipe.fields import Recipe
from .distill import Distillation, load_teacher
from .masked_features import MaskedFeatures, MaskedPrediction
from .objective import Beside, Objective, channels
from .smoothness import Smoothness
from .streams import StreamLabels
from .supervised import Supervised
from .svformer import SVFormer
from .target_heads import KnownTargets, TargetHeads


@dataclass(frozen=True)
class Known:
    """What an objective may be made from."""

    recipe: Recipe
    model: VideoModel
    class_weights: Tensor | None = None
    """(K,) float32."""
    targets: Mapping[str, Target] = field(default_factory=dict)
    """What procedural clips tell beside their class."""


@dataclass(frozen=True)
class Task:
    """One row: what ``pretrain.task`` may name."""

    make: Callable[[Known], Objective]
    labels: bool
    """Whether it needs the classes of the data."""


def _labels(known: Known) -> Objective:
    recipe, model, weights = known.recipe, known.model, known.class_weights
    found = (make(known) for make in BESIDE)
    beside = [one for one in found if one is not None]
    teacher = load_teacher(recipe.distill, model)
    if teacher is None:
        return Supervised(recipe, model, weights, beside)
    return Distillation(recipe, model, teacher, weights, beside)


def _masked_features(known: Known) -> Objective:
    masked = MaskedFeatures(channels(known.model), known.recipe.pretrain.mask_ratio)
    smooth = _smoothness(known)
    return MaskedPrediction(masked, [] if smooth is None else [smooth])


def _streams(known: Known) -> Objective:
    return StreamLabels(known.recipe, known.model, known.class_weights)


def _svformer(known: Known) -> Objective:
    if any(make(known) for make in BESIDE) or known.recipe.distill.teacher is not None:
        raise RecipeError(
            "data.unlabelled: goes with no teacher and no loss beside that of the labels"
        )
    return SVFormer(known.recipe, known.model, known.class_weights)


TASKS: dict[str, Task] = {
    "labels": Task(_labels, labels=True),
    "svformer": Task(_svformer, labels=True),
    "streams": Task(_streams, labels=True),
    "masked_features": Task(_masked_features, labels=False),
}


def _masked_beside(known: Known) -> Beside | None:
    pretrain = known.recipe.pretrain
    if not pretrain.masked_weight:
        return None
    width = channels(known.model)
    return MaskedFeatures(width, pretrain.mask_ratio, weight=pretrain.masked_weight, every=2)


def _targets(known: Known) -> Beside | None:
    pretrain = known.recipe.pretrain
    if not known.targets or not pretrain.targets_weight:
        return None
    width = known.model.classifier.in_features
    heads = TargetHeads(width, known.targets, pretrain.weights_of_targets())
    return KnownTargets(heads, pretrain.targets_weight)


def _smoothness(known: Known) -> Beside | None:
    optim = known.recipe.optim
    if not optim.temporal_smoothness:
        return None
    return Smoothness(optim.temporal_smoothness, optim.smoothness_frames)


BESIDE: tuple[Callable[[Known], Beside | None], ...] = (_smoothness, _masked_beside, _targets)
"""Losses beside that of the labels, each made where the recipe asks for it."""


def task_of(recipe: Recipe) -> Task:
    """The row of a recipe.

    Raises:
        RecipeError: If it names none.
    """
    name = recipe.pretrain.task
    if recipe.data.unlabelled is not None and name == "labels":
        name = "svformer"
    if name not in TASKS:
        raise RecipeError(f"pretrain.task: there is no {name!r}{known_names(name, TASKS)}")
    return TASKS[name]


def make_objective(known: Known) -> Objective:
    """Make the objective of a recipe; its seed decides the fresh layers.

    Raises:
        RecipeError: If the recipe asks for something that the model or the clips do not have.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(known.recipe.seed)
        return task_of(known.recipe).make(known)

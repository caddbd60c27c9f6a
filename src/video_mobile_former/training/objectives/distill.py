"""Knowledge distillation (arXiv 1503.02531): a trained model, the teacher, sees the same clips.

The loss is ``(1 − w) · L + w · T² · KL(teacher ‖ student)``, L the loss of the labels, w
``distill.weight`` and T ``distill.temperature``, which divides the logits of both. Where each class
is a yes or no of its own, KL is that of every class by itself, averaged as the loss of the labels
is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...clip_spec import ClipSpec
from ...errors import RecipeError, UserError
from ...export.loading import load_model
from ...models.registry import list_models
from ...models.video_model import VideoModel
from ..recipe.fields import DistillRecipe, Recipe
from .foreign_teachers import foreign_teacher
from .objective import Beside, Pass
from .supervised import LossKind, Supervised


def distillation_loss(
    student: Tensor, teacher: Tensor, *, temperature: float, kind: LossKind
) -> Tensor:
    """``T² · KL(teacher ‖ student)`` of the softened scores.

    Args:
        student: Logits (B, K).
        teacher: Logits (B, K).
        temperature: T, above 0.
        kind: ``"cross_entropy"`` compares softmaxes, ``"bce"`` the sigmoids of every class.

    Returns:
        The mean over the batch, for ``"bce"`` also over the classes; a scalar.
    """
    student, teacher = student.float() / temperature, teacher.float() / temperature
    if kind == "bce":
        # Yes and no as two classes: log σ(x) and log σ(−x).
        student, teacher = (
            torch.stack([F.logsigmoid(x), F.logsigmoid(-x)], dim=-1).flatten(0, 1)
            for x in (student, teacher)
        )
    else:
        student, teacher = student.log_softmax(1), teacher.log_softmax(1)
    found = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return temperature**2 * found


class Teacher:
    """A trained model that grades the clips a student is trained on.

    Args:
        model: In eval mode, with a ``clip``; it is never trained.
        student: What the student takes; its normalisation is undone for the teacher.
    """

    def __init__(self, model: nn.Module, student: ClipSpec):
        self.model: Any = model.eval().requires_grad_(False)
        own: ClipSpec = self.model.clip
        # own normalised = student normalised · scale + shift
        self.scale = torch.tensor(student.std) / torch.tensor(own.std)
        self.shift = (torch.tensor(student.mean) - torch.tensor(own.mean)) / torch.tensor(own.std)

    @torch.no_grad()
    def logits(self, clips: Tensor) -> Tensor:
        """Grade clips.

        Args:
            clips: (B, 3, T, H, W), normalised for the student.

        Returns:
            Logits (B, K) on the device of ``clips``.
        """
        # An artefact runs on the CPU whatever the student trains on.
        device = getattr(self.model, "only_device", clips.device)
        self.model.to(device)
        shape = (1, 3, 1, 1, 1)
        scale, shift = (v.to(clips).view(shape) for v in (self.scale, self.shift))
        x = clips * scale + shift
        if getattr(self.model, "takes_uint8", False):
            x = _as_bytes(x, self.model.clip)
        return self.model(x.to(device)).to(clips.device)

    def __deepcopy__(self, memo: Any) -> Teacher:
        # A running average of what is trained has no teacher of its own.
        return self


class Distillation(Supervised):
    """Learns the classes of clips and the scores of a teacher.

    Args:
        recipe: The part of both in the loss.
        model: Tells whether a clip may have several classes.
        teacher: The model to learn from.
        class_weights: ``(num_classes,)`` float32; None is 1 for all.
        beside: Losses beside.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: Any,
        teacher: Teacher,
        class_weights: Tensor | None = None,
        beside: Sequence[Beside] = (),
    ):
        super().__init__(recipe, model, class_weights, beside)
        self.teacher = teacher
        self.distill = recipe.distill

    def loss(self, seen: Pass, logits: Tensor) -> Tensor:
        """The loss of the labels with the teacher's mixed in."""
        share, temperature = self.distill.weight, self.distill.temperature
        labels = super().loss(seen, logits)
        theirs = self.teacher.logits(seen.shown)
        found = distillation_loss(logits, theirs, temperature=temperature, kind=self.kind)
        return (1 - share) * labels + share * found


def load_teacher(recipe: DistillRecipe, student: VideoModel) -> Teacher | None:
    """Load the teacher of a recipe and see that it fits the student.

    Args:
        recipe: Its ``teacher`` is a checkpoint folder, an artefact or one of
            :mod:`.foreign_teachers`; None is no teacher.
        student: Has its classes and its clip.

    Raises:
        RecipeError: If its classes are not those of the student in the same order, or it does not
            take the student's clips; says which and what to do.
    """
    name = recipe.teacher
    if name is None:
        return None
    if recipe.weights is None and name in list_models() and not Path(name).exists():
        raise RecipeError(
            f"distill.teacher: {name} is the name of a network, whose weights are random; give a "
            "checkpoint folder (such as the 'best' of a run), an artefact or --distill.weights FILE"
        )
    try:
        foreign = foreign_teacher(recipe, student)
        model: Any = load_model(name) if foreign is None else foreign
    except RecipeError:
        raise
    except UserError as error:
        raise RecipeError(f"distill.teacher: {error}") from error
    _same_classes(name, model, student)
    if isinstance(model, VideoModel) and not model.fused:
        model = model.fuse()
    teacher = Teacher(model, student.clip)
    clip = student.clip
    try:
        probe = torch.zeros(1, 3, clip.num_frames, clip.crop_size, clip.crop_size)
        teacher.logits(probe.expand(2, -1, -1, -1, -1))
    except RecipeError:
        raise
    except UserError as error:
        raise RecipeError(
            f"distill.teacher: {name} does not take the clips of this run: {error}; set "
            "clip.num_frames and clip.crop_size to what it takes"
        ) from error
    return teacher


def _same_classes(name: str, teacher: Any, student: VideoModel) -> None:
    theirs, ours = teacher.class_names, student.class_names
    assert ours is not None, "a student in training has class names"
    if theirs is None:
        raise RecipeError(
            f"distill.teacher: {name} does not name its classes, so nobody knows whether they are "
            "those of the data"
        )
    if teacher.multi_label != student.multi_label:
        words = {True: "several classes a clip", False: "one class a clip"}
        raise RecipeError(
            f"distill.teacher: {name} was trained for {words[teacher.multi_label]}, the data has "
            f"{words[student.multi_label]}"
        )
    if tuple(theirs) == tuple(ours):
        return
    if set(theirs) == set(ours):
        raise RecipeError(
            f"distill.teacher: {name} has the same classes in another order; name them in the "
            "order of the teacher with data.label_file"
        )
    extra = sorted(set(ours) ^ set(theirs))
    raise RecipeError(
        f"distill.teacher: {name} has {len(theirs)} classes and the data {len(ours)}; they differ "
        f"in {', '.join(extra[:3])}{' …' if len(extra) > 3 else ''}"
    )


def _as_bytes(x: Tensor, clip: ClipSpec) -> Tensor:
    """Pixels 0 to 255 of normalised clips; mixed clips are rounded to whole levels."""
    shape = (1, 3, 1, 1, 1)
    mean, std = (torch.tensor(v).to(x).view(shape) for v in (clip.mean, clip.std))
    return ((x * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)

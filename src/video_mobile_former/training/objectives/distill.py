"""Knowledge distillation (arXiv 1503.02531): a trained model, the teacher, sees the same clips.

The loss is ``(1 − w) · L + w · T² · KL(teacher ‖ student)``, L the loss of the labels, w
``distill.weight`` and T ``distill.temperature``, which divides the logits of both. Where each class
is a yes or no of its own, KL is that of every class by itself, averaged as the loss of the labels
is.

On request the features match as well (arXiv 1907.09682): for F the features of all frames of a
batch before the head, averaged over the picture, and G = F Fᵀ with rows of length 1, the mean of
``‖G_teacher − G_student‖²`` over frames is added. Which frames are alike is compared, not the
features themselves, so that networks of any two widths go together and nothing is learned beside
them. Decided here: frames in place of whole clips, so that what changes in time counts.
"""

from __future__ import annotations

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
from ..recipe.fields import DistillRecipe
from .foreign_teachers import foreign_teacher
from .losses import LossKind
from .smoothness import recorded_features


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


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """How differently two networks find the frames of a batch alike.

    Args:
        student: Features (B, T, C).
        teacher: Features (B, T, C'), of the same clips.

    Returns:
        The mean over all frames, a scalar; 0 where one is the other turned or scaled.
    """
    with torch.autocast(student.device.type, enabled=False):
        ours, theirs = (_similarities(features) for features in (student, teacher))
        return (ours - theirs).square().sum(1).mean()


def _similarities(features: Tensor) -> Tensor:
    """Which frames are alike, (B·T, B·T), each row of length 1."""
    # Features pass a ReLU or not; without their mean no two frames are alike by that alone.
    rows = features.float().flatten(0, 1)
    rows = rows - rows.mean(0)
    return F.normalize(rows @ rows.T, dim=1)


class Teacher:
    """A trained model that grades the clips a student is trained on.

    Args:
        model: In eval mode, with a ``clip``; it is never trained.
        student: What the student eats; its normalisation is undone for the teacher.
        recipe: Weight and temperature.
    """

    def __init__(self, model: nn.Module, student: ClipSpec, recipe: DistillRecipe):
        self.model: Any = model.eval().requires_grad_(False)
        self.recipe = recipe
        own: ClipSpec = self.model.clip
        # own normalised = student normalised · scale + shift
        self.scale = torch.tensor(student.std) / torch.tensor(own.std)
        self.shift = (torch.tensor(student.mean) - torch.tensor(own.mean)) / torch.tensor(own.std)

    def logits(self, clips: Tensor) -> Tensor:
        """Grade clips.

        Args:
            clips: (B, 3, T, H, W), normalised for the student.

        Returns:
            Logits (B, K) on the device of ``clips``.
        """
        return self.grade(clips)[0]

    @torch.no_grad()
    def grade(self, clips: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (B, K) of clips and, where the recipe matches features, those (B, T, C)."""
        if self.recipe.features == 0:
            return self._run(clips), None
        with recorded_features(self.model) as found:
            return self._run(clips), found.features[0]

    def _run(self, clips: Tensor) -> Tensor:
        # An artefact runs on the CPU whatever the student trains on.
        device = getattr(self.model, "only_device", clips.device)
        self.model.to(device)
        shape = (1, 3, 1, 1, 1)
        scale, shift = (v.to(clips).view(shape) for v in (self.scale, self.shift))
        x = clips * scale + shift
        if getattr(self.model, "takes_uint8", False):
            x = _as_bytes(x, self.model.clip)
        return self.model(x.to(device)).to(clips.device)

    def loss(
        self,
        label_loss: Tensor,
        student: Tensor,
        clips: Tensor,
        kind: LossKind,
        features: Tensor | None = None,
    ) -> Tensor:
        """The loss of the labels with the teacher's mixed in.

        Args:
            label_loss: L, a scalar.
            student: The student's logits (B, K).
            clips: What it saw, (B, 3, T, H, W).
            kind: Kind of the label's loss.
            features: The student's of all frames (B, T, C), if they are to match.
        """
        logits, theirs = self.grade(clips)
        found = distillation_loss(student, logits, temperature=self.recipe.temperature, kind=kind)
        loss = (1 - self.recipe.weight) * label_loss + self.recipe.weight * found
        if features is None or theirs is None:
            return loss
        return loss + self.recipe.features * similarity_loss(features, theirs)


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
    if recipe.features > 0 and not isinstance(model, VideoModel):
        raise RecipeError(
            f"distill.features: {name} gives scores alone; give a checkpoint folder as the "
            "teacher, or --distill.features 0"
        )
    if isinstance(model, VideoModel) and not model.fused:
        model = model.fuse()
    teacher = Teacher(model, student.clip, recipe)
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

"""Streams: a streaming model learns to be right at every moment, with a state that is never reset.

The loss is taken after every update of the model and weighs more the longer the present clip has
been seen: early answers are learned, and late ones count. On spliced streams
(:mod:`..clips.splicing`) the model must also let go of what is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.loading.dataset import Batch
from ...errors import RecipeError
from ...models.runnable import StreamingModel
from ..clips.inputs import mixing, training_inputs
from ..clips.mixing import dense_targets
from ..clips.procedural_clips import is_procedural
from ..clips.splicing import Streams, splice
from ..recipe.fields import Recipe
from .objective import Figures, Objective
from .supervised import LossKind, loss_kind

FIELD = "pretrain.task streams"


class StreamLabels(Objective):
    """Learns the classes of streams moment by moment.

    Args:
        recipe: How streams are spliced, kind of the loss, label smoothing, how clips are mixed.
        model: Tells whether a clip may have several classes.
        class_weights: ``(num_classes,)`` float32; None is 1 for all.

    Raises:
        RecipeError: If the model is no streaming one, or the recipe asks for what streams lack.
    """

    labels = True
    looks_inside = FIELD

    def __init__(self, recipe: Recipe, model: Any, class_weights: Tensor | None = None):
        super().__init__()
        check_streams(recipe, model)
        self.number = recipe.stream.clips
        self.first_weight = recipe.stream.first_weight
        self.mixing = mixing(recipe.augment)
        self.kind: LossKind = loss_kind(recipe.optim.loss, multi_label=model.multi_label)
        self.label_smoothing = recipe.optim.label_smoothing
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.figures = () if model.multi_label else ("top1",)

    def step(self, model: Any, batch: Batch, place: Sequence[int]) -> tuple[Tensor, Figures]:
        """See :class:`Objective`; ``top1`` is the share of updates whose answer is right."""
        clips, targets = training_inputs(batch, model.clip, model.num_classes, self.mixing, place)
        # The views of one video stand side by side; a stream takes different videos.
        views = batch["clips"].shape[1]
        order = torch.arange(len(clips), device=clips.device).view(-1, views).T.flatten()
        streams = splice(clips[order], targets[order], self.number, place)
        logits = model.forward_steps(streams.frames)  # (S, n, K)
        seen = at_updates(streams, model.frames_per_update)
        loss = self.loss(logits, seen)
        if not self.figures:
            return loss, {}
        labels = seen.targets.argmax(2) if seen.targets.dim() == 3 else seen.targets
        right = (logits.argmax(2) == labels).float().mean()
        return loss, {"top1": right * len(clips)}

    def loss(self, logits: Tensor, seen: Streams) -> Tensor:
        """The weighted mean over all updates, a scalar.

        Args:
            logits: (S, n, K).
            seen: What is right after each of the n updates.
        """
        weights = rising(seen.since, seen.clip_frames, self.first_weight).flatten()
        losses = losses_of(
            logits.flatten(0, 1),
            seen.targets.flatten(0, 1),
            kind=self.kind,
            label_smoothing=self.label_smoothing,
            class_weights=cast("Tensor | None", self.class_weights),
        )
        return (losses * weights).sum() / weights.sum()


def at_updates(streams: Streams, frames_per_update: int) -> Streams:
    """What is right at the last frame of each update, (S, n) in place of (S, L)."""
    last = slice(frames_per_update - 1, None, frames_per_update)
    return Streams(
        streams.frames, streams.targets[:, last], streams.since[:, last], streams.clip_frames
    )


def rising(since: Tensor, clip_frames: int, first: float) -> Tensor:
    """Weights of the loss, from ``first`` at the start of a clip linearly to 1 at its end.

    Args:
        since: Frames since the clip began, int64 of any shape.
        clip_frames: Frames of a clip.
        first: In [0, 1].
    """
    share = (since / max(clip_frames - 1, 1)).clamp(max=1.0)
    return first + (1 - first) * share


def losses_of(
    logits: Tensor,
    targets: Tensor,
    *,
    kind: LossKind,
    label_smoothing: float,
    class_weights: Tensor | None,
) -> Tensor:
    """The loss (B,) of each row of logits; means of it are ``classification_loss``.

    Args:
        logits: (B, K), taken as float32.
        targets: (B,) int64, or (B, K) float.
        kind: ``"cross_entropy"`` or ``"bce"``.
        label_smoothing: As there.
        class_weights: As there.
    """
    logits = logits.float()
    if kind == "bce":
        targets = dense_targets(targets, logits.shape[1])
        targets = targets * (1 - label_smoothing) + label_smoothing / logits.shape[1]
        return F.binary_cross_entropy_with_logits(
            logits, targets, pos_weight=class_weights, reduction="none"
        ).mean(1)
    return F.cross_entropy(
        logits, targets, weight=class_weights, label_smoothing=label_smoothing, reduction="none"
    )


def check_streams(recipe: Recipe, model: Any) -> None:
    """Refuse what streams do not go with.

    Raises:
        RecipeError: It names the field.
    """
    if not isinstance(model, StreamingModel):
        raise RecipeError(
            f"{FIELD} needs a streaming model, which {recipe.model.name} is not: take one whose "
            "name ends in _stream (vmf models)"
        )
    if model.clip.num_frames % model.frames_per_update:
        raise RecipeError(
            f"clip.num_frames {model.clip.num_frames} must be a multiple of the model's "
            f"frames_per_update, {model.frames_per_update}"
        )
    if recipe.train.batch_size * recipe.augment.repeats < recipe.stream.clips:
        raise RecipeError(
            f"stream.clips {recipe.stream.clips}: a stream takes so many clips of one batch, and "
            f"train.batch_size gives {recipe.train.batch_size * recipe.augment.repeats}"
        )
    refused = {
        "distill.teacher": recipe.distill.teacher is not None,
        "stream.background": recipe.stream.background > 0 and not is_procedural(recipe.data),
        "optim.temporal_smoothness": recipe.optim.temporal_smoothness > 0,
        "pretrain.masked_weight": recipe.pretrain.masked_weight > 0,
    }
    for key, is_set in refused.items():
        if is_set:
            raise RecipeError(f"{key} is not for {FIELD}; leave it out")

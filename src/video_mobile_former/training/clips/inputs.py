"""From a recipe's ``augment`` section to what the model is fed, on workers and on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...clip_spec import ClipSpec
from ...data.loading.dataset import Batch
from ...data.transforms import TrainTransform, augment, normalize
from ..recipe.fields import AugmentRecipe
from .mixing import Mixing, mix_clips, mix_targets

_NOT_OF_A_CLIP = (
    "runs_on",
    "repeats",
    "mixup_alpha",
    "cutmix_alpha",
    "cutmix_kind",
    "mix_probability",
)


def train_transform(spec: ClipSpec, recipe: AugmentRecipe) -> TrainTransform:
    """The changes that a recipe wants for single clips."""
    fields = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe)}
    return TrainTransform(spec, **{k: v for k, v in fields.items() if k not in _NOT_OF_A_CLIP})


def mixing(recipe: AugmentRecipe) -> Mixing:
    """The mixing that a recipe wants for batches."""
    return Mixing(
        mixup_alpha=recipe.mixup_alpha,
        cutmix_alpha=recipe.cutmix_alpha,
        cutmix_kind=recipe.cutmix_kind,
        probability=recipe.mix_probability,
    )


def moved(value: Any, device: torch.device) -> Any:
    """The same with its tensors on a device; they may lie deeper inside dicts."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {key: moved(inner, device) for key, inner in value.items()}
    return value


def training_inputs(
    batch: Batch, spec: ClipSpec, num_classes: int, mixing: Mixing, place: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Finish a batch on the device: the changes left to do, normalising, mixing.

    Args:
        batch: Its clips ``(B, V, 3, T, H, W)`` and labels on the device.
        spec: Mean and standard deviation.
        num_classes: K.
        mixing: What was sampled for the batch.
        place: Seed, epoch, batch and process, which decide what is sampled.

    Returns:
        ``(B·V, 3, T, H, W)`` float32 clips and their targets: ``(B·V,)`` int64 or ``(B·V, K)``
        float32 as the labels are, or ``(B·V, K)`` float32 where the batch is mixed.
    """
    clips = batch["clips"]
    targets = batch["labels"].repeat_interleave(clips.shape[1], 0)
    clips = clips.flatten(0, 1)
    # Autocast is for the model: products of colours in bfloat16 would be several levels off.
    with torch.autocast(clips.device.type, enabled=False):
        if "parameters" in batch:
            sampled = batch["parameters"].flatten()
            clips = augment(clips.transpose(1, 2), sampled).transpose(1, 2).contiguous()
        clips = normalize(clips, spec)
        mix = mixing.sample(place, clips.shape)
        if mix is None:
            return clips, targets
        return mix_clips(clips, mix), mix_targets(targets, num_classes, mix)

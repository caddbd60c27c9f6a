"""What a recipe may ask for that its data or the machine cannot give; asked before a run begins."""

from __future__ import annotations

import torch

from ...data.processes import usable_cores
from ...errors import RecipeError
from .fields import Recipe


def check_patience(recipe: Recipe, *, validates: bool) -> None:
    """Refuse to wait for a better validation where there is none.

    Args:
        recipe: What is asked for.
        validates: Whether the run has validation clips.

    Raises:
        RecipeError: If there are none, or they are to decide nothing.
    """
    if recipe.train.patience and recipe.train.best_by == "last":
        raise RecipeError(
            f"train.patience {recipe.train.patience}: with train.best_by last no checkpoint is "
            "ever worse; set --train.best_by loss, or --train.patience 0"
        )
    if recipe.train.patience and not validates:
        raise RecipeError(
            f"train.patience {recipe.train.patience}: there are no validation clips to stop by; "
            "set --data.val_fraction or --data.val_path, or --train.patience 0"
        )


def check_device(recipe: Recipe) -> None:
    """Refuse what the machine has no library or device for.

    Raises:
        RecipeError: If there are fewer GPUs than asked for, fp16 is to run on a CPU, or batch
            statistics are to be shared without CUDA.
    """
    kind = recipe.train.device
    gpus = torch.cuda.device_count() if kind == "cuda" else _gpus()
    on_gpu = gpus > 0
    if kind in ("gpu", "cuda") and recipe.train.devices > gpus:
        there = f"has {gpus} of them" if gpus else "has none"
        fewer = f"--train.devices {gpus}" if gpus else "--device cpu --train.devices 1"
        raise RecipeError(
            f"train.devices {recipe.train.devices}: GPUs are asked for, and this machine {there}; "
            f"{fewer} trains on what is there"
        )
    cores = usable_cores()
    if (kind == "cpu" or (kind == "auto" and not on_gpu)) and recipe.train.devices > cores:
        raise RecipeError(
            f"train.devices {recipe.train.devices}: without a GPU each is a process, and this "
            f"machine has {cores} cores; --train.devices {cores} uses them all"
        )
    if recipe.train.precision == "fp16" and (kind == "cpu" or not on_gpu):
        raise RecipeError(
            "train.precision fp16 needs a GPU, whose loss scaling a CPU does not have; "
            "use --train.precision bf16 or fp32"
        )
    check_sync_batchnorm(recipe)


def _gpus() -> int:
    if torch.cuda.is_available():
        return torch.cuda.device_count()
    return int(torch.backends.mps.is_available())


def check_unlabelled(recipe: Recipe) -> None:
    """Refuse what needs classes where none are learned.

    Raises:
        RecipeError: It names the field.
    """
    needs = {
        "distill.teacher": recipe.distill.teacher is not None,
        "optim.class_weights": recipe.optim.class_weights != "none",
        "data.class_balanced": recipe.data.class_balanced,
        "augment.mixup_alpha": recipe.augment.mixup_alpha > 0,
        "augment.cutmix_alpha": recipe.augment.cutmix_alpha > 0,
        "train.freeze_epochs": recipe.train.freeze_epochs > 0,
    }
    for key, is_set in needs.items():
        if is_set:
            raise RecipeError(
                f"{key} needs labels, which pretrain.task {recipe.pretrain.task} has none of"
            )


def check_sync_batchnorm(recipe: Recipe) -> None:
    """Refuse BatchNorm over all processes where torch cannot do it.

    Raises:
        RecipeError: If the run is not on CUDA devices.
    """
    kind = recipe.train.device
    on_cuda = kind in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    if recipe.train.sync_batchnorm and not on_cuda:
        raise RecipeError(
            "train.sync_batchnorm needs CUDA devices, torch has it for no others; "
            "--train.sync_batchnorm false gives each process statistics of its own"
        )


def check_compile(recipe: Recipe, looks_inside: str | None) -> None:
    """Refuse ``train.compile`` where features inside the network are looked at.

    Args:
        recipe: What to do.
        looks_inside: The field that asks for them; None where nothing does.

    Raises:
        RecipeError: If there is one: compiled code runs no hooks that come later.
    """
    if recipe.train.compile and looks_inside is not None:
        raise RecipeError(
            f"train.compile: {looks_inside} looks at features inside the network, which compiled "
            "code does not show; --train.compile false"
        )

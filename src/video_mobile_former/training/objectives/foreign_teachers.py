"""Teachers that were not made by this package: ONNX files and public weights.

Neither says what its scores mean or how its pixels are normalised, so the recipe does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...clip_spec import ClipSpec
from ...data.index.labels import read_label_file
from ...errors import CheckpointError, RecipeError
from ...export.artefact import info_path
from ...export.targets.to_onnx import embedded, open_session
from ...models.baselines import BASELINES
from ...models.video_model import VideoModel
from ..recipe.fields import DistillRecipe

_WEIGHTS = (".pyth", ".safetensors")


class ForeignModel(nn.Module):
    """A file of another maker as a model with a clip and class names.

    Args:
        run: Takes clips (B, 3, T, H, W), normalised float32 on the CPU, to scores (B, K).
        path: The file, for messages.
        clip: What it takes.
        class_names: Of its scores, in their order.
        multi_label: Whether each score is a yes or no of its own.
    """

    only_device = torch.device("cpu")
    fused = True

    def __init__(
        self,
        run: Callable[[Tensor], Any],
        *,
        path: Path,
        clip: ClipSpec,
        class_names: tuple[str, ...],
        multi_label: bool,
    ):
        super().__init__()
        self.run, self.path, self.clip = run, path, clip
        self.class_names, self.multi_label = class_names, multi_label

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K), float32.

        Raises:
            CheckpointError: If the file refuses the clips.
            RecipeError: If it gives something else than a score for each class.
        """
        try:
            found = self.run(x.float())
        except Exception as error:  # whatever its runtime raises
            first = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise CheckpointError(f"{self.path} refuses {tuple(x.shape)}: {first[0]}") from error
        wanted = (len(x), len(self.class_names))
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise RecipeError(
                f"distill.label_file: {self.path} gives {what} for {tuple(x.shape)}, not logits "
                f"{wanted}, one for each class of the list"
            )
        return found.float()


def foreign_teacher(recipe: DistillRecipe, student: VideoModel) -> nn.Module | None:
    """Load a teacher that this package did not make; None if it did.

    Args:
        recipe: Its ``teacher`` is an ONNX file, or a name of the other networks with
            ``weights``.
        student: What it is to teach.

    Raises:
        RecipeError: If a field is missing or tells nothing here.
        UserError: If the file cannot be loaded.
    """
    name, path = recipe.teacher or "", Path(recipe.teacher or "")
    if recipe.weights is not None:
        return _with_public_weights(recipe, name, student)
    if path.suffix in _WEIGHTS and path.is_file():
        raise RecipeError(
            f"distill.teacher: {name} has weights alone; give --distill.weights {name} and the "
            f"name of its network as --distill.teacher, one of {', '.join(_with_public())}"
        )
    if not _foreign_onnx(path):
        if path.exists():
            _refuse_unused(recipe, name)
        return None
    own = student.clip
    clip = dataclasses.replace(own, mean=recipe.mean or own.mean, std=recipe.std or own.std)
    return ForeignModel(
        _onnx(path),
        path=path,
        clip=clip,
        class_names=_class_names(recipe, name),
        multi_label=student.multi_label,
    ).eval()


def _class_names(recipe: DistillRecipe, name: str) -> tuple[str, ...]:
    if recipe.label_file is None:
        raise RecipeError(
            f"distill.teacher: {name} does not name its classes; --distill.label_file FILE names "
            "them, one a line in the order of its scores (or a known set such as kinetics400)"
        )
    return read_label_file(recipe.label_file)


def _refuse_unused(recipe: DistillRecipe, name: str) -> None:
    for field in ("label_file", "mean", "std"):
        if getattr(recipe, field) is not None:
            raise RecipeError(
                f"distill.{field}: {name} tells that itself; the field is for ONNX files of other "
                "makers"
            )


def _with_public_weights(recipe: DistillRecipe, name: str, student: VideoModel) -> nn.Module:
    load = BASELINES[name].load_public if name in BASELINES else None
    if load is None:
        raise RecipeError(
            "distill.weights goes with the name of a network as distill.teacher, one of "
            f"{', '.join(_with_public())}; not {name}"
        )
    size = {"num_frames": student.clip.num_frames, "crop_size": student.clip.crop_size}
    names = _class_names(recipe, name)
    model: Any = load(recipe.weights, name, keep_classifier=True, **size)
    if model.num_classes != len(names):
        raise RecipeError(
            f"distill.label_file: {recipe.label_file} has {len(names)} classes, {recipe.weights} "
            f"{model.num_classes}"
        )
    model.class_names, model.multi_label = names, student.multi_label
    clip = model.clip
    model.clip = dataclasses.replace(
        clip, mean=recipe.mean or clip.mean, std=recipe.std or clip.std
    )
    return model.eval()


def _with_public() -> list[str]:
    return [name for name, one in BASELINES.items() if one.load_public is not None]


def _foreign_onnx(path: Path) -> bool:
    if path.suffix != ".onnx" or not path.is_file() or info_path(path).is_file():
        return False
    return embedded(path) is None


def _onnx(path: Path) -> Callable[[Tensor], Any]:
    session = open_session(path, torch.get_num_threads())
    given = session.get_inputs()[0]
    batch = given.shape[0] if given.shape else None

    def run(x: Tensor) -> Tensor:
        # A fixed batch: parts of it, the last filled up with its last clip.
        size = batch if isinstance(batch, int) else len(x)
        parts = []
        for part in x.split(size):
            full = torch.cat([part, part[-1:].expand(size - len(part), *part.shape[1:])])
            scores = session.run(None, {given.name: np.ascontiguousarray(full.numpy())})[0]
            parts.append(torch.from_numpy(np.asarray(scores))[: len(part)])
        return torch.cat(parts)

    return run

"""What `vmf train CLIPS` chooses by itself: settings that fit the data and the device."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import statistics
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.index.index import ClipIndex
from ..data.limits import Limits
from ..data.loading.dataset import ClipDataset, ClipFailure
from ..data.processes import usable_cores
from ..errors import UserError
from ..models.imagenet_weights import IMAGENET, check_imagenet
from ..models.mobile_former_lite import lite_size
from ..models.registry import create_model, load_checkpoint
from ..models.shipped_weights import shipped_weights
from ..profiling.machine import processor_name
from .build import adapt_clip, build_indexes, reading_of, start_folder
from .progress import in_words
from .recipe.checks import check_device
from .recipe.fields import Recipe
from .recipe.read import build as build_recipe
from .recipe.read import load_recipe, values_of
from .run.fabric import cores_for_workers
from .run.run_folder import RunFolder

_SIZES = {"cpu": ((16, 112), (8, 112), (8, 64)), "gpu": ((16, 224), (16, 112), (8, 112))}
"""Frames and pixels that are tried, the best first."""
_MINUTES = {"cpu": 10.0, "gpu": 30.0}
"""Training time that is aimed at."""
_EPOCHS = (20, 60)
"""Fewest and most; 60 is the default of a recipe."""
_PIXELS_OF_PICTURES = 112
"""Fewest from ImageNet; at 64² such a network was 9 to 18 points worse (docs/lab-notes.md)."""
_SHORT_SECONDS = 0.5
"""Clips that are shorter have hardly more than eight frames."""
_READ, _TIMED = 4, 2
_VALIDATED = 1 / 3
"""Cost of validating a clip beside a training step on it, forward and backward."""


@dataclass(frozen=True)
class Fitted:
    """Settings that fit, and why."""

    recipe: Recipe
    summary: str
    """What was chosen and how long it will take, for people."""


def own_folder(data: str, given: dict[str, Any], runs: Path = Path("runs")) -> tuple[Path, bool]:
    """A folder for a run that names none: ``runs/NAME``, ``runs/NAME-2``, …

    Args:
        data: The place of the clips, which gives the name.
        given: What the user set, under dotted keys.
        runs: Where the folders lie.

    Returns:
        The first that is free or empty, or that holds an unfinished run on this data in which all
        that was given is as it was; and whether it is such a run.
    """
    stem = Path(data.rstrip("/")).absolute().name.partition(".")[0] or "clips"
    number = 1
    while True:
        folder = runs / (stem if number == 1 else f"{stem}-{number}")
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return folder, False
        if _goes_on(RunFolder(folder), {**given, "data.path": data}):
            return folder, True
        number += 1


def _goes_on(run: RunFolder, given: dict[str, Any]) -> bool:
    if not run.recipe.exists():
        return False
    try:
        values = values_of(load_recipe(run.recipe))
        same = all(values.get(key) == value for key, value in given.items() if key != "resume")
        return same and not (run.state.exists() and run.load_state(tensors=False)["finished"])
    except UserError:
        return False


def fitted(recipe: Recipe, given: Collection[str]) -> Fitted:
    """Choose what was not given: weights, frames, size, batch and epochs.

    Reads a few clips and times a training step on noise, a few seconds in all.

    Args:
        recipe: With the data and an output folder.
        given: Dotted keys that stay as they are.

    Raises:
        UserError: If the data cannot be read.
    """
    check_device(recipe)
    kind = "cpu" if _device(recipe).type == "cpu" else "gpu"
    with contextlib.redirect_stderr(io.StringIO()):  # `fit` says it again
        train, val = build_indexes(recipe)
    values: dict[str, Any] = {}
    start = start_folder(recipe.model)
    if start is None and recipe.model.name in shipped_weights().get("procedural", ()):
        values["model.weights"] = "procedural"
    pictures = start is None and not train.intervals and _from_pictures(recipe, given)
    if train.intervals or start is not None:
        sizes: tuple[tuple[int | None, int | None], ...] = ((None, None),)
    elif pictures:
        values["model.weights"] = IMAGENET
        sizes = tuple(size for size in _SIZES[kind] if size[1] >= _PIXELS_OF_PICTURES)
    else:
        sizes = _SIZES[kind]
    batch = max(4, min(16 if kind == "cpu" else 32, len(train) // 8))
    values["train.batch_size"] = min(batch, max(2, len(train)))
    if kind == "cpu":
        values["data.num_workers"] = min(recipe.data.num_workers, usable_cores())
    chosen = {key: value for key, value in values.items() if key not in given}
    trial, reading, length, epoch = recipe, 0.0, 0.0, 0.0
    for frames, size in sizes:
        clip = {"clip.num_frames": frames, "clip.crop_size": size}
        now = chosen | {k: v for k, v in clip.items() if v is not None and k not in given}
        trial = build_recipe({**values_of(recipe), **now}, "vmf train")
        if not reading:
            reading, length = _reading(trial, train)
            if 0 < length < _SHORT_SECONDS and frames is not None and frames > 8:
                continue
        with cores_for_workers(trial.data.num_workers):
            step = _step_seconds(trial, len(train.class_names))
        clips = len(train) + _VALIDATED * (0 if val is None else len(val))
        readers = max(1, recipe.data.num_workers)
        # On a CPU readers and training share the cores, on a GPU they overlap.
        read = reading * (len(train) + (0 if val is None else len(val))) / readers
        epoch = step * clips + read if kind == "cpu" else max(step * clips, read)
        if epoch * _EPOCHS[1] <= 60 * _MINUTES[kind]:
            break
    least, most = _EPOCHS
    epochs = int(min(most, max(least, 60 * _MINUTES[kind] / max(epoch, 1e-9))))
    if "train.epochs" not in given:
        trial = build_recipe({**values_of(trial), "train.epochs": epochs}, "vmf train")
    return Fitted(trial, _summary(trial, train, length, trial.train.epochs * epoch))


def _from_pictures(recipe: Recipe, given: Collection[str]) -> bool:
    """Whether the network starts from ImageNet: because it is asked for, or is there to be used."""
    if "model.weights" in given:
        return recipe.model.weights == IMAGENET
    if lite_size(recipe.model.name) is None:
        return False
    try:
        check_imagenet(recipe.model.name)
    except UserError:
        return False
    return True


def _summary(recipe: Recipe, train: ClipIndex, length: float, seconds: float) -> str:
    clip, model = recipe.clip, recipe.model
    device = _device(recipe)
    where = f"{usable_cores()} cores of {processor_name()}" if device.type == "cpu" else str(device)
    about = f" of about {length:.1f} s" if length else ""
    size = f"{clip.num_frames} frames × {clip.crop_size}², " if clip.num_frames else ""
    weights = f" with {model.weights} weights" if model.weights else ""
    return (
        f"chosen for {len(train)} clips{about} on {where}: {model.name}{weights}, {size}"
        f"batch {recipe.train.batch_size}, {recipe.train.epochs} epochs, "
        f"about {in_words(seconds)}; options such as --size, --frames, --epochs change it"
    )


def _device(recipe: Recipe) -> torch.device:
    kind = recipe.train.device
    if kind in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda")
    if kind in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _reading(recipe: Recipe, index: ClipIndex) -> tuple[float, float]:
    """Seconds to read a clip, and the median length of clips in seconds; 0 where unknown."""
    places = np.unique(np.linspace(0, len(index) - 1, _READ).round().astype(int))
    some = dataclasses.replace(index, clips=index.table.take(places))
    limits = Limits(recipe.decode.timeout_seconds, recipe.decode.memory_limit_mb)
    spec = _model(recipe, len(index.class_names)).clip
    dataset = ClipDataset(some, spec, train=False, limits=limits, reading=reading_of(recipe))
    took: list[float] = []
    lengths: list[float] = []
    for i in range(len(some)):
        began = time.monotonic()
        sample = dataset[i]
        if isinstance(sample, ClipFailure):
            continue
        took.append(time.monotonic() - began)
        if "frame_seconds" in sample:
            times = sample["frame_seconds"][0]
            lengths.append(float(times[-1] - times[0]) * len(times) / max(1, len(times) - 1))
    # The first also pays for what is imported late.
    seconds = statistics.median(took) if took else 0.0
    return seconds, statistics.median(lengths) if lengths else 0.0


def _model(recipe: Recipe, classes: int) -> Any:
    start = start_folder(recipe.model)
    if start is not None:
        model: Any = load_checkpoint(start)
    else:
        model = create_model(recipe.model.name, classes)
    model.clip = adapt_clip(model.clip, recipe.clip)
    return model


def _step_seconds(recipe: Recipe, classes: int) -> float:
    """Seconds of a training step for each of its clips, on clips of noise."""
    device = _device(recipe)
    state = torch.random.get_rng_state()
    model = _model(recipe, max(2, classes)).to(device).train()
    spec = model.clip
    batch = min(4, recipe.train.batch_size)
    clips = torch.rand(batch, 3, spec.num_frames, spec.crop_size, spec.crop_size, device=device)
    took = []
    for _ in range(1 + _TIMED):
        began = time.monotonic()
        model(clips).square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        took.append(time.monotonic() - began)
    torch.random.set_rng_state(state)
    return min(took[1:]) / batch

"""``fit``: train a model by a recipe, resumably."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..console import say
from ..data.index.held_out import KEY
from ..data.index.quarantine import write_quarantine
from ..errors import RecipeError, UserError
from ..files import check_folder
from ..models.video_model import VideoModel
from ..optional import require
from ..profiling.machine import processor_name
from ..version import __version__
from .build import (
    build_indexes,
    build_model,
    build_unlabelled,
    excluded_by,
    reading_of,
    windows_of,
)
from .clips.file_clips import FileClips
from .clips.procedural_clips import ProceduralClips, is_procedural
from .objectives.choose import Known, make_objective, task_of
from .objectives.class_weights import class_weights
from .objectives.objective import Objective
from .objectives.smoothness import check_smoothness
from .optim import batch_scale
from .page import write_page
from .progress import say_begin
from .recipe.checks import check_compile, check_device, check_patience, check_unlabelled
from .recipe.fields import Recipe
from .recipe.read import recipe_to_dict
from .run.callbacks import Callback, check_callbacks
from .run.fabric import cores_for_workers, kill_others, make_fabric, quiet_lightning
from .run.interrupt import StopRequest, StopTraining, TrainingInterrupted
from .run.loggers import check_loggers
from .run.lost import ProcessLostError, SharedError, watching_others
from .run.run_folder import RunFolder
from .samples import sample_predictions
from .tally import best_by, newest_is_best

if TYPE_CHECKING:
    from lightning.fabric.loggers.logger import Logger


@dataclass(frozen=True)
class FitResult:
    """What a finished training run left behind."""

    out: Path
    """The folder of the run."""
    best: Path | None
    """Checkpoint folder that is best by ``train.best_by``; None without validation."""
    last: Path
    """Checkpoint folder after the last epoch."""
    best_measured: dict[str, Any] | None
    """What validation measured of ``best`` and the epoch it is of."""
    last_measured: dict[str, Any] | None
    """What validation measured of ``last``."""
    epochs: int
    """Epochs trained."""
    step: int
    """Optimiser steps taken."""
    seconds: float
    """Time taken, over all starts."""
    is_main: bool = True
    """False in all but the first of several processes, which should print nothing."""


def fit(
    recipe: Recipe,
    *,
    objective: Callable[[VideoModel], Objective] | None = None,
    loggers: Sequence[Logger] = (),
    callbacks: Sequence[Callback] = (),
) -> FitResult:
    """Train by a recipe, or continue where the same recipe was stopped.

    Everything is written under ``recipe.out``, see :class:`~.run.run_folder.RunFolder`.

    Args:
        recipe: What to do; see :mod:`.recipe.fields`.
        objective: What is learned, made from the network in training mode, in place of what the
            recipe asks for (``pretrain.task``, ``distill``, ``optim.loss`` and the like).
        loggers: Lightning loggers to tell the metrics to, besides those of ``train.logger``.
        callbacks: Called at the moments of the run, see :class:`~.run.callbacks.Callback`.

    Returns:
        Where the checkpoints are and how good they are.

    Raises:
        UserError: If the recipe, the data, the loss or the disk does not allow to go on.
        TrainingInterrupted: After Ctrl-C, SIGTERM or SIGUSR1, when the state is saved.
    """
    require("lightning", extra="train", purpose="training")
    from lightning.fabric.utilities import rank_zero_only

    if not isinstance(recipe, Recipe):
        raise RecipeError(f"recipe must be a Recipe, not {type(recipe).__name__}; see load_recipe")
    if recipe.out is None:
        raise RecipeError("out is missing: say where results go, --out runs/NAME")
    check_folder(recipe.out)
    run = RunFolder(recipe.out)
    rank = getattr(rank_zero_only, "rank", 0) or 0
    leader = rank == 0
    with contextlib.nullcontext() if leader else contextlib.redirect_stderr(io.StringIO()):
        # Of several processes one is enough to say what was found.
        reading_of(recipe).check()
        check_device(recipe)
        check_loggers(recipe)
        check_callbacks(callbacks)
        parts = prepare_parts(recipe, run, objective)
    if leader:
        # Only now, when all that could be wrong is known to be right, is the folder touched.
        found = run.prepare(recipe)
        names = {}
        if found == "new" and not is_procedural(recipe.data):
            names = excluded_by(recipe.data)
        if names:
            write_quarantine(run.excluded, names, "clips that this run excludes from its start")
        if found == "finished":
            say(f"{run.path}: this run is finished; --overwrite true trains it anew")
            return _result(run)
        say_begin(recipe, run, parts.clips, resumed=found == "unfinished")
    elif run.finished(recipe):
        return dataclasses.replace(_result(run), is_main=False)  # nothing to train together
    try:
        with StopRequest() as stop, quiet_lightning(), cores_for_workers(recipe.data.num_workers):
            _train(recipe, run, parts, stop, loggers, callbacks)
            if leader and recipe.train.page:
                _show(recipe, run, parts)
    except (StopTraining, KeyboardInterrupt) as error:
        if leader:
            say(f"stopped; the same command continues {run.path} from its saved state")
        raise TrainingInterrupted from error
    except UserError as error:
        if leader or isinstance(error, ProcessLostError):
            raise
        if not isinstance(error, SharedError):
            say(f"vmf: error: process {rank}: {error}")
        raise SystemExit(2) from error
    return dataclasses.replace(_result(run), is_main=leader)


@dataclass(frozen=True)
class Parts:
    """What a run works with."""

    clips: FileClips | ProceduralClips
    model: VideoModel
    objective: Objective


def prepare_parts(
    recipe: Recipe, run: RunFolder, own: Callable[[VideoModel], Objective] | None
) -> Parts:
    """Find and make everything that a recipe names; refuse what does not fit together."""
    weights = None
    if is_procedural(recipe.data):
        if recipe.data.unlabelled is not None or recipe.pretrain.task == "svformer":
            raise RecipeError("data.unlabelled goes with clips in files, not with generated ones")
        clips: FileClips | ProceduralClips = ProceduralClips(recipe)
        model = build_model(recipe, clips.class_names)
        clips.spec = model.clip
    else:
        excluded = run.excluded if run.continues(recipe) else None
        train, val = build_indexes(recipe, excluded=excluded)
        weights = class_weights(recipe.optim.class_weights, train)
        model = build_model(recipe, train.class_names, multi_label=train.multi_label)
        others = build_unlabelled(recipe, train, val)
        clips = FileClips(recipe, run, model.clip, train, val, weights, others)
    if own is None and not task_of(recipe).labels:
        check_unlabelled(recipe)
    known = Known(recipe, model, weights, clips.targets)
    objective = make_objective(known) if own is None else own(model)
    best_by(recipe, multi_label=clips.multi_label, labels=objective.labels)
    check_patience(recipe, validates=clips.val_clips > 0)
    check_smoothness(recipe, model.clip)
    if not objective.labels:
        model.class_names = None  # the head is left as it was: it has learned no classes
    check_compile(recipe, objective.looks_inside)
    return Parts(clips, model, objective)


def _train(
    recipe: Recipe,
    run: RunFolder,
    parts: Parts,
    stop: StopRequest,
    loggers: Sequence[Logger],
    callbacks: Sequence[Callback],
) -> None:
    from .loop import Training

    fabric = make_fabric(recipe)
    info = _training_info(recipe, parts.clips)
    try:
        with watching_others(run, recipe.train.devices * recipe.train.nodes):
            fabric.launch()
            Training(
                recipe,
                run,
                fabric,
                parts.clips,
                parts.model,
                parts.objective,
                stop=stop,
                info=info,
                loggers=loggers,
                callbacks=callbacks,
            ).train()
    except KeyboardInterrupt:
        kill_others(fabric)
        raise


def _show(recipe: Recipe, run: RunFolder, parts: Parts) -> None:
    """Write the page of a finished run; what goes wrong is said and takes nothing from the run."""
    labels = parts.objective.labels
    count = parts.clips.val_clips
    by = best_by(recipe, multi_label=parts.clips.multi_label, labels=labels, val_clips=count)
    newest = newest_is_best(recipe, count, labels=labels)
    checkpoint = run.best if run.best.exists() else run.last
    try:
        samples = sample_predictions(parts.clips, checkpoint, recipe) if labels else ()
        info = _training_info(recipe, parts.clips)
        write_page(run, recipe, by=by, newest=newest, info=info, samples=samples)
    except UserError as error:
        say(f"no {run.page.name}: {error}")


def _result(run: RunFolder) -> FitResult:
    state = run.load_state(tensors=False)
    return FitResult(
        out=run.path,
        best=run.best if state["best"] else None,
        last=run.last,
        best_measured=state["best"],
        last_measured=state["latest"],
        epochs=state["position"]["epoch"],
        step=state["position"]["step"],
        seconds=state["position"]["seconds"],
    )


def _training_info(recipe: Recipe, clips: FileClips | ProceduralClips) -> dict[str, Any]:
    """What a checkpoint says about how it was made, as JSON data."""
    held_out = clips.held_out
    of_events = isinstance(clips, FileClips) and clips.train.window_seconds is not None
    windows = windows_of(recipe) if of_events else None
    cuda = torch.cuda.is_available() and recipe.train.device in ("auto", "gpu", "cuda")
    return {
        "date": date.today().isoformat(),
        "clips": len(clips),
        **({} if held_out is None else {KEY: held_out}),
        **({} if windows is None else {"windows": windows}),
        "lr": recipe.optim.lr * batch_scale(recipe),
        "device": torch.cuda.get_device_name() if cuda else processor_name(),
        "versions": {
            "video-mobile-former": __version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
        },
        "recipe": recipe_to_dict(recipe),
    }

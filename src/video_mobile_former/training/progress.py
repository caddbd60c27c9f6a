"""What a person sees of a training run: a bar with the time left, or one line an epoch."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

from ..console import say
from .clips.file_clips import FileClips
from .clips.procedural_clips import ProceduralClips
from .objectives.choose import task_of
from .optim import batch_scale, step_batch
from .recipe.fields import Recipe
from .run.run_folder import RunFolder
from .tally import newest_is_best


class Progress:
    """Says how far training is, on stderr.

    Args:
        visible: False says nothing at all (all processes but the first).
    """

    def __init__(self, *, visible: bool = True):
        self._visible = visible
        self._total = 0
        self._first = 0
        self._began = 0.0
        self._bar: Any = None
        self._task: Any = None

    def start(self, batches_done: int, total: int) -> None:
        """Begin to count time; on a terminal, show a bar.

        Args:
            batches_done: Batches trained on before this start.
            total: Batches of the whole run.
        """
        self._total = total
        self._first, self._began = batches_done, time.monotonic()
        if not self._visible or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
            transient=True,
            speed_estimate_period=300.0,
        )
        self._task = self._bar.add_task("train", total=total, completed=batches_done)
        self._bar.start()

    def update(self, batches_done: int, text: str) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=batches_done, description=text)

    def line(self, text: str) -> None:
        """Print a line; it stays, above the bar if there is one."""
        if not self._visible:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            say(text)

    def time_left(self, batches_done: int) -> str:
        """Time to the end of the run at the mean speed since :meth:`start`."""
        done = batches_done - self._first
        if done <= 0:
            return ""
        elapsed = time.monotonic() - self._began
        return in_words(elapsed / done * (self._total - batches_done))

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def in_words(seconds: float) -> str:
    """A time in the unit a person would use: ``48 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def say_begin(
    recipe: Recipe, run: RunFolder, clips: FileClips | ProceduralClips, *, resumed: bool
) -> None:
    """Say what is about to be trained, and what may be unwanted about it."""
    clip = clips.spec
    labelled = task_of(recipe).labels
    procedural = isinstance(clips, ProceduralClips)
    kind = "procedural clips an epoch" if procedural else "clips"
    say(
        f"{recipe.model.name} on {len(clips)} {kind}"
        + (f" of {len(clips.class_names)} classes" if labelled else " without labels")
        + f" ({clips.val_clips or 'none'} for validation), {clip.num_frames}×{clip.crop_size}²,"
        f" {recipe.train.epochs} epoch{'' if recipe.train.epochs == 1 else 's'}, into {run.path}"
    )
    few = clips.val_clips > 0 and newest_is_best(recipe, clips.val_clips, labels=labelled)
    if few and recipe.train.best_by == "auto":
        say(
            f"{clips.val_clips} validation clips are too few to choose a checkpoint by: `best` is "
            "the last one (train.best_by)"
        )
    if recipe.train.batch_size > len(clips):
        size = recipe.train.batch_size
        say(f"train.batch_size {size} is more than the {len(clips)} clips: a step takes them all")
    if recipe.optim.lr_batch:
        say(
            f"learning rate {recipe.optim.lr * batch_scale(recipe):g}: optim.lr "
            f"{recipe.optim.lr:g} is for {recipe.optim.lr_batch} videos a step, this run takes "
            f"{step_batch(recipe)}"
        )
    if recipe.distill.teacher is not None:
        say(
            f"learns from {recipe.distill.teacher}, which has a share of "
            f"{recipe.distill.weight:g} in the loss"
        )
    if isinstance(clips, FileClips) and clips.multi_label:
        train = clips.train
        targets = train.table.targets(len(train.class_names))
        without = int((~targets.any(axis=1)).sum())
        say(
            f"multi-label: {targets.sum(dtype=int) / len(train):.2g} classes a clip"
            + (f", {without} clips with none" if without else "")
        )
    if recipe.data.class_balanced and recipe.optim.class_weights == "balanced":
        say(
            "classes are balanced twice, in the sampling and in the loss: consider only one of "
            "--data.class_balanced and --optim.class_weights"
        )
    words = {word for name in clips.class_names for word in re.split(r"[\W_]+", name.lower())}
    if recipe.augment.horizontal_flip and not procedural and {"left", "right"} <= words:
        say("classes tell left from right: consider --augment.horizontal_flip false")
    if resumed:
        at = run.load_state(tensors=False)["position"]
        if at["unmeasured"]:
            say(f"resuming at the validation of epoch {at['epoch']}")
        else:
            say(f"resuming at epoch {at['epoch'] + 1}, batch {at['batch'] + 1}")

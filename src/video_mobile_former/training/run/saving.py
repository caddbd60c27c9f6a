"""What a run leaves on the disk: its checkpoints, and the state from which a restart goes on."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import lightning.pytorch as pl

from ...errors import DataError
from ..loop import VideoTask
from .position import Position, Totals
from .run_folder import RunFolder


class Saver:
    """Writes the checkpoints and the state of a run, and brings a task to the saved state.

    Args:
        run: The folder.
        data: Fingerprint of the clips, which must not change within a run.
        info: What every checkpoint says about its training.
    """

    def __init__(self, run: RunFolder, *, data: str, info: dict[str, Any]):
        self.run = run
        self.data = data
        self.info = info
        self.unsaved = False
        """Whether the task has moved since its state was saved, and may be saved as it is."""
        self._last_saved = time.monotonic()
        self._step_saved = 0

    def restore(self, task: VideoTask) -> dict[str, Any] | None:
        """Bring a task to the saved state, if there is one.

        Returns:
            The state, with the ``records`` that were given to :meth:`save`; None of a new run.

        Raises:
            DataError: If the clips are not those of the state.
        """
        if not self.run.state.exists():
            return None
        state = self.run.load_state()
        if state["data"] != self.data:
            raise DataError(
                f"{self.run.path}: the clips are not those the run began with (files, labels, "
                "classes or their weights changed); --overwrite true starts it anew"
            )
        task.model.load_state_dict(state["model"])
        if task.pretraining is not None:
            task.pretraining.load_state_dict(state["pretraining"])
        averages = [state["average"], state.get("pretraining_average")]
        for average, saved in zip(task.averages, averages, strict=False):
            average.load_state_dict(saved)
        task.optimizer_state = state["optimizer"]
        task.position = Position(**state["position"])
        task.totals = Totals(**state["totals"])
        task.first_step = self._step_saved = task.position.step
        return state

    def start(self) -> None:
        """Begin to count the time to the next save."""
        self._last_saved = time.monotonic()

    def is_time(self, trainer: pl.Trainer, task: VideoTask) -> bool:
        """Whether the recipe wants the state saved after this step."""
        every = task.recipe.train.checkpoint_every_n_steps
        if every is not None and task.position.step - self._step_saved >= every:
            return True
        minutes = task.recipe.train.checkpoint_every_minutes
        late = minutes is not None and time.monotonic() - self._last_saved > 60 * minutes
        # Only the first process writes, so that its clock alone decides.
        return late and trainer.is_global_zero

    def save(self, trainer: pl.Trainer, task: VideoTask, records: dict[str, Any]) -> None:
        """Save the state; everything it does not hold was written before.

        Args:
            trainer: Of the run; only its first process writes.
            task: What has been reached.
            records: More to save, JSON data.
        """
        at = task.position
        self._last_saved, self._step_saved, self.unsaved = time.monotonic(), at.step, False
        if not trainer.is_global_zero:
            return
        self.run.save_state(
            {
                "data": self.data,
                **records,
                "position": dataclasses.asdict(at),
                "totals": dataclasses.asdict(task.totals),
                "model": task.model.state_dict(),
                **_averages(task),
                "optimizer": trainer.optimizers[0].state_dict(),
                "precision": trainer.precision_plugin.state_dict(),
            }
        )

    def save_checkpoints(
        self, task: VideoTask, measured: dict[str, Any] | None, *, is_best: bool
    ) -> None:
        """Write the last checkpoint and, where it is the best so far, that one too.

        Args:
            task: What has been trained.
            measured: What validation says of it, if there is any.
            is_best: Whether that is better than before.
        """
        at, model = task.position, task.result
        training = {**self.info, "epoch": at.epoch, "step": at.step, "seconds": round(at.seconds)}
        model.info = {"training": training}
        if measured is not None:
            model.info["measured"] = {"validation": measured}
        model.save_pretrained(self.run.last)
        if is_best:
            model.save_pretrained(self.run.best)


def _averages(task: VideoTask) -> dict[str, Any]:
    """The part of the state that holds running averages and what only pre-training has."""
    saved = [average.state_dict() for average in task.averages]
    found: dict[str, Any] = {"average": saved[0] if saved else None}
    if task.pretraining is not None:
        found["pretraining"] = task.pretraining.state_dict()
        found["pretraining_average"] = saved[1] if saved else None
    return found

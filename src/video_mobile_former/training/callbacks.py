"""The bookkeeper of a run: it logs, validates, and has checkpoints and the state saved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist

from ..data.loading.dataset import Batch
from ..errors import DataError, UserError
from .clips.batches import TrainLoader, guarded
from .loop import VideoTask
from .progress import Progress, in_words
from .run.interrupt import StopTraining
from .run.logs import MetricsFile, RunLogs
from .run.position import Position, Totals
from .run.run_folder import RunFolder
from .run.saving import Saver
from .tally import BEST_NAMES, BestBy, Measured
from .validate import measure


class Keeper(pl.Callback):
    """Keeps the records of a run and brings a resumed one back to where it was.

    Args:
        run: The folder.
        make_loaders: From this process's rank, the number of processes and its device, the training
            clips and, None to train without, the validation clips of this process.
        data: Fingerprint of the clips, which must not change within a run.
        info: What every checkpoint says about its training.
        best_by: What decides which checkpoint is the best.
        progress: Where a person is told.
        families: Family of each class, for accuracies of these; None of data without.
    """

    def __init__(
        self,
        run: RunFolder,
        *,
        make_loaders: Callable[
            [int, int, torch.device], tuple[TrainLoader, Iterable[Batch] | None]
        ],
        data: str,
        info: dict[str, Any],
        best_by: BestBy,
        progress: Progress,
        families: Sequence[str] | None = None,
    ):
        self.run = run
        self.make_loaders = make_loaders
        self.val_batches: Iterable[Batch] | None = None
        self.saver = Saver(run, data=data, info=info)
        self.best_by: BestBy = best_by
        self.progress = progress
        self.families = families
        self.best: dict[str, Any] | None = None
        self.latest: dict[str, Any] | None = None
        self._logs: RunLogs | None = None
        self._precision_state: dict[str, Any] = {}
        self._metrics_size = 0
        self._began = time.monotonic()

    # --- beginning ------------------------------------------------------------------------------

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Open the data of this process and bring the task to the saved state, if there is one."""
        task = _task(pl_module)
        loader, self.val_batches = self.make_loaders(
            trainer.global_rank, trainer.world_size, trainer.strategy.root_device
        )
        task.use_loader(loader)
        state = self.saver.restore(task)
        if state is not None:
            self.best, self.latest = state["best"], state["latest"]
            self._precision_state, self._metrics_size = state["precision"], state["metrics_size"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move what Lightning does not know of to the device, and cut the logs to the state."""
        task = _task(pl_module)
        for average in task.averages:
            average.to(task.device)
        if self._precision_state:
            trainer.precision_plugin.load_state_dict(self._precision_state)
        leader = trainer.is_global_zero
        file = MetricsFile(self.run.metrics, self._metrics_size) if leader else None
        self._logs = RunLogs(file, trainer.loggers)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals back from Lightning, and finish an epoch stopped in its validation."""
        task = _task(pl_module)
        task.stop.listen()
        self._began = time.monotonic()
        self.saver.start()
        assert task.loader is not None
        total = task.recipe.train.epochs * len(task.loader)
        self.progress.start(self._batches_done(task), total)
        if task.position.unmeasured:
            self._finish_epoch(trainer, task)

    # --- while it runs --------------------------------------------------------------------------

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the batch; log and save when it is time."""
        task = _task(pl_module)
        rate = task.current_rate()
        stepped = task.advance()
        # While gradients are summed there is nothing to save: the state does not hold them.
        self.saver.unsaved = stepped
        at = task.position
        self.progress.update(
            self._batches_done(task), f"epoch {at.epoch + 1}/{task.recipe.train.epochs}"
        )
        if stepped and at.step % task.recipe.train.log_every_n_steps == 0:
            self._log_step(task, rate)
        assert task.loader is not None
        # The last batch is followed by the epoch's own save.
        if stepped and at.batch < len(task.loader):
            if self.saver.is_time(trainer, task):
                self._save(trainer, task)
            if task.stop_agreed:
                raise StopTraining

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Save when training is asked to stop."""
        if isinstance(exception, StopTraining) and self.saver.unsaved:
            self._save(trainer, _task(pl_module))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch, measure, save."""
        task = _task(pl_module)
        at, totals = task.position, task.totals
        at.epoch, at.batch, at.unmeasured = at.epoch + 1, 0, True
        mean = max(totals.clips, 1)
        row = {"loss": totals.loss / mean, **_top1(task, totals.correct / mean)}
        counts = {"clips": totals.clips, "failed": totals.failed}
        self._log(task, "train", {**row, **counts})
        if totals.failed:
            self.progress.line(
                f"epoch {at.epoch}: {totals.failed} clips could not be read and were left out: "
                f"{totals.named_failures()}"
            )
        self._finish_epoch(trainer, task)

    def _finish_epoch(self, trainer: pl.Trainer, task: VideoTask) -> None:
        """Everything after the training part of an epoch; done again if stopped within."""
        at = task.position
        mean = max(task.totals.clips, 1)
        words = [f"epoch {at.epoch}/{task.recipe.train.epochs}"]
        words.append(f"loss {task.totals.loss / mean:.3f}")
        is_best = False
        if self.val_batches is not None:
            measured = self._measure(trainer, task)
            is_best = measured.better_than(self.best, self.best_by)
            self.latest = measured.to_dict() | {"epoch": at.epoch}
            self.best = self.latest if is_best else self.best
            assert self.best is not None
            form = ".3f" if self.best_by == "loss" else ".1%"
            now, best = self.latest[self.best_by], self.best[self.best_by]
            words.append(f"validation {BEST_NAMES[self.best_by]} {now:{form}} (best {best:{form}})")
        if trainer.is_global_zero:
            self.saver.save_checkpoints(task, self.latest, is_best=is_best)
        at.unmeasured, task.totals = False, Totals()
        self._save(trainer, task)
        finished = self._finished(task)
        left = self.progress.time_left(self._batches_done(task))
        words.append(in_words(at.seconds) + (f", {left} left" if left and not finished else ""))
        self.progress.line(" · ".join(words))
        if finished:
            if at.epoch < task.recipe.train.epochs:
                self._say_early(task)
            trainer.strategy.barrier("saved")  # the others read the result that the first wrote
            trainer.should_stop = True
        elif self._stop_wanted(trainer, task):
            raise StopTraining

    def _finished(self, task: VideoTask) -> bool:
        """Whether the run ends here; what a state says of it too, so that it is not continued."""
        at, train = task.position, task.recipe.train
        # Since when nothing was better, the best checkpoint tells: a resumed run counts on.
        waited = at.epoch - self.best["epoch"] if self.best is not None else 0
        stale = 0 < train.patience <= waited
        return (at.epoch >= train.epochs or stale) and not at.unmeasured

    def _say_early(self, task: VideoTask) -> None:
        assert self.best is not None
        self.progress.line(
            f"stopped early: validation {BEST_NAMES[self.best_by]} is no better since epoch "
            f"{self.best['epoch']} (train.patience {task.recipe.train.patience})"
        )

    def _measure(self, trainer: pl.Trainer, task: VideoTask) -> Measured:
        assert self.val_batches is not None
        if trainer.world_size > 1:
            # Every process keeps its own BatchNorm statistics; those of the first one count.
            for buffer in task.result.buffers():
                dist.broadcast(buffer, 0)
        measured = measure(
            task.result,
            guarded(self.val_batches, task.stop),
            num_classes=task.model.num_classes,
            device=task.device,
            autocast=trainer.precision_plugin.forward_context,
            world_size=trainer.world_size,
            stop=lambda: task.stop.requested,
            families=self.families,
            errors=None if task.labels else task.errors,
        )
        if measured.failed:
            total = measured.failed + measured.clips
            what = f"{measured.failed} of {total} validation clips cannot be read"
            names = "; ".join(measured.failures)
            if measured.failed > total / 2:
                raise DataError(f"{what}: {names}")
            self.progress.line(f"epoch {task.position.epoch}: {what}: {names}")
        if not math.isfinite(measured.loss):
            raise UserError(
                f"epoch {task.position.epoch}: the validation loss is {measured.loss}; "
                f"try a lower --optim.lr (now {task.recipe.optim.lr:g})"
            )
        counts = {"clips": measured.clips, "failed": measured.failed}
        self._log(task, "val", {**measured.scores(), **counts})
        return measured

    # --- records --------------------------------------------------------------------------------

    def _log_step(self, task: VideoTask, rate: float) -> None:
        clips, loss, correct = task.totals.recent
        task.totals.recent = [0.0, 0.0, 0.0]
        if clips:
            row = {"lr": rate, "loss": loss / clips, **_top1(task, correct / clips)}
            self._log(task, "step", {**row, "clips": int(clips), "grad_norm": task.grad_norm})

    def _log(self, task: VideoTask, row: str, values: dict[str, Any]) -> None:
        self._count_seconds(task.position)
        assert self._logs is not None
        self._logs.write(row, task.position, values)

    def _save(self, trainer: pl.Trainer, task: VideoTask) -> None:
        self._count_seconds(task.position)
        assert self._logs is not None
        records = {
            "finished": self._finished(task),
            "best": self.best,
            "latest": self.latest,
            "metrics_size": self._logs.size(),
        }
        self.saver.save(trainer, task, records)

    def _stop_wanted(self, trainer: pl.Trainer, task: VideoTask) -> bool:
        wanted = task.stop.requested or task.stop_agreed
        if trainer.world_size > 1:
            return trainer.strategy.reduce_boolean_decision(wanted, all=False)
        return wanted

    def _count_seconds(self, at: Position) -> None:
        now = time.monotonic()
        at.seconds += now - self._began
        self._began = now

    def _batches_done(self, task: VideoTask) -> int:
        assert task.loader is not None
        return task.position.epoch * len(task.loader) + task.position.batch


def _top1(task: VideoTask, share: float) -> dict[str, float]:
    """The column of the log; none where clips have several classes, or none."""
    return {"top1": share} if task.labels and not task.model.multi_label else {}


def _task(module: pl.LightningModule) -> VideoTask:
    assert isinstance(module, VideoTask)
    return module

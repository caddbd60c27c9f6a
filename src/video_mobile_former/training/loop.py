"""The training loop, from the epochs of a recipe to the step of the optimiser.

The place in a run is three numbers (epoch, batch, optimiser step). Everything random is a function
of them and the seed, and they are saved with the weights, so that a run that is resumed computes
what it would have computed unbroken. Devices, precision and processes are Lightning Fabric's.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from lightning.fabric import Fabric
from lightning.fabric.loggers.logger import Logger
from torch import Tensor, nn

from ..console import say
from ..data.loading.dataset import Batch
from ..errors import DataError, UserError
from ..memory import keep_memory_of_tensors
from .clips.batches import guarded
from .clips.file_clips import FileClips
from .clips.inputs import moved
from .clips.procedural_clips import ProceduralClips
from .divergence import GradientWatch, loss_error
from .freezing import (
    backbone_rate,
    drop_gradients,
    frozen_backbone,
    keep_statistics,
    no_part,
    norms_of,
    zero_loss,
)
from .objectives.objective import Figures, Objective
from .optim import batch_scale, build_optimizer, learning_rate, set_rates
from .progress import Progress, in_words
from .recipe.fields import Recipe
from .run.callbacks import Callback, Callbacks, Moment, Outcome
from .run.curves import write_curves
from .run.ema import WeightAverage
from .run.interrupt import StopRequest, StopTraining
from .run.loggers import make_loggers
from .run.logs import MetricsFile, RunLogs
from .run.position import Position, Totals
from .run.run_folder import RunFolder
from .tally import BEST_NAMES, BestBy, Measured, best_by, newest_is_best
from .validate import validate

_DRAW_SECONDS = 30.0
"""Shortest time between two drawings of the curves."""


class Learner(nn.Module):
    """The network and its objective as one module: what processes exchange gradients of."""

    def __init__(self, model: Any, objective: Objective):
        super().__init__()
        self.model, self.objective = model, objective

    def forward(
        self, batch: Batch, place: Sequence[int], *, enough: bool = True, frozen: bool = False
    ) -> tuple[Tensor, Figures]:
        """Loss and figures of a batch, see :meth:`Objective.step`.

        Args:
            batch: On the device.
            place: What everything random is a function of.
            enough: False where it holds too few clips to learn from: the loss is 0 then, with a
                gradient of 0, for the other processes wait for a gradient.
            frozen: Whether the last layer learns alone.
        """
        if not enough:
            return zero_loss(self.parameters()), {}
        with frozen_backbone(self.model, frozen):
            loss, figures = self.objective.step(self.model, batch, place)
        return (no_part(loss, self.model) if frozen else loss), figures


class Training:
    """One run, or what is left of it.

    Args:
        recipe: What to do.
        run: The folder; its state, if there is one, is taken up.
        fabric: Launched.
        clips: To train and validate on.
        model: The network, in training mode.
        objective: What it learns.
        stop: Whether somebody asked to save and stop.
        info: What every checkpoint says about its training.
        loggers: Told the metrics, besides those of ``train.logger``.
        callbacks: Called in the first process.

    Raises:
        DataError: If the clips are not those of the saved state.
    """

    def __init__(
        self,
        recipe: Recipe,
        run: RunFolder,
        fabric: Fabric,
        clips: FileClips | ProceduralClips,
        model: Any,
        objective: Objective,
        *,
        stop: StopRequest,
        info: dict[str, Any],
        loggers: Sequence[Logger] = (),
        callbacks: Sequence[Callback] = (),
    ):
        self.recipe, self.run, self.fabric, self.clips = recipe, run, fabric, clips
        if fabric.device.type == "cpu":
            keep_memory_of_tensors()
        self.model, self.objective, self.stop, self.info = model, objective, stop, info
        self.loader, self.val_batches = clips.loaders(
            fabric.global_rank, fabric.world_size, fabric.device
        )
        self.steps_per_epoch = math.ceil(len(self.loader) / recipe.train.accumulate)
        self.best_by: BestBy = best_by(
            recipe,
            multi_label=model.multi_label,
            labels=objective.labels,
            val_clips=clips.val_clips,
        )
        self.newest = newest_is_best(recipe, clips.val_clips, labels=objective.labels)
        self.best: dict[str, Any] | None = None
        self.latest: dict[str, Any] | None = None
        self.position, self.totals = Position(), Totals()
        self.progress = Progress(visible=fabric.is_global_zero)
        self.gradients = GradientWatch(recipe)
        self.grad_norm = self.rate = math.nan
        self.indices = torch.empty(0, dtype=torch.int64)
        self.unsaved = self.stop_agreed = False

        decay = recipe.train.ema_decay
        self.averages: list[tuple[WeightAverage, nn.Module]] = []
        if decay is not None:
            learned = [model, *([objective] if self._has_layers() else [])]
            self.averages = [(WeightAverage(module, decay), module) for module in learned]
            objective.follow(self.averages[0][0].model)
        if recipe.train.compile:
            model.compile()  # its copy, the average, is not
        state = self._restored()
        learner: nn.Module = Learner(model, objective)
        if recipe.train.sync_batchnorm and fabric.world_size > 1:
            learner = nn.SyncBatchNorm.convert_sync_batchnorm(learner)
        self.learner = fabric.setup_module(learner)
        for average, _ in self.averages:
            average.to(fabric.device)
        optimizer = build_optimizer(
            model,
            recipe.optim,
            fused=recipe.train.precision != "fp16",
            extra=objective if self._has_layers() else None,
            head_apart=recipe.train.freeze_epochs > 0,
        )
        if state is not None:
            optimizer.load_state_dict(state["optimizer"])
            fabric.strategy.precision.load_state_dict(state["precision"])
        self.frozen_norms = norms_of(model) if recipe.train.freeze_norms else []
        self.optimizer: Any = fabric.setup_optimizers(optimizer)
        self.logs = self._open_logs(loggers, 0 if state is None else state["metrics_size"])
        self.callbacks = Callbacks(callbacks if fabric.is_global_zero else (), self.moment)
        self.saved_at, self.saved_step = time.monotonic(), self.position.step
        self.counted_at = time.monotonic()
        self.draw_after = self.counted_at + _DRAW_SECONDS

    # --- the loop -------------------------------------------------------------------------------

    def train(self) -> None:
        """Train to the end.

        Raises:
            StopTraining: If a stop was asked for; the state is saved.
            UserError: If the loss, the data or the disk does not allow to go on.
        """
        at, train = self.position, self.recipe.train
        self.progress.start(self._batches_done(), train.epochs * len(self.loader))
        outcome: Outcome = "failed"
        try:
            self.callbacks.call("on_begin")
            if at.unmeasured:
                self.finish_epoch()
            for epoch in range(at.epoch, train.epochs):
                if self.finished():
                    break
                self.loader.start_at(epoch, at.batch)
                for batch in guarded(self.loader, self.stop):
                    last = at.batch + 1 == len(self.loader)
                    due = last or (at.batch + 1) % train.accumulate == 0
                    rate = self.set_out()
                    with self.fabric.no_backward_sync(self.learner, enabled=not due):
                        loss = self.step(moved(batch, self.fabric.device))
                        self.fabric.backward(loss / train.accumulate)
                    if due:
                        self.limit_gradient()
                        self.optimizer.step()
                        self.optimizer.zero_grad()
                        for average, module in self.averages:
                            average.update(module)
                            if self.objective.follows and self.fabric.world_size > 1:
                                # Of BatchNorm, each process has statistics of its own, and the
                                # saved state has those of the first.
                                average.share_buffers()
                        at.step += 1
                    at.batch += 1
                    # While gradients are summed there is nothing to save: no state holds them.
                    self.unsaved = due
                    self.progress.update(self._batches_done(), f"epoch {epoch + 1}/{train.epochs}")
                    if due and at.step % train.log_every_n_steps == 0:
                        self.log_step(rate)
                    if due:
                        self.callbacks.call("on_step")
                    if due and not last:  # the last batch is followed by the epoch's own save
                        if self.is_time_to_save():
                            self.save()
                        if self.stop_agreed:
                            raise StopTraining
                self.log_epoch()
                self.finish_epoch()
                self.draw_curves()
            self.fabric.barrier("saved")  # the others read the result that the first wrote
            outcome = "finished"
        except StopTraining:
            if self.unsaved:
                self.save()
            outcome = "stopped"
            raise
        finally:
            self.progress.stop()
            self.logs.close("success" if outcome == "finished" else "failed")
            self.draw_curves(at_last=True)
            self.callbacks.call("on_end", outcome)

    def moment(self) -> Moment:
        """Where the run is, for callbacks."""
        at = self.position
        return Moment(
            recipe=self.recipe,
            out=self.run.path,
            epoch=at.epoch,
            step=at.step,
            lr=self.rate,
            measured=self.latest,
            best=self.best,
            model=self.model,
            result=self.result,
            stop=self.stop.ask,
        )

    def set_out(self) -> float:
        """Seed torch by the place in the run and set the learning rates.

        Returns:
            That of the next optimiser step; ``layer_decay`` lowers it for some groups.
        """
        mixed = np.random.SeedSequence(self.place())
        torch.manual_seed(int(mixed.generate_state(1, np.uint64)[0]) >> 1)
        recipe, at = self.recipe, self.position
        rate = batch_scale(recipe) * learning_rate(
            at.step,
            recipe.optim,
            steps_per_epoch=self.steps_per_epoch,
            epochs=recipe.train.epochs,
            restarts=recipe.train.restarts,
        )
        self.rate = rate
        set_rates(self.optimizer, rate, backbone_rate(at.step / self.steps_per_epoch, recipe))
        return rate

    def place(self) -> list[int]:
        """What everything random in a batch is a function of."""
        at = self.position
        return [self.recipe.seed, at.epoch, at.batch, self.fabric.global_rank]

    @property
    def frozen(self) -> bool:
        """Whether the head learns alone in this epoch."""
        return self.position.epoch < self.recipe.train.freeze_epochs

    def step(self, batch: Batch) -> Tensor:
        """Give the loss of one batch on the device and count it.

        Raises:
            UserError: If the loss is not finite, or too many clips cannot be read.
        """
        count = len(batch["labels"]) * batch["clips"].shape[1]
        self.indices = batch["indices"]
        enough = count >= 2  # one clip has no batch statistics
        if self.recipe.train.sync_batchnorm and self.fabric.world_size > 1:
            # Shared statistics wait for every process: if one has no clips, all leave theirs out.
            enough = self.fabric.strategy.reduce_boolean_decision(enough, all=True)
        keep_statistics(self.frozen_norms)  # validation and others set them to train again
        loss, figures = self.learner(batch, self.place(), enough=enough, frozen=self.frozen)
        self._count(batch, count if enough else 0, loss, figures)
        return loss

    def _count(self, batch: Batch, count: int, loss: Tensor, figures: Figures) -> None:
        """Add a batch to the totals; all processes learn of it and decide alike."""
        value, world = loss.item() if count else 0.0, self.fabric.world_size
        finite, failures = math.isfinite(value), batch["failures"]
        shown = [float(figures[name]) if count else 0.0 for name in self.objective.figures]
        numbers = [float(self.stop.requested), float(not finite), len(failures)]
        numbers += [count, value * count if finite else 0.0, *shown]
        if world > 1:
            shared = torch.tensor(numbers, dtype=torch.float64, device=self.fabric.device)
            dist.all_reduce(shared)
            numbers = shared.tolist()
        stop, infinite, failed, clips, total, *shown = numbers
        if infinite:
            raise loss_error(self.recipe, self.position.step + 1, value, self._names, world)
        named = dict(zip(self.objective.figures, shown, strict=True))
        self.totals.add(int(clips), total, int(failed), named)
        self.totals.keep_failures(failures)
        self.stop_agreed = bool(stop)
        planned = self.recipe.train.batch_size * len(self.loader) * world
        self.totals.refuse_failures(planned, self.loader.source, world)

    def _names(self) -> list[str]:
        """The clips of the last batch of this process."""
        return self.loader.names(self.indices.tolist())

    def limit_gradient(self) -> None:
        """Clip the norm of the whole gradient; one that is not finite may end the run."""
        if self.frozen:
            drop_gradients(self.model)
        # In fp16 the loss was scaled; the optimiser steps on the true gradient, clipped.
        self.fabric.strategy.precision.unscale_gradients(self.optimizer.optimizer)
        limit = self.recipe.optim.gradient_clip
        parameters = [p for p in self.learner.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit)
        self.grad_norm = norm.item()
        told = self.gradients.check(self.grad_norm, self.position.step + 1, self._names)
        if told and self.fabric.is_global_zero:
            say(told)

    # --- the end of an epoch --------------------------------------------------------------------

    def log_epoch(self) -> None:
        """Log the training part of an epoch, which is over."""
        at, totals = self.position, self.totals
        at.epoch, at.batch, at.unmeasured = at.epoch + 1, 0, True
        counts = {"clips": totals.clips, "failed": totals.failed}
        self.log("train", {"lr": self.rate, **totals.means(), **counts})
        if totals.failed:
            self.progress.line(
                f"epoch {at.epoch}: {totals.failed} clips could not be read and were excluded: "
                f"{totals.named_failures()}"
            )

    def finish_epoch(self) -> None:
        """Validate, write the checkpoints and the state; done again if stopped within.

        Raises:
            StopTraining: If a stop was asked for and there is more to train.
        """
        at, train = self.position, self.recipe.train
        words = [f"epoch {at.epoch}/{train.epochs}", f"loss {self.totals.means()['loss']:.3f}"]
        is_best = False
        if self.val_batches is not None:
            measured = self.measured()
            is_best = self.newest or measured.better_than(self.best, self.best_by)
            self.latest = measured.to_dict() | {"epoch": at.epoch}
            self.best = self.latest if is_best else self.best
            assert self.best is not None
            form = ".3f" if self.best_by == "loss" else ".1%"
            now, best = self.latest[self.best_by], self.best[self.best_by]
            of_best = "" if self.newest else f" (best {best:{form}})"
            words.append(f"validation {BEST_NAMES[self.best_by]} {now:{form}}{of_best}")
        if self.fabric.is_global_zero:
            self.save_checkpoints(is_best=is_best)
        at.unmeasured, self.totals = False, Totals()
        self.save()
        finished = self.finished()
        left = self.progress.time_left(self._batches_done())
        words.append(in_words(at.seconds) + (f", {left} left" if left and not finished else ""))
        self.progress.line(" · ".join(words))
        if finished and at.epoch < train.epochs:
            assert self.best is not None
            self.progress.line(
                f"stopped early: validation {BEST_NAMES[self.best_by]} is no better since epoch "
                f"{self.best['epoch']} (train.patience {train.patience})"
            )
        self.callbacks.call("on_epoch")
        if not finished and self._stop_wanted():
            raise StopTraining

    def finished(self) -> bool:
        """Whether the run ends here; its state says so too, so that it is not continued."""
        at, train = self.position, self.recipe.train
        # Since when nothing was better, the best checkpoint tells: a resumed run counts on.
        since = max(self.best["epoch"], *train.restarts, 0) if self.best is not None else at.epoch
        waited = at.epoch - since
        stale = 0 < train.patience <= waited
        return (at.epoch >= train.epochs or stale) and not at.unmeasured

    def _stop_wanted(self) -> bool:
        wanted = self.stop.requested or self.stop_agreed
        if self.fabric.world_size > 1:
            return self.fabric.strategy.reduce_boolean_decision(wanted, all=False)
        return wanted

    def measured(self) -> Measured:
        """What validation says of :attr:`result`, logged."""
        assert self.val_batches is not None
        fabric, at = self.fabric, self.position
        if fabric.world_size > 1:
            # Every process keeps its own BatchNorm statistics; those of the first one count.
            for buffer in self.result.buffers():
                dist.broadcast(buffer, 0)
        measured = validate(
            self.result,
            guarded(self.val_batches, self.stop),
            num_classes=self.model.num_classes,
            device=fabric.device,
            autocast=fabric.autocast,
            world_size=fabric.world_size,
            stop=lambda: self.stop.requested,
            families=self.clips.families,
            errors=None if self.objective.labels else self._errors,
        )
        if measured.failed:
            total = measured.failed + measured.clips
            what = f"{measured.failed} of {total} validation clips cannot be read"
            names = "; ".join(measured.failures)
            if measured.failed > total / 2:
                raise DataError(f"{what}: {names}")
            self.progress.line(f"epoch {at.epoch}: {what}: {names}")
        if not math.isfinite(measured.loss):
            raise UserError(
                f"epoch {at.epoch}: the validation loss is {measured.loss}; "
                f"try a lower --optim.lr (now {self.recipe.optim.lr:g})"
            )
        counts = {"clips": measured.clips, "failed": measured.failed}
        self.log("val", {**measured.scores(), **counts})
        return measured

    @property
    def result(self) -> Any:
        """The network that is validated and saved: the running average, if one is wanted."""
        return self.averages[0][0].model if self.averages else self.model

    def _errors(self, batch: Batch, number: int) -> Tensor:
        """Losses (B,) of the validation batch with this number."""
        layers: Any = self.averages[1][0].model if len(self.averages) > 1 else self.objective
        batch = moved(batch, self.fabric.device)
        return layers.errors(self.result, batch, [number, self.fabric.global_rank])

    # --- records --------------------------------------------------------------------------------

    def _open_logs(self, loggers: Sequence[Logger], size: int) -> RunLogs:
        """The CSV file, cut back to the saved state, the recipe's loggers and the caller's."""
        if not self.fabric.is_global_zero:
            return RunLogs(None, loggers)  # Lightning's loggers know which process they are in
        file = MetricsFile(self.run.metrics, size)
        return RunLogs(file, [*make_loggers(self.recipe, self.run, self.position.step), *loggers])

    def draw_curves(self, *, at_last: bool = False) -> None:
        """Write ``curves.png``, so seldom that it takes no more than a hundredth of the time.

        Args:
            at_last: Write it in any case. What goes wrong is said and ends no run.
        """
        begin = time.monotonic()
        if not self.fabric.is_global_zero or not self.recipe.train.page:
            return
        if begin < self.draw_after and not at_last:
            return
        try:
            epoch = None if self.best is None else self.best["epoch"]
            write_curves(self.run.metrics, self.run.curves, epoch)
        except UserError as error:
            self.progress.line(f"no {self.run.curves.name}: {error}")
        end = time.monotonic()
        self.draw_after = end + max(_DRAW_SECONDS, 100 * (end - begin))

    def log_step(self, rate: float) -> None:
        """Log what was trained on since the last time."""
        row = self.totals.take_recent()
        if row:
            self.log("step", {"lr": rate, **row, "grad_norm": self.grad_norm})

    def log(self, row: str, values: dict[str, Any]) -> None:
        """Log a row, see :meth:`RunLogs.write`."""
        self._count_seconds()
        self.logs.write(row, self.position, values)
        self.callbacks.call("on_log", row, values)

    def is_time_to_save(self) -> bool:
        """Whether the recipe wants the state saved after this step."""
        train = self.recipe.train
        steps, minutes = train.checkpoint_every_n_steps, train.checkpoint_every_minutes
        if steps is not None and self.position.step - self.saved_step >= steps:
            return True
        late = minutes is not None and time.monotonic() - self.saved_at > 60 * minutes
        # Only the first process writes, so that its clock alone decides.
        return late and self.fabric.is_global_zero

    def save(self) -> None:
        """Save what a restart needs; everything it does not hold was written before."""
        self._count_seconds()
        self.saved_at, self.saved_step, self.unsaved = time.monotonic(), self.position.step, False
        if not self.fabric.is_global_zero:
            return
        averages = [average.state_dict() for average, _ in self.averages] + [None, None]
        self.run.save_state(
            {
                "data": self._fingerprint(),
                "finished": self.finished(),
                "best": self.best,
                "latest": self.latest,
                "metrics_size": self.logs.size(),
                "position": dataclasses.asdict(self.position),
                "totals": dataclasses.asdict(self.totals),
                "model": self.model.state_dict(),
                "average": averages[0],
                "objective": self.objective.state_dict(),
                "objective_average": averages[1],
                "optimizer": self.optimizer.state_dict(),
                "precision": self.fabric.strategy.precision.state_dict(),
            }
        )

    def _restored(self) -> dict[str, Any] | None:
        """Take up all of a saved state but the optimiser's, and give it; None of a new run."""
        if not self.run.state.exists():
            return None
        state = self.run.load_state()
        if state["data"] != self._fingerprint():
            raise DataError(
                f"{self.run.path}: the clips are not those the run began with (files, labels, "
                "classes or their weights changed), or the objective is another; "
                "--overwrite true starts it anew"
            )
        self.model.load_state_dict(state["model"])
        self.objective.load_state_dict(state["objective"])
        saved = [state["average"], state["objective_average"]]
        for (average, _), one in zip(self.averages, saved, strict=False):
            average.load_state_dict(one)
        self.position, self.totals = Position(**state["position"]), Totals(**state["totals"])
        self.best, self.latest = state["best"], state["latest"]
        return state

    def _has_layers(self) -> bool:
        """Whether the objective has parameters of its own."""
        return next(self.objective.parameters(), None) is not None

    def _fingerprint(self) -> str:
        """What must not change within a run beside its recipe."""
        return f"{self.clips.fingerprint()} {type(self.objective).__name__}"

    def save_checkpoints(self, *, is_best: bool) -> None:
        """Write the last checkpoint and, where it is the best so far, that one too."""
        at, model = self.position, self.result
        training = {**self.info, "epoch": at.epoch, "step": at.step, "seconds": round(at.seconds)}
        kept = {key: model.info[key] for key in ("origin",) if key in model.info}
        model.info = kept | {"training": training}
        if self.latest is not None:
            model.info["measured"] = {"validation": self.latest}
        model.save_pretrained(self.run.last)
        if is_best:
            model.save_pretrained(self.run.best)

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self.position.seconds += now - self.counted_at
        self.counted_at = now

    def _batches_done(self) -> int:
        return self.position.epoch * len(self.loader) + self.position.batch

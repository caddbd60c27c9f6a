"""The Lightning module: one training step, and the exact place in the run that it has reached.

Resuming does not use Lightning's own checkpoints: their loop counters know several kinds of
interrupted epoch, none of which promises the same loss curve. Instead the place in the run is
three numbers of our own (epoch, batch, optimiser step), everything random is a function of them
and the seed, and a resumed run is a fresh trainer that starts counting from there.
"""

from __future__ import annotations

import functools
import math
from contextlib import ExitStack
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..console import say
from ..data.loading.dataset import Batch
from .clips.batches import EpochBatches, TrainLoader
from .clips.inputs import mixing, moved, training_inputs
from .divergence import GradientWatch, loss_error
from .freezing import backbone_rate, drop_gradients, frozen_backbone, no_part
from .objectives.distill import Teacher
from .objectives.losses import LossKind, classification_loss, loss_kind, zero_loss
from .objectives.pretraining import Pretraining
from .objectives.smoothness import recorded_features, smoothness_loss
from .optim import batch_scale, build_optimizer, learning_rate, set_rates
from .recipe.fields import Recipe
from .run.ema import WeightAverage
from .run.interrupt import StopRequest
from .run.position import Position, Totals


class VideoTask(pl.LightningModule):
    """Trains a video classifier.

    Args:
        model: A model with a ``clip``, in training mode.
        recipe: Optimiser, loss and seed.
        stop: Whether somebody asked to save and stop.
        class_weights: ``(num_classes,)`` float32; None is 1 for all.
        teacher: A model to learn from, if the recipe wants one.
        pretraining: What is learned beside the classes or in their place.
    """

    def __init__(
        self,
        model: Any,
        recipe: Recipe,
        stop: StopRequest,
        class_weights: Tensor | None = None,
        teacher: Teacher | None = None,
        pretraining: Pretraining | None = None,
    ):
        super().__init__()
        self.model: Any = model
        self.recipe = recipe
        self.stop = stop
        self.loss_kind: LossKind = loss_kind(recipe.optim.loss, multi_label=model.multi_label)
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.teacher = teacher
        self.pretraining = pretraining
        self.mixing = mixing(recipe.augment)
        self.position = Position()
        self.totals = Totals()
        self.first_step = 0
        self.steps_per_epoch = 1
        self.loader: TrainLoader | None = None
        self.stop_agreed = False
        self.grad_norm = math.nan
        self._gradients = GradientWatch(recipe)
        self._last_indices = torch.empty(0, dtype=torch.int64)
        self.optimizer_state: dict[str, Any] | None = None
        decay = recipe.train.ema_decay
        # Inside a list Lightning does not see the average: DDP need not exchange it every step.
        self._average = [] if decay is None else [WeightAverage(model, decay)]
        self._beside: list[WeightAverage] = []
        if decay is not None and pretraining is not None:
            self._beside = [WeightAverage(pretraining, decay)]

    @property
    def average(self) -> WeightAverage | None:
        """The running average of the weights, if wanted."""
        return self._average[0] if self._average else None

    @property
    def averages(self) -> list[WeightAverage]:
        """All running averages: of the model and of the layers of pre-training."""
        return [*self._average, *self._beside]

    @property
    def labels(self) -> bool:
        """Whether classes are learned."""
        return self.pretraining is None or self.pretraining.labels

    def errors(self, clips: Tensor, number: int) -> Tensor:
        """Losses (B,) of masked features of the validation batch with this number."""
        layers = self._beside[0].model if self._beside else self.pretraining
        return cast("Pretraining", layers).errors(self.result, clips, [number, self.global_rank])

    @property
    def result(self) -> Any:
        """The model that is evaluated and saved."""
        return self._average[0].model if self._average else self.model

    def use_loader(self, loader: TrainLoader) -> None:
        """Take the training clips of this process."""
        self.loader = loader
        self.steps_per_epoch = math.ceil(len(loader) / self.recipe.train.accumulate)

    def train_dataloader(self) -> Any:
        """Batches from the current position to the end of its epoch."""
        assert self.loader is not None
        return EpochBatches(self.loader, self.position, self.stop)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser, with its running averages where the run is resumed."""
        fused = self.recipe.train.precision != "fp16"
        apart = self.recipe.train.freeze_epochs > 0
        optimizer = build_optimizer(
            self.model, self.recipe.optim, fused=fused, extra=self.pretraining, head_apart=apart
        )
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
            self.optimizer_state = None
        return optimizer

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Move the tensors; the rest of a batch is a few Python values."""
        return moved(batch, device)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make dropout and stochastic depth a function of the place in the run."""
        mixed = np.random.SeedSequence(self._place())
        torch.manual_seed(int(mixed.generate_state(1, np.uint64)[0]) >> 1)
        epochs = self.position.step / self.steps_per_epoch
        set_rates(self.optimizers(False), self.current_rate(), backbone_rate(epochs, self.recipe))

    def _place(self) -> list[int]:
        """What everything random in a batch is a function of."""
        return [self.recipe.seed, self.position.epoch, self.position.batch, self.global_rank]

    @property
    def frozen(self) -> bool:
        """Whether the head learns alone in this epoch."""
        return self.position.epoch < self.recipe.train.freeze_epochs

    def current_rate(self) -> float:
        """Learning rate of the next optimiser step; `layer_decay` lowers it for some groups."""
        return batch_scale(self.recipe) * learning_rate(
            self.position.step,
            self.recipe.optim,
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.recipe.train.epochs,
        )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Give the loss of one batch and count it.

        Raises:
            UserError: If the loss is not finite, or too many clips cannot be read.
        """
        count, correct = len(batch["labels"]) * batch["clips"].shape[1], 0
        self._last_indices = batch["indices"]
        if not self._has_statistics(count):
            loss = zero_loss(self.model.parameters())
            count = 0
        else:
            clips, targets = training_inputs(
                batch, self.model.clip, self.model.num_classes, self.mixing, self._place()
            )
            loss, logits = self._loss(clips, targets, batch)
            if self.labels and not self.model.multi_label:
                # Of a mixed clip the class that it has most of counts.
                labels = targets.argmax(1) if targets.dim() == 2 else targets
                correct = int((logits.argmax(1) == labels).sum())
        self._count(batch, count, loss.item() if count else 0.0, correct)
        return loss

    def _has_statistics(self, count: int) -> bool:
        """Whether a batch is trained on: one clip has no batch statistics."""
        enough = count >= 2
        if self.recipe.train.sync_batchnorm and self.trainer.world_size > 1:
            # Shared statistics wait for every process: if one has no clips, all leave theirs out.
            return self.trainer.strategy.reduce_boolean_decision(enough, all=True)
        return enough

    def _loss(
        self, clips: Tensor, targets: Tensor, batch: Any | None = None
    ) -> tuple[Tensor, Tensor]:
        """The loss of clips (B, 3, T, H, W), and their logits (B, K)."""
        optim, beside, features = self.recipe.optim, self.pretraining, None
        shown, mask = clips, None
        if beside is not None:
            shown, mask = beside.hide(clips, self._place())
        with ExitStack() as watching:
            pooled = optim.temporal_smoothness > 0 or self.recipe.distill.features > 0
            found = watching.enter_context(recorded_features(self.model)) if pooled else None
            seen = beside and watching.enter_context(beside.watch(self.model))
            watching.enter_context(frozen_backbone(self.model, self.frozen))
            logits = self.model(shown)
        if found is not None:
            features = found.features[0]
        loss = self._label_loss(logits, targets, shown, features)
        if features is not None and optim.temporal_smoothness > 0:
            smooth = smoothness_loss(features, optim.smoothness_frames)
            loss = loss + optim.temporal_smoothness * smooth
        if beside is not None and seen is not None:
            # What is known of two clips that are mixed is not known of the mix.
            given = batch if batch is not None and targets.dim() == 1 else {}
            known = given.get("targets"), given.get("masks")
            loss = loss + beside.loss(seen, clips, mask, *known)
        return (no_part(loss, self.model) if self.frozen else loss), logits

    def _label_loss(
        self, logits: Tensor, targets: Tensor, clips: Tensor, features: Tensor | None
    ) -> Tensor:
        optim = self.recipe.optim
        if not self.labels:
            return logits.sum() * 0  # DDP waits for a gradient of every layer
        loss = classification_loss(
            logits,
            targets,
            kind=self.loss_kind,
            label_smoothing=optim.label_smoothing,
            class_weights=cast("Tensor | None", self.class_weights),
        )
        if self.teacher is not None:
            loss = self.teacher.loss(loss, logits, clips, self.loss_kind, features)
        return loss

    def _count(self, batch: Batch, count: int, loss: float, correct: int) -> None:
        """Add a batch to the totals; all processes learn of it and decide alike."""
        finite = math.isfinite(loss)
        failures = batch["failures"]
        numbers = [count, loss * count if finite else 0.0, correct, len(failures)]
        numbers += [float(self.stop.requested), float(not finite)]
        if self.trainer.world_size > 1:
            shared = torch.tensor(numbers, dtype=torch.float64, device=self.device)
            dist.all_reduce(shared)
            numbers = shared.tolist()
        if numbers[5]:
            names = functools.partial(self._names, batch["indices"])
            step, several = self.position.step + 1, self.trainer.world_size
            raise loss_error(self.recipe, step, loss, names, several)
        self.totals.add(int(numbers[0]), numbers[1], int(numbers[2]), int(numbers[3]))
        self.totals.keep_failures(failures)
        self.stop_agreed = bool(numbers[4])
        assert self.loader is not None
        clips = self.recipe.train.batch_size * len(self.loader) * self.trainer.world_size
        self.totals.refuse_failures(clips, self.loader.source, self.trainer.world_size)

    def _names(self, indices: Tensor) -> list[str]:
        assert self.loader is not None
        return self.loader.names(indices.tolist())

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm of the whole gradient; one that is not finite may end the run."""
        if self.frozen:
            drop_gradients(self.model)
        limit = self.recipe.optim.gradient_clip
        parameters = [p for p in self.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit)
        self.grad_norm = norm.item()
        names = functools.partial(self._names, self._last_indices)
        told = self._gradients.check(self.grad_norm, self.position.step + 1, names)
        if told and self.trainer.is_global_zero:
            say(told)

    def advance(self) -> bool:
        """Move past the batch just trained on.

        Returns:
            Whether an optimiser step was taken, so that nothing but the weights is to be saved.
        """
        at = self.position
        at.batch += 1
        step = self.first_step + self.trainer.global_step
        stepped = step > at.step
        at.step = step
        if stepped:
            modules: list[Any] = [self.model, self.pretraining]
            for average, module in zip(self.averages, modules, strict=False):
                average.update(module)
        return stepped

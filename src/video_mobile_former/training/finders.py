"""Finding a learning rate and a batch size by trying them on the first steps of a run.

The range test of the learning rate is that of *Cyclical Learning Rates for Training Neural
Networks* (arXiv 1506.01186), its rate rising exponentially. Neither search leaves anything behind:
the run itself begins afterwards, from its own start.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..console import track
from ..data.loading.dataset import Batch
from ..errors import DataError, RecipeError
from .clips.inputs import moved
from .fit import prepare_parts
from .loop import Learner
from .optim import batch_scale, build_optimizer, set_rates
from .recipe.fields import Recipe
from .run.fabric import cores_for_workers, make_fabric, quiet_lightning
from .run.run_folder import RunFolder

LOW, HIGH = 1e-6, 1.0
"""Ends of the range of learning rates."""
_SMOOTHED = 0.9
"""Share of the old value that the running mean of the loss keeps."""
_DIVERGED = 3.0
"""Multiple of the lowest loss at which the test ends."""
_FEWEST_STEPS = 10
_LEAST_FALL = 0.05
"""Share of the first loss by which it has to fall."""
_BATCHES = (2, 4, 8, 16, 32, 64, 128, 256)
_TIMED = 3
_GAIN = 0.9
"""A larger batch is worth it if a clip takes less than this share of the time."""


@dataclass(frozen=True)
class FoundRate:
    """A learning rate, and what it was found from."""

    lr: float
    """For ``optim.lr``: where the loss falls fastest."""
    rates: tuple[float, ...]
    """What was tried, rising; in the unit of ``optim.lr``."""
    losses: tuple[float, ...]
    """Running mean of the loss after the step with each."""
    diverged_at: float | None
    """The rate at which the loss had risen threefold; None where it did not."""


@dataclass(frozen=True)
class TriedBatch:
    """A batch size that was tried."""

    batch_size: int
    milliseconds: float
    """Median time of a step for each clip."""
    fits: bool = True
    """False where the memory of the device did not suffice."""


@dataclass(frozen=True)
class FoundBatch:
    """A batch size, and what it was found from."""

    batch_size: int
    """For ``train.batch_size``: the smallest beyond which a clip gets no quicker by a tenth."""
    tried: tuple[TriedBatch, ...]


def find_lr(recipe: Recipe, *, steps: int = 60) -> FoundRate:
    """Train for some steps with a learning rate that rises from 1e-6 to 1.

    Args:
        recipe: The run that the rate is for; ``out`` is not needed.
        steps: Optimiser steps.

    Raises:
        UserError: As :func:`~.fit.fit`; or if the loss never falls.
    """
    rates, losses = [], []
    mean, lowest = 0.0, math.inf
    diverged: float | None = None
    scale = batch_scale(recipe)
    with _FirstSteps(recipe) as run:
        batches = run.batches()
        for step in track(range(steps), description="learning rate", total=steps):
            rate = LOW * (HIGH / LOW) ** (step / max(1, steps - 1))
            loss = run.step(next(batches), rate, [recipe.seed, 0, step, 0])
            mean = _SMOOTHED * mean + (1 - _SMOOTHED) * loss
            smooth = mean / (1 - _SMOOTHED ** (step + 1))
            if not math.isfinite(smooth) or (step >= _FEWEST_STEPS and smooth > _DIVERGED * lowest):
                diverged = rate / scale
                break
            lowest = min(lowest, smooth)
            rates.append(rate / scale)
            losses.append(smooth)
    return FoundRate(steepest(rates, losses), tuple(rates), tuple(losses), diverged)


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate at which the loss falls fastest, of those before its minimum.

    Args:
        rates: Rising, evenly on a logarithmic scale.
        losses: Smoothed, as many.

    Raises:
        DataError: If the loss falls by less than a twentieth: what is steepest is then chance.
    """
    end = int(np.argmin(losses)) + 1 if losses else 0
    if end < 3 or losses[end - 1] > (1 - _LEAST_FALL) * losses[0]:
        raise DataError(
            f"in {len(losses)} steps the loss fell by less than a twentieth with every learning "
            "rate, which tells nothing: keep the default, or start from weights (--weights); where "
            "training does not learn either, look at the data (vmf data check)"
        )
    slopes = np.gradient(np.array(losses[:end]), np.log(np.array(rates[:end])))
    return float(f"{rates[int(np.argmin(slopes))]:.2g}")


def find_batch(recipe: Recipe, sizes: Sequence[int] = _BATCHES) -> FoundBatch:
    """Time steps of training with larger and larger batches, until they do not fit or gain.

    Args:
        recipe: The run that the batch is for.
        sizes: Rising.

    Raises:
        UserError: As :func:`~.fit.fit`; or if not even the smallest fits.
    """
    tried: list[TriedBatch] = []
    for size in sizes:
        train = dataclasses.replace(recipe.train, batch_size=size)
        try:
            with _FirstSteps(dataclasses.replace(recipe, train=train)) as run:
                if tried and size > run.num_clips:
                    break
                batch = moved(next(run.batches()), run.fabric.device)
                times = []
                for number in range(_TIMED + 1):
                    begun = time.perf_counter()
                    run.step(batch, 0.0, [recipe.seed, 0, number, 0])
                    times.append(time.perf_counter() - begun)
        except (torch.OutOfMemoryError, MemoryError):
            tried.append(TriedBatch(size, math.nan, fits=False))
            torch.cuda.empty_cache()
            break
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            tried.append(TriedBatch(size, math.nan, fits=False))
            break
        tried.append(TriedBatch(size, 1000 * statistics.median(times[1:]) / size))
    fitting = [one for one in tried if one.fits]
    if not fitting:
        raise RecipeError(
            f"train.batch_size: not even {sizes[0]} clips of this size can be trained on here; "
            "--size and --frames make them smaller"
        )
    best = fitting[0]
    for one in fitting[1:]:
        if one.milliseconds < _GAIN * best.milliseconds:
            best = one
    return FoundBatch(best.batch_size, tuple(tried))


class _FirstSteps:
    """The first steps of a run, without its folder; a context manager."""

    def __init__(self, recipe: Recipe):
        if recipe.train.devices * recipe.train.nodes > 1:
            raise RecipeError("train.devices: a search takes one device; the run may have more")
        self.recipe = recipe

    def __enter__(self) -> _FirstSteps:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vmf-find-"))
            recipe = dataclasses.replace(self.recipe, out=folder)
            stack.enter_context(quiet_lightning())
            stack.enter_context(cores_for_workers(recipe.data.num_workers))
            self._begin(recipe, RunFolder(folder))
            self._stack = stack.pop_all()
        return self

    def _begin(self, recipe: Recipe, run: RunFolder) -> None:
        parts = prepare_parts(recipe, run, None)
        self.fabric = make_fabric(recipe)
        self.fabric.launch()
        self.num_clips = len(parts.clips)
        self.loader, _ = parts.clips.loaders(0, 1, self.fabric.device)
        parts.model.train()
        self.learner = self.fabric.setup_module(Learner(parts.model, parts.objective))
        self.optimizer: Any = self.fabric.setup_optimizers(
            build_optimizer(parts.model, recipe.optim, fused=recipe.train.precision != "fp16")
        )

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def batches(self) -> Iterator[Batch]:
        """Batches of training without an end."""
        epoch = 0
        while True:
            self.loader.start_at(epoch)
            yield from self.loader
            epoch += 1

    def step(self, batch: Batch, rate: float, place: list[int]) -> float:
        """One optimiser step; the loss before it."""
        torch.manual_seed(place[2])
        set_rates(self.optimizer, rate)
        loss, _ = self.learner(moved(batch, self.fabric.device), place)
        self.fabric.backward(loss)
        limit = self.recipe.optim.gradient_clip
        if limit is not None:
            self.fabric.clip_gradients(self.learner, self.optimizer, max_norm=limit)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

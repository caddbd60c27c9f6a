"""Lightning's trainer as a run wants it, its threads, and the warnings that it keeps to itself.

Devices, precision and the sum of gradients are left to it; epochs, validation, checkpoints and
progress are the keeper's, see :mod:`.callbacks`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from .recipe.fields import Recipe
from .recipe.read import recipe_to_dict
from .run.run_folder import RunFolder

if TYPE_CHECKING:
    import lightning.pytorch as pl
    from lightning.pytorch.loggers import Logger

_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}

_LIGHTNING_WARNS = (
    # Its own use of torch's pytree, as of Lightning 2.6 with torch 2.13.
    (r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning),
    # DDP on gradients of 1×1 kernels, whose strides differ only along axes of size 1.
    (r"Grad strides do not match bucket view strides", UserWarning),
)
"""Warnings about Lightning's insides or choices made on purpose, by their beginning."""


def make_trainer(
    recipe: Recipe, run: RunFolder, keeper: pl.Callback, loggers: Sequence[Logger]
) -> pl.Trainer:
    """Make the trainer of a run, or of what is left of it.

    Args:
        recipe: What to do.
        run: The folder; curves go on from its state.
        keeper: Validates, logs and saves, and says when it is enough.
        loggers: Told the metrics, besides TensorBoard.
    """
    import lightning.pytorch as pl
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning.pytorch.loggers import TensorBoardLogger

    train = recipe.train
    # Lightning's own way to requeue a job writes a checkpoint of its own, which it then loads over
    # the state of ours. In a job torchrun may still be what started the processes.
    in_slurm = SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    slurm: Any = [SLURMEnvironment(auto_requeue=False)] if in_slurm else None
    step = run.load_state(tensors=False)["position"]["step"] if run.state.exists() else None
    board = TensorBoardLogger(
        run.path,
        name=run.tensorboard.name,
        version="",
        default_hp_metric=False,
        # Curves forget what a killed run logged after its last saved state.
        purge_step=None if step is None else step + 1,
    )
    if step is None:
        board.log_hyperparams(recipe_to_dict(recipe))
    several = train.devices * train.nodes > 1
    return pl.Trainer(
        accelerator=train.accelerator,
        devices=train.devices,
        num_nodes=train.nodes,
        strategy="ddp" if several else "auto",
        sync_batchnorm=several and train.sync_batchnorm,
        precision=_PRECISIONS[train.precision],  # pyright: ignore[reportArgumentType] - a literal
        accumulate_grad_batches=train.accumulate,
        max_epochs=-1,  # the keeper says when it is enough: a resumed run has fewer to go
        logger=[board, *loggers],
        callbacks=[keeper],
        plugins=slurm,
        default_root_dir=run.path,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@contextlib.contextmanager
def cores_for_workers(num_workers: int) -> Iterator[None]:
    """Leave a core to every data worker while training on a CPU.

    The threads of an operation wait for the slowest of them. Where a worker has taken the core of
    one, all wait, thousands of times a step: on two cores a step then took 7 s instead of 0.6.
    A number of threads that the user asked for stays.
    """
    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, before - num_workers))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advice to itself; its errors stay."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message, category in _LIGHTNING_WARNS:
                warnings.filterwarnings("ignore", message, category)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

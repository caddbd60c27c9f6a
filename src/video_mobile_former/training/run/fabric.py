"""Devices, precision and processes of a run, by Lightning Fabric; its threads and its silence."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from ..recipe.fields import Recipe, TrainRecipe

if TYPE_CHECKING:
    from lightning.fabric import Fabric


def make_fabric(recipe: Recipe) -> Fabric:
    """Make the Fabric of a run; torchrun and SLURM tell it of their processes by themselves.

    With more than one device :meth:`~lightning.fabric.Fabric.launch` starts the running command
    again for each of the others.
    """
    from lightning.fabric import Fabric

    train = recipe.train
    several = train.devices * train.nodes > 1
    return Fabric(
        accelerator=train.device,
        devices=train.devices,
        num_nodes=train.nodes,
        strategy="ddp" if several else "auto",
        plugins=None if train.precision == "fp32" else _mixed_precision(train),
    )


def _mixed_precision(train: TrainRecipe) -> Any:
    from lightning.fabric.plugins import MixedPrecision

    class Autocast(MixedPrecision):
        """Leaves inputs in float32, which changes of colours and histograms want."""

        def convert_input(self, data: Any) -> Any:
            return data

    return Autocast("bf16-mixed" if train.precision == "bf16" else "16-mixed", _device(train))


def _device(train: TrainRecipe) -> str:
    """Type of device that Fabric takes for ``train.device``."""
    if train.device in ("cpu", "cuda", "mps"):
        return train.device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def kill_others(fabric: Fabric) -> None:
    """End the processes that this one has launched, if any."""
    for process in getattr(fabric.strategy.launcher, "procs", []):
        process.kill()


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
    # Importing the one imports the other, and the last one lends Fabric its logger.
    names = ("lightning.pytorch", "lightning.fabric", "lightning")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # DDP on gradients of 1×1 kernels, whose strides differ only along axes of size 1.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view", UserWarning)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

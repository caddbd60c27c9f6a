"""The loggers that a recipe names beside ``metrics.csv``: TensorBoard, Weights & Biases, MLflow.

Each has ``log_metrics(metrics, step)`` and ``finalize(status)``, as Lightning's have. Nothing goes
over the network unless the environment asks for it (``WANDB_MODE``, ``MLFLOW_TRACKING_URI``).
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ...errors import UserError
from ...files import write_text
from ...optional import require
from ..recipe.fields import Recipe
from ..recipe.read import recipe_to_dict
from .run_folder import RunFolder

PROJECT = "video-mobile-former"
"""Project of W&B and experiment of MLflow, unless ``WANDB_PROJECT`` or ``MLFLOW_EXPERIMENT_NAME``
says otherwise."""


class MetricsLogger(Protocol):
    """What is told the metrics of a run."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Take the values of one row, ``{"val/top1": 0.5}``, at an optimiser step."""

    def finalize(self, status: str) -> None:
        """Write what is held; ``"success"`` or ``"failed"``."""


class Memory:
    """What a logger has to know when its run is resumed, in a JSON file beside the state.

    A run that was killed computes what came after its last saved state again; rows of those steps
    were logged already and are left out.

    Args:
        path: The file; it need not exist.
        name: Of the logger.
    """

    def __init__(self, path: Path, name: str):
        self._path, self._name = path, name
        self.values: dict[str, Any] = self._all().get(name, {})

    def is_new(self, metrics: Mapping[str, float], step: int) -> bool:
        """Whether the row was not logged before; ask :meth:`keep` once it is."""
        return step > self.values.get(f"last {_row(metrics)}", -1)

    def keep(self, metrics: Mapping[str, float], step: int) -> None:
        """Remember that the row is logged."""
        self.save(**{f"last {_row(metrics)}": step})

    def save(self, **values: Any) -> None:
        """Remember values, on disk."""
        self.values |= values
        write_text(self._path, json.dumps(self._all() | {self._name: self.values}))

    def _all(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _row(metrics: Mapping[str, float]) -> str:
    return next(iter(metrics), "").partition("/")[0]


class WandbLogger:
    """Weights & Biases: offline, into ``wandb/`` of the run folder, unless ``WANDB_MODE`` is set.

    A resumed run has the same id, so that ``wandb sync --append`` puts its parts into one.
    """

    def __init__(self, recipe: Recipe, run: RunFolder):
        # Crashes are not reported to its makers either.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        wandb: Any = require("wandb", extra="wandb", purpose="train.logger wandb")
        self._memory = Memory(run.loggers, "wandb")
        if "id" not in self._memory.values:
            self._memory.save(id=secrets.token_hex(4))
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        quiet = mode == "offline"
        try:
            self._run = wandb.init(
                dir=str(run.path),
                id=self._memory.values["id"],
                resume="allow",
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=os.environ.get("WANDB_NAME", run.path.resolve().name),
                config=recipe_to_dict(recipe),
                mode=mode,
                settings=wandb.Settings(
                    silent=quiet, console="off", save_code=False, disable_git=True
                ),
            )
        except (wandb.Error, ValueError) as error:
            raise UserError(f"train.logger wandb (WANDB_MODE {mode}): {_line(error)}") from error

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Log a row."""
        if self._memory.is_new(metrics, step):
            self._run.log(metrics, step=step)
            self._memory.keep(metrics, step)

    def finalize(self, status: str) -> None:
        """Write the rest."""
        self._run.finish(exit_code=0 if status == "success" else 1)


class MlflowLogger:
    """MLflow: a SQLite file ``mlflow.db`` in the run folder, unless ``MLFLOW_TRACKING_URI`` is set.

    A resumed run goes on in the run of MLflow that it began.
    """

    def __init__(self, recipe: Recipe, run: RunFolder):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # on by default otherwise
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        local = f"sqlite:///{run.mlflow.resolve()}"
        uri = os.environ.get("MLFLOW_TRACKING_URI") or local
        self._memory = Memory(run.loggers, "mlflow")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the versions of its own libraries
            require("mlflow", extra="mlflow", purpose="train.logger mlflow")
            if uri.startswith("sqlite:"):
                for module in ("sqlalchemy", "alembic"):
                    require(module, extra="mlflow", purpose="train.logger mlflow")
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient

            try:
                self._client = MlflowClient(tracking_uri=uri)
                self._begin(recipe, run)
            except MlflowException as error:
                raise UserError(f"train.logger mlflow ({uri}): {_line(error)}") from error

    def _begin(self, recipe: Recipe, run: RunFolder) -> None:
        from mlflow.entities import Param

        known = self._memory.values.get("run")
        if known is not None:
            self._run = str(known)
            self._client.update_run(self._run, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(name)
        made = self._client.create_experiment(name) if found is None else found.experiment_id
        title = run.path.resolve().name
        self._run = self._client.create_run(made, run_name=title).info.run_id
        self._memory.save(run=self._run)
        flat = {
            f"{section}.{key}" if isinstance(values, dict) else section: value
            for section, values in recipe_to_dict(recipe).items()
            for key, value in (values.items() if isinstance(values, dict) else [("", values)])
        }
        params = [Param(key, str(value)[:500]) for key, value in flat.items()]
        for first in range(0, len(params), 100):  # most that one request takes
            self._client.log_batch(self._run, params=params[first : first + 100])

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Log a row."""
        import time

        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException

        if not self._memory.is_new(metrics, step):
            return
        now = int(1000 * time.time())
        rows = [Metric(name, float(value), now, step) for name, value in metrics.items()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._client.log_batch(self._run, metrics=rows)
            except MlflowException as error:
                raise UserError(
                    f"train.logger mlflow: {_line(error)}; the state saved last is unchanged"
                ) from error
        self._memory.keep(metrics, step)

    def finalize(self, status: str) -> None:
        """Say how the run ended."""
        from mlflow.exceptions import MlflowException

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                outcome = "FINISHED" if status == "success" else "FAILED"
                self._client.set_terminated(self._run, status=outcome)
            except MlflowException as error:
                raise OSError(_line(error)) from error


def _tensorboard(recipe: Recipe, run: RunFolder, step: int) -> MetricsLogger:
    from lightning.fabric.loggers.tensorboard import TensorBoardLogger

    logger: Any = TensorBoardLogger(
        run.path,
        name=run.tensorboard.name,
        version="",
        # Curves forget what a killed run logged after its last saved state.
        purge_step=step + 1 if step else None,
    )
    return logger


_MAKERS: dict[str, Callable[[Recipe, RunFolder, int], MetricsLogger]] = {
    "tensorboard": _tensorboard,
    "wandb": lambda recipe, run, step: WandbLogger(recipe, run),
    "mlflow": lambda recipe, run, step: MlflowLogger(recipe, run),
}


def check_loggers(recipe: Recipe) -> None:
    """Refuse loggers whose library is missing, before anything is written.

    Raises:
        UserError: It says what to install.
    """
    for name in recipe.train.logger:
        if name == "tensorboard":
            require("tensorboard", extra="train", purpose="train.logger tensorboard")
        elif name != "csv":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
                os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
                require(name, extra=name, purpose=f"train.logger {name}")


def make_loggers(recipe: Recipe, run: RunFolder, step: int) -> list[MetricsLogger]:
    """The loggers of ``train.logger``, ready to go on after ``step``; ``csv`` needs none.

    Args:
        recipe: Which.
        run: Where they write.
        step: Optimiser steps of the saved state; 0 of a new run.

    Raises:
        UserError: If one is not installed or cannot begin.
    """
    wanted = dict.fromkeys(name for name in recipe.train.logger if name != "csv")
    return [_MAKERS[name](recipe, run, step) for name in wanted]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]

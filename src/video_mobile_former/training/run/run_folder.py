"""The folder of one training run: what lies where, what a restart may continue, and its state.

::

    best/  last/      checkpoint folders
    recipe.yaml       every field of the recipe
    metrics.csv       tensorboard/  wandb/  mlflow.db
    curves.png        training.html
    state/            what resuming needs; empty before the first save
    excluded.txt      clips that are excluded from the start, if there are any
    quarantine.txt    files that failed twice and are no longer read; of the second and further
                      processes quarantine-rank1.txt and so on
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from ...data.loading.failures import Quarantine
from ...errors import RecipeError, UserError
from ...files import check_folder
from ..recipe.fields import Recipe
from ..recipe.read import load_recipe, recipe_differences, save_recipe
from .state_file import read_state, write_state

_FREE_TO_CHANGE = (
    "out",
    "data.num_workers",
    "decode.timeout_seconds",
    "decode.memory_limit_mb",
    "train.checkpoint_every_n_steps",
    "train.checkpoint_every_minutes",
    "train.page",
    "train.logger",
)
"""Fields that may differ when a run is continued: they do not change what it computes, or only for
files that could not be read before."""

_QUARANTINES = "quarantine*.txt"


class RunFolder:
    """Paths and state of one training run.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.best = self.path / "best"
        self.last = self.path / "last"
        self.recipe = self.path / "recipe.yaml"
        self.metrics = self.path / "metrics.csv"
        self.curves = self.path / "curves.png"
        self.page = self.path / "training.html"
        self.tensorboard = self.path / "tensorboard"
        self.wandb = self.path / "wandb"
        self.mlflow = self.path / "mlflow.db"
        self.loggers = self.path / "state" / "loggers.json"
        self.state = self.path / "state" / "state.safetensors"
        self.excluded = self.path / "excluded.txt"

    def quarantine(self, rank: int = 0) -> Quarantine:
        """The files that the run no longer reads, as one of its processes keeps them.

        Args:
            rank: Number of the process; each writes a file of its own, so that none writes over
                what another has found.
        """
        name = f"quarantine-rank{rank}.txt" if rank else "quarantine.txt"
        about = "files that failed twice, or ended the process that read them, in this run"
        return Quarantine(self.path / name, source=about, others=_QUARANTINES)

    def continues(self, recipe: Recipe) -> bool:
        """Whether the folder holds a run that has got so far that ``recipe`` may continue it."""
        return self.recipe.exists() and self.state.exists() and not recipe.overwrite

    def finished(self, recipe: Recipe) -> bool:
        """Whether the folder holds a finished run that ``recipe`` does not want anew."""
        return self.continues(recipe) and bool(self.load_state(tensors=False)["finished"])

    def prepare(self, recipe: Recipe) -> Literal["new", "unfinished", "finished"]:
        """Look at what the folder holds and make it ready for ``recipe``.

        Returns:
            ``"new"`` (the folder now holds the recipe alone), or that the same run is there,
            unfinished or finished.

        Raises:
            RecipeError: If another run or what no run wrote is there, or the recipe forbids
                touching a run.
            UserError: If the folder cannot be written.
        """
        check_folder(self.path)
        if self.recipe.exists() and not recipe.overwrite:
            if not recipe.resume:
                raise RecipeError(
                    f"out: {self.path} already holds a run; take another folder, or "
                    "--overwrite true to delete it"
                )
            self._check_same(recipe)
            self._tidy()
            if self.state.exists():
                return "finished" if self.load_state(tensors=False)["finished"] else "unfinished"
            # Otherwise stopped before its first state was saved.
        if not recipe.overwrite:
            self.check_nothing_is_lost()
        self._clear()
        save_recipe(recipe, self.recipe)
        # Tells a run that has begun from a recipe that somebody put beside a checkpoint.
        self.state.parent.mkdir()
        return "new"

    def check_nothing_is_lost(self) -> None:
        """Refuse a folder in which a new run would clear away what no run wrote.

        Raises:
            RecipeError: It names the first such file or folder.
        """
        if self.recipe.exists() and self.state.parent.exists():
            return
        for path in self._written():
            if path.exists() and path != self.recipe:
                raise RecipeError(
                    f"out: {path} is there, and no run of ours wrote it; take another folder, or "
                    "--overwrite true to delete it"
                )

    def _written(self) -> list[Path]:
        """What a run writes."""
        folders = [self.best, self.last, self.tensorboard, self.wandb, self.state.parent]
        files = [self.metrics, self.curves, self.page, self.mlflow, self.recipe, self.excluded]
        return [*folders, *files, *self.path.glob(_QUARANTINES)]

    def save_state(self, state: dict[str, Any]) -> None:
        """Write the state, all or nothing.

        Raises:
            UserError: If it cannot be written; the state saved before is then still there.
        """
        write_state(self.state, state)

    def load_state(self, *, tensors: bool = True) -> dict[str, Any]:
        """Read the state, on request without its tensors.

        Raises:
            UserError: If it is broken or of another version.
        """
        try:
            return read_state(self.state, tensors=tensors)
        except UserError as error:
            raise UserError(f"{error}; --overwrite true starts the run anew") from error

    def _check_same(self, recipe: Recipe) -> None:
        differences = recipe_differences(load_recipe(self.recipe), recipe)
        for key in _FREE_TO_CHANGE:
            differences.pop(key, None)
        if differences:
            shown = ", ".join(f"{key} was {a!r}, now {b!r}" for key, (a, b) in differences.items())
            raise RecipeError(
                f"out: {self.path} holds a run with another recipe: {shown}; take another folder, "
                "the old values, or --overwrite true to delete the run"
            )

    def _tidy(self) -> None:
        """Mend what a kill in the middle of replacing a folder leaves behind."""
        for target in (self.best, self.last, self.state):
            old = target.with_name(f".{target.name}-old")
            if old.exists() and not target.exists():
                old.rename(target)
            for left in target.parent.glob(f".{target.stem}-*"):
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Delete what a run writes, and nothing else that may lie in the folder."""
        self._tidy()
        try:
            for path in self._written():
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"cannot clear {self.path}: {error.strerror}") from error

"""Searching for a better recipe: many short runs, stopped early where they fall behind.

Optuna (arXiv 1907.10902) proposes the values and says which trials are hopeless; the runs are those
of :func:`~.fit.fit`. All of it is in the output folder, so that a search that is broken off goes on
where it stopped, within a trial too.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..console import say
from ..errors import DataError, RecipeError, UserError
from ..files import check_folder
from ..models.checkpoint import read_config
from ..optional import require
from ..ranges import read_text
from .fit import fit
from .recipe.fields import Recipe
from .recipe.keys import known_key, types_by_key
from .recipe.read import build, load_recipe, save_recipe, values_of
from .run.callbacks import Callback, Moment
from .tally import BEST_NAMES, best_by

DEFAULT_SPACE = (
    "optim.lr=1e-4..1e-2",
    "optim.layer_decay=0.6..1.0",
    "optim.weight_decay=0.005..0.2",
    "augment.color_jitter=0.0..0.6",
    "augment.randaugment_ops=0,2,4",
)
"""What is searched unless something else is named."""

_LOG_FROM = 10.0
"""Ranges whose ends differ by at least this factor are searched on a logarithmic scale."""
_FREE_TRIALS = 6
"""First trials that are sampled at random; none is stopped before four have ended."""
_MOST_FAILURES = 3


@dataclass(frozen=True)
class Tuned:
    """What a search has found."""

    recipe: Path
    """The best recipe, which ``vmf train`` takes."""
    values: dict[str, Any]
    """What it has in place of the recipe the search began with."""
    score: float
    """Its best validation score."""
    score_name: str
    trial: int
    """Number of the trial, from 0."""
    out: Path
    """Folder of its run."""
    trials: dict[str, int]
    """How many ended how: ``complete``, ``pruned``, ``fail``."""


class _PrunedError(UserError):
    """The trial has fallen behind."""


@dataclass(frozen=True)
class Choice:
    """The values of one key that are searched: a range, or some values."""

    key: str
    values: tuple[Any, ...]
    is_range: bool

    def suggest(self, trial: Any) -> Any:
        """The value of a trial of Optuna."""
        if not self.is_range:
            return trial.suggest_categorical(self.key, list(self.values))
        low, high = self.values
        log = low > 0 and high / low >= _LOG_FROM
        if isinstance(low, int):
            return trial.suggest_int(self.key, low, high, log=log)
        return trial.suggest_float(self.key, low, high, log=log)

    def holds(self, value: Any) -> bool:
        """Whether a value is among those that are searched."""
        if not self.is_range:
            return value in self.values
        return value is not None and self.values[0] <= value <= self.values[1]


def read_choice(text: str) -> Choice:
    """Read ``KEY=LOW..HIGH`` or ``KEY=A,B,C``; values are those of the key, with its limits.

    Raises:
        RecipeError: It names the key and what is wanted.
    """
    name, equals, right = text.partition("=")
    key = known_key(name.strip(), "--search")
    if not equals or not right.strip():
        raise RecipeError(f"--search {text}: must be KEY=LOW..HIGH or KEY=A,B,C")
    is_range = ".." in right
    parts = right.split("..") if is_range else right.split(",")
    try:
        values = tuple(read_text(types_by_key()[key], part.strip()) for part in parts)
    except ValueError as error:
        raise RecipeError(f"--search {text}: each value must be {error}") from None
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if is_range and (len(values) != 2 or not numbers or not values[0] < values[1]):
        raise RecipeError(f"--search {text}: a range is two rising numbers, such as 1e-4..1e-2")
    if any(isinstance(value, tuple) for value in values):
        raise RecipeError(f"--search {text}: a key that holds a list cannot be searched")
    if not is_range and len(set(values)) < 2:
        raise RecipeError(f"--search {text}: at least two values are needed")
    return Choice(key, values, is_range)


class _Report(Callback):
    """Tells Optuna the score of each epoch, and ends a trial that has fallen behind."""

    def __init__(self, trial: Any):
        self._trial = trial

    def on_epoch(self, moment: Moment) -> None:
        if moment.measured is None:
            raise RecipeError("a search needs validation clips: data.val_fraction or data.val_path")
        name = _score_name(moment.recipe, moment.model.multi_label, moment.measured)
        with _quiet():
            # Of a run that goes on, the epoch may have been told before.
            known = self._trial.study._storage.get_trial(self._trial._trial_id)
            if moment.epoch not in known.intermediate_values:
                self._trial.report(_signed(name, moment.measured[name]), moment.epoch)
            behind = self._trial.should_prune()
        if behind and moment.epoch < moment.recipe.train.epochs:
            raise _PrunedError(
                f"{BEST_NAMES[name]} {moment.measured[name]:.3f}, behind other trials"
            )


def tune(recipe: Recipe, out: str | Path, *, trials: int = 20, search: Sequence[str] = ()) -> Tuned:
    """Search for a better recipe, or go on with a search that was broken off.

    Args:
        recipe: What every trial has in common; the first trial is this recipe itself, where its
            values lie in the space.
        out: Folder for ``tune.db``, ``recipe.yaml``, ``trials/`` and ``best.yaml``.
        trials: How many in all, those of earlier calls included.
        search: ``KEY=LOW..HIGH`` and ``KEY=A,B,C``; without any, :data:`DEFAULT_SPACE`.

    Returns:
        The best trial.

    Raises:
        UserError: If data, space or folder do not allow it, or no trial has come to its end.
        TrainingInterrupted: After Ctrl-C; the same call goes on.
    """
    optuna: Any = require("optuna", extra="tune", purpose="vmf tune")
    if recipe.train.devices * recipe.train.nodes > 1:
        raise RecipeError(
            "train.devices: a search runs in one process; several searches do not mix"
        )
    space = [read_choice(text) for text in (search or DEFAULT_SPACE)]
    keys = [choice.key for choice in space]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise RecipeError(f"--search: given twice: {', '.join(sorted(twice))}")
    out = Path(out)
    check_folder(out)
    study = _study(optuna, recipe, out, [*(search or DEFAULT_SPACE)], space)
    failures = 0
    while True:
        with _quiet():
            # A sampler for each trial, so that a search that goes on proposes what it would have.
            done = [trial for trial in study.trials if trial.state.is_finished()]
            begun = [t for t in study.trials if t.state == optuna.trial.TrialState.RUNNING]
            if len(done) >= trials and not begun:
                break
            seed = recipe.seed + len(done)
            study.sampler = optuna.samplers.TPESampler(n_startup_trials=_FREE_TRIALS, seed=seed)
            trial = optuna.trial.Trial(study, begun[0]._trial_id) if begun else study.ask()
            values = {choice.key: choice.suggest(trial) for choice in space}
        shown = ", ".join(
            f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()
        )
        say(f"trial {trial.number + 1} of {trials}: {shown}")
        state, score = optuna.trial.TrialState.COMPLETE, None
        try:
            one = _recipe(recipe, values, out / "trials" / f"{trial.number:03d}")
            found = fit(one, callbacks=[_Report(trial)])
            assert found.best_measured is not None
            # Of the checkpoint that the run calls its best: with few validation clips, the last.
            multi = bool(read_config(found.last)["multi_label"])
            name = _score_name(one, multi, found.best_measured)
            score = _signed(name, found.best_measured[name])
            with _quiet():
                study.set_user_attr("score", name)
        except _PrunedError as pruned:
            say(f"trial {trial.number + 1} is stopped: {pruned}")
            state = optuna.trial.TrialState.PRUNED
        except (DataError, RecipeError):
            raise
        except UserError as error:  # a rate too high, for example
            failures += 1
            if failures >= _MOST_FAILURES and failures == len(done) + 1:
                raise
            say(f"trial {trial.number + 1} has failed: {error}")
            state = optuna.trial.TrialState.FAIL
        with _quiet():
            study.tell(trial, score, state)
    return _result(study, recipe, out)


def _study(
    optuna: Any, recipe: Recipe, out: Path, texts: list[str], space: Sequence[Choice]
) -> Any:
    """The study of the folder, begun or as it was."""
    saved = out / "recipe.yaml"
    plain = dataclasses.replace(recipe, out=None, resume=True, overwrite=False)
    if saved.exists() and load_recipe(saved) != plain:
        raise RecipeError(f"{out} holds a search with another recipe; take another --out")
    if not saved.exists():
        if (out / "tune.db").exists():
            raise RecipeError(f"{out / 'tune.db'} is there without its recipe; take another --out")
        save_recipe(plain, saved)
    least = max(1, recipe.train.epochs // 5)
    with _quiet():
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            study = optuna.create_study(
                storage=f"sqlite:///{(out / 'tune.db').resolve()}",
                study_name="tune",
                load_if_exists=True,
                direction="maximize",
                pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=least),
            )
            before = study.user_attrs.get("search")
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise UserError(f"{out / 'tune.db'} is no search of ours: {text}") from error
        if before is None:
            study.set_user_attr("search", texts)
            own = {choice.key: values_of(recipe)[choice.key] for choice in space}
            if all(choice.holds(own[choice.key]) for choice in space):
                study.enqueue_trial(own)
        elif before != texts:
            raise RecipeError(
                f"{out} holds a search over {' '.join(before)}; take another --out, or the same"
            )
    return study


def _recipe(recipe: Recipe, values: Mapping[str, Any], out: Path | None) -> Recipe:
    own = {**values_of(recipe), **values, "out": None if out is None else str(out)}
    # min_lr is a limit below lr, whatever lr is tried.
    own["optim.min_lr"] = min(own["optim.min_lr"], own["optim.lr"])
    if out is not None:
        own |= {"train.page": False, "train.logger": ("csv",), "resume": True, "overwrite": False}
    return build(own, "vmf tune")


def _result(study: Any, recipe: Recipe, out: Path) -> Tuned:
    with _quiet():
        ended = [trial.state.name.lower() for trial in study.trials if trial.state.is_finished()]
        if "complete" not in ended:
            raise UserError(f"{out}: none of {len(ended)} trials has come to its end")
        best = study.best_trial
    run = out / "trials" / f"{best.number:03d}"
    name = str(study.user_attrs["score"])
    save_recipe(_recipe(recipe, best.params, None), out / "best.yaml")
    counts = {state: ended.count(state) for state in ("complete", "pruned", "fail")}
    score = _signed(name, best.value)
    return Tuned(
        out / "best.yaml", dict(best.params), score, BEST_NAMES[name], best.number, run, counts
    )


def _score_name(recipe: Recipe, multi_label: bool, measured: Mapping[str, Any]) -> str:
    return best_by(recipe, multi_label=multi_label, val_clips=measured["clips"])


def _signed(name: str, value: float) -> float:
    """Higher is better; applied twice, the score itself."""
    return -value if name == "loss" else value


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries below Optuna will change some day
        yield

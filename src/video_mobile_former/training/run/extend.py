"""More epochs for a run that is finished."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ...errors import RecipeError, UserError
from ..recipe.fields import Recipe
from ..recipe.read import load_recipe, save_recipe
from .run_folder import RunFolder


def extend_run(out: str | Path, epochs: int) -> Recipe:
    """Make a finished run an unfinished one with more to do, for :func:`~..fit.fit` to go on with.

    The learning rate begins anew after the epochs that are done, see ``train.restarts``; weights,
    running averages, the optimiser's state and the best checkpoint go on. The same call on the
    extended run, while that is unfinished, changes nothing: it goes on where it stopped.

    Args:
        out: The folder of the run.
        epochs: How many to add, at least 1.

    Returns:
        The recipe of the extended run.

    Raises:
        UserError: If there is no finished run.
    """
    run = RunFolder(out)
    if not run.recipe.exists() or not run.state.exists():
        raise UserError(f"--extend {epochs}: {run.path} holds no run that could be extended")
    recipe = dataclasses.replace(load_recipe(run.recipe), out=str(out))
    state = run.load_state()
    done, restarts = state["position"]["epoch"], recipe.train.restarts
    begun = bool(restarts) and restarts[-1] + epochs == recipe.train.epochs
    if begun and (not state["finished"] or done == restarts[-1]):
        extended = recipe
    elif not state["finished"]:
        raise RecipeError(
            f"--extend {epochs}: the run in {run.path} is not finished ({done} of "
            f"{recipe.train.epochs} epochs); let it end first, with the command that began it"
        )
    else:
        train = dataclasses.replace(recipe.train, epochs=done + epochs, restarts=(*restarts, done))
        extended = dataclasses.replace(recipe, train=train)
        # Before the state: broken off between the two, this is called again and taken for begun.
        save_recipe(extended, run.recipe)
    if state["finished"]:
        run.save_state({**state, "finished": False})
    return extended

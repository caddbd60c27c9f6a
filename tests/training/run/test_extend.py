"""A finished run is trained for longer, and an extension that was broken off goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from video_mobile_former.errors import UserError
from video_mobile_former.training.fit import fit
from video_mobile_former.training.optim import learning_rate
from video_mobile_former.training.recipe.fields import OptimRecipe, Recipe
from video_mobile_former.training.recipe.read import load_recipe
from video_mobile_former.training.run.callbacks import Callback, Moment
from video_mobile_former.training.run.extend import extend_run
from video_mobile_former.training.run.interrupt import TrainingInterrupted
from video_mobile_former.training.run.run_folder import RunFolder

Make = Callable[..., Recipe]


class _Stop(Callback):
    def __init__(self, step: int):
        self.step = step

    def on_step(self, moment: Moment) -> None:
        if moment.step == self.step:
            moment.stop()


def test_the_rate_begins_anew_and_the_part_before_stays() -> None:
    optim = OptimRecipe(lr=1.0, warmup_epochs=1.0, min_lr=0.0)
    plain = [learning_rate(s, optim, steps_per_epoch=10, epochs=4) for s in range(40)]
    both = [
        learning_rate(s, optim, steps_per_epoch=10, epochs=24, restarts=[4]) for s in range(240)
    ]
    assert both[:40] == plain
    # Twenty more epochs: a warm-up of one, then a cosine from lr to 0 over the other nineteen.
    assert both[40] == pytest.approx(0.1)
    assert both[50] == 1.0
    assert both[50 + 95] == pytest.approx(0.5)
    assert both[-1] < 1e-3
    # The warm-up takes at most a tenth.
    short = [learning_rate(s, optim, steps_per_epoch=10, epochs=6, restarts=[4]) for s in (40, 42)]
    assert short == pytest.approx([0.5, 1.0])


def _finished(path: Path, make: Make, *, epoch: int = 2, **values: Any) -> RunFolder:
    run = RunFolder(path)
    run.prepare(make(out=str(path), **values))
    run.save_state({"finished": True, "position": {"epoch": epoch}, "x": torch.arange(3)})
    return run


def test_the_same_call_is_taken_once(make_recipe: Make, tmp_path: Path) -> None:
    run = _finished(tmp_path / "run", make_recipe)
    once = extend_run(run.path, 3)
    assert (once.train.epochs, once.train.restarts) == (5, (2,))
    assert not run.load_state()["finished"]
    assert run.load_state()["x"].tolist() == [0, 1, 2]
    assert extend_run(run.path, 3) == once
    with pytest.raises(UserError, match=r"not finished \(2 of 5 epochs\)"):
        extend_run(run.path, 4)
    # Broken off between recipe and state.
    run.save_state({**run.load_state(), "finished": True})
    assert extend_run(run.path, 3) == once
    run.save_state({"finished": True, "position": {"epoch": 5}})
    twice = extend_run(run.path, 3)
    assert (twice.train.epochs, twice.train.restarts) == (8, (2, 5))
    assert load_recipe(run.recipe) == dataclasses.replace(twice, out=str(run.path))


def test_a_run_that_stopped_early_goes_on_from_there(make_recipe: Make, tmp_path: Path) -> None:
    run = _finished(tmp_path / "run", make_recipe, epoch=4, train__epochs=9, train__patience=2)
    recipe = extend_run(run.path, 3)
    assert (recipe.train.epochs, recipe.train.restarts) == (7, (4,))


@pytest.mark.slow
def test_an_extension_that_is_broken_off_ends_as_one_that_was_not(
    make_recipe: Make, tmp_path: Path
) -> None:
    weights = []
    for name, stops in (("whole", []), ("broken", [_Stop(5)])):
        out = tmp_path / name
        fit(make_recipe(out=str(out), train__epochs=1))
        if stops:
            with pytest.raises(TrainingInterrupted):
                fit(extend_run(out, 1), callbacks=stops)
        result = fit(extend_run(out, 1))
        assert (result.epochs, result.step) == (2, 6)
        weights.append(load_file(result.last / "model.safetensors"))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])

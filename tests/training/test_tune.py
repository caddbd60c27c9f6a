"""A search over recipes: what is searched, what is pruned, and that it goes on where it stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from video_mobile_former.cli.main import main
from video_mobile_former.errors import RecipeError, UserError
from video_mobile_former.training import tune as module
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import load_recipe
from video_mobile_former.training.run.callbacks import Callback, Moment
from video_mobile_former.training.run.interrupt import TrainingInterrupted
from video_mobile_former.training.tune import DEFAULT_SPACE, Choice, read_choice, tune

Make = Callable[..., Recipe]
optuna: Any = pytest.importorskip("optuna")


def test_choices_are_read_with_the_type_of_their_key() -> None:
    assert read_choice("optim.lr=1e-4..1e-2") == Choice("optim.lr", (1e-4, 1e-2), True)
    assert read_choice("augment.randaugment_ops=0,2") == Choice(
        "augment.randaugment_ops", (0, 2), False
    )
    assert read_choice("optim.optimizer=adamw,sgd").values == ("adamw", "sgd")
    for text in DEFAULT_SPACE:
        choice = read_choice(text)
        assert choice.holds(choice.values[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim.lrr=1..2", r"unknown key optim\.lrr; did you mean optim\.lr"),
        ("optim.lr", r"KEY=LOW\.\.HIGH"),
        ("optim.lr=2..1", "two rising numbers"),
        ("optim.lr=-1..1", "each value must be"),
        ("optim.lr=fast,slow", "each value must be a number"),
        ("optim.optimizer=adamw..sgd", "two rising numbers"),
        ("optim.lr=0.1", "at least two values"),
        ("augment.scale=[0.1,1],[0.2,1]", "each value must be"),
    ],
)
def test_what_cannot_be_searched_is_one_line(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as error:
        read_choice(text)
    assert "\n" not in str(error.value)


def test_mistakes_are_found_before_anything_is_written(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tune"
    with pytest.raises(RecipeError, match=r"given twice: optim\.lr"):
        tune(make_recipe(), out, search=["optim.lr=1e-3..1e-2", "optim.lr=1,2"])
    with pytest.raises(RecipeError, match="one process"):
        tune(make_recipe(train__devices=2), out)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"video-mobile-former\[tune\]"):
        tune(make_recipe(), out)
    assert not out.exists()
    assert main(["tune", "--data", "x"]) == 2


class _Stop(Callback):
    def on_step(self, moment: Moment) -> None:
        if moment.step == 4:
            moment.stop()


@pytest.mark.slow
def test_a_search_that_is_broken_off_finds_what_it_would_have(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = ["optim.lr=1e-4..1e-2"]
    whole = tune(make_recipe(), tmp_path / "whole", trials=2, search=search)

    def stopped(recipe: Recipe, *, callbacks: Any) -> Any:
        return fit(recipe, callbacks=[*callbacks, *([_Stop()] if "001" in str(recipe.out) else [])])

    out = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(module, "fit", stopped)
        with pytest.raises(TrainingInterrupted):
            tune(make_recipe(), out, trials=2, search=search)
    found = tune(make_recipe(), out, trials=2, search=search)
    assert (found.values, found.score, found.trials) == (whole.values, whole.score, whole.trials)
    assert found.trials == {"complete": 2, "pruned": 0, "fail": 0}
    assert sorted(path.name for path in (out / "trials").iterdir()) == ["000", "001"]
    best = load_recipe(found.recipe)
    assert best.out is None
    assert best.optim.lr == found.values["optim.lr"]
    assert best.data == make_recipe().data
    with pytest.raises(RecipeError, match=r"a search over optim\.lr"):
        tune(make_recipe(), out, search=["optim.lr=1e-4..1e-3"])
    with pytest.raises(RecipeError, match="another recipe"):
        tune(make_recipe(seed=3), out, search=search)


def test_the_first_trial_is_the_recipe_and_those_behind_are_pruned(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def pretend(recipe: Recipe, *, callbacks: Any) -> Any:
        """Scores that fall from trial to trial; the second diverges."""
        rates.append(recipe.optim.lr)
        number = len(rates)
        if number == 2:
            raise UserError("step 3: the loss is nan")
        for epoch in (1, 2, 3):
            score = {"top1": epoch / 10 / number, "loss": 1.0, "clips": 60}
            model: Any = type("Model", (), {"multi_label": False})()
            at = (recipe, Path(str(recipe.out)), epoch, 3 * epoch, 0.1, score, score, model, model)
            for callback in callbacks:
                callback.on_epoch(Moment(*at, lambda: None))
        return type("Result", (), {"best_measured": score, "last": Path()})()

    monkeypatch.setattr(module, "fit", pretend)
    monkeypatch.setattr(module, "read_config", lambda _: {"multi_label": False})
    monkeypatch.setattr(module, "_result", lambda study, *_: study)
    recipe = make_recipe(train__epochs=3)
    study: Any = tune(recipe, tmp_path / "tune", trials=8, search=["optim.lr=1e-4..1e-2"])
    states = [trial.state.name for trial in study.trials]
    assert rates[0] == recipe.optim.lr
    assert len(set(rates)) == 8
    assert states == ["COMPLETE", "FAIL", *["COMPLETE"] * 3, *["PRUNED"] * 3]
    assert study.best_trial.number == 0
    assert study.best_value == pytest.approx(0.3)

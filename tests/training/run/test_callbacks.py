"""What callbacks are called with, in what order, and what becomes of their errors."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from video_mobile_former.errors import UserError
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.run.callbacks import (
    Callback,
    CallbackError,
    Callbacks,
    Moment,
    check_callbacks,
)
from video_mobile_former.training.run.interrupt import TrainingInterrupted
from video_mobile_former.training.run.run_folder import RunFolder

Make = Callable[..., Recipe]
PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"


class _Notes(Callback):
    """Writes down all calls, and takes random numbers, which must change nothing."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def on_begin(self, moment: Moment) -> None:
        self.calls.append(("begin", moment.epoch, moment.step))

    def on_step(self, moment: Moment) -> None:
        torch.rand(3)
        assert moment.lr > 0
        self.calls.append(("step", moment.epoch, moment.step))

    def on_log(self, moment: Moment, row: str, values: Any) -> None:
        assert math.isfinite(values["loss"])
        self.calls.append((f"log {row}", moment.epoch, moment.step))

    def on_epoch(self, moment: Moment) -> None:
        assert moment.measured is not None
        assert moment.measured["epoch"] == moment.epoch
        assert RunFolder(moment.out).load_state(tensors=False)["position"]["epoch"] == moment.epoch
        self.calls.append(("epoch", moment.epoch, moment.step))

    def on_end(self, moment: Moment, outcome: str) -> None:
        self.calls.append((outcome, moment.epoch, moment.step))


class _Breaks(Callback):
    def __init__(self, error: Exception):
        self.error = error

    def on_step(self, moment: Moment) -> None:
        raise self.error


def _moment() -> Moment:
    path = Path("x")
    return Moment(Recipe(), path, 1, 7, 0.1, None, None, None, None, lambda: None)


def test_an_error_names_the_callback_and_a_user_error_passes() -> None:
    with pytest.raises(
        CallbackError, match=r"_Breaks\.on_step \(epoch 1, step 7\): KeyError: 'x'"
    ) as error:
        Callbacks([_Breaks(KeyError("x"))], _moment).call("on_step")
    assert isinstance(error.value.__cause__, KeyError)
    own = UserError("enough")
    with pytest.raises(UserError, match="enough") as passed:
        Callbacks([_Breaks(own)], _moment).call("on_step")
    assert passed.value is own


@pytest.mark.parametrize("wrong", [print, _Notes, object()])
def test_what_is_no_callback_is_refused(wrong: Any) -> None:
    with pytest.raises(UserError, match="callbacks must be instances of"):
        check_callbacks([wrong])


@pytest.mark.slow
def test_callbacks_are_called_in_order_and_change_nothing(
    small_recipe: Make, tmp_path: Path
) -> None:
    notes = _Notes()
    first = fit(small_recipe(), callbacks=[notes])
    epochs = [
        [
            *[
                call
                for s in (1, 2, 3)
                for call in (("log step", e, 3 * e + s), ("step", e, 3 * e + s))
            ],
            *[(name, e + 1, 3 * e + 3) for name in ("log train", "log val", "epoch")],
        ]
        for e in (0, 1)
    ]
    assert notes.calls == [("begin", 0, 0), *epochs[0], *epochs[1], ("finished", 2, 6)]
    second = fit(small_recipe(out=str(tmp_path / "without")))
    one, two = (load_file(run.last / "model.safetensors") for run in (first, second))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.slow
def test_an_error_keeps_the_state_and_a_stop_is_resumed(small_recipe: Make) -> None:
    class Late(Callback):
        def on_step(self, moment: Moment) -> None:
            if moment.step == 5:
                raise ZeroDivisionError("no")

    class Stop(Callback):
        def on_step(self, moment: Moment) -> None:
            if moment.step == 4:
                moment.stop()

    recipe, notes = small_recipe(), _Notes()
    with pytest.raises(CallbackError, match=r"Late\.on_step \(epoch 1, step 5\): ZeroDiv"):
        fit(recipe, callbacks=[Late(), notes])
    assert notes.calls[-1] == ("failed", 1, 5)
    notes.calls.clear()
    with pytest.raises(TrainingInterrupted):
        fit(recipe, callbacks=[Stop(), notes])
    assert (notes.calls[0], notes.calls[-1][0]) == (("begin", 1, 3), "stopped")
    assert fit(recipe, callbacks=[Callback()]).step == 6


@pytest.mark.slow
def test_the_example_of_the_page_runs(
    small_recipe: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Callbacks")[2]
    found = re.search(r"```python[^\n]*\n(.*?)```", text, re.DOTALL)
    assert found is not None
    code = found[1].replace("GoodEnough(0.9)", "GoodEnough(0)")
    exec(compile(code, "api.md", "exec"), {"recipe": small_recipe()})
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("epoch 1: ")
    assert said[-1] == "good enough; the same call goes on"

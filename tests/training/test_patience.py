"""A run ends when validation has not got better for as long as the recipe wants to wait."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from video_mobile_former.errors import RecipeError
from video_mobile_former.training import loop
from video_mobile_former.training.fit import fit
from video_mobile_former.training.loop import Training
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.tally import Measured

Make = Callable[..., Recipe]

# (top-1, loss) of each epoch: the best of the first six is the third, as top-1 is the same in the
# second but its loss higher.
SCORES = [(0.5, 2.0), (0.75, 1.9), (0.75, 1.8), (0.75, 1.8), (0.5, 1.0), (0.625, 1.7), (1.0, 0.1)]


class _CrashError(Exception):
    pass


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lets every validation say what SCORES has next; holds how many there were."""
    asked: list[int] = []
    left: Iterator[tuple[float, float]] = iter(SCORES)

    def validate(*args: Any, **options: Any) -> Measured:
        top1, loss = next(left)
        asked.append(len(asked) + 1)
        return Measured(top1=top1, top5=1.0, mean_class=top1, loss=loss, clips=8)

    monkeypatch.setattr(loop, "validate", validate)
    return asked


@pytest.fixture
def patient(small_recipe: Make, clips_csv: Path, tmp_path: Path) -> Make:
    """Makes a recipe with one step an epoch, up to seven epochs."""
    rows = list(csv.DictReader(clips_csv.read_text(encoding="utf-8").splitlines()))
    val = [row for row in rows if row["split"] == "val"]
    few = [row for row in rows if row["split"] == "train"][::3] + val
    table = tmp_path / "few.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "path": str(clips_csv.parent / row["path"])} for row in few)

    def make(**changes: Any) -> Recipe:
        values = {"data__path": str(table), "train__epochs": 7, "clip__num_frames": 2}
        return small_recipe(**values | changes)

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("by", "patience", "epochs", "best"),
    # The loss is best at the fifth epoch; one epoch of waiting ends it where nothing changes.
    [
        ("top1", 1, 4, 3),
        pytest.param("top1", 3, 6, 3, marks=pytest.mark.slow),
        ("loss", 2, 7, 7),
        pytest.param("top1", 0, 7, 7, marks=pytest.mark.slow),
        # Eight clips choose by the loss where the run is to stop early; by top-1 it would at 5.
        ("auto", 2, 7, 7),
    ],
)
def test_the_epoch_at_which_a_run_ends(
    by: str,
    patience: int,
    epochs: int,
    best: int,
    patient: Make,
    scores: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = patient(train__best_by=by, train__patience=patience)
    result = fit(recipe)
    assert result.best_measured is not None
    assert result.last_measured is not None
    assert (result.epochs, len(scores)) == (epochs, epochs)
    assert (result.best_measured["epoch"], result.last_measured["epoch"]) == (best, epochs)
    said = capsys.readouterr().err.splitlines()
    early = [line for line in said if line.startswith("stopped early")]
    if epochs == 7:
        assert early == []
    else:
        assert early == [said[-1]]
        words = f"top-1 is no better since epoch 3 (train.patience {patience})"
        assert early[0] == f"stopped early: validation {words}"
    assert fit(recipe).epochs == epochs
    assert "this run is finished" in capsys.readouterr().err


@pytest.mark.slow
def test_few_clips_leave_the_newest_as_the_best(
    patient: Make, scores: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = patient(train__epochs=5)  # the third is the best by top-1
    result = fit(recipe)
    assert result.best is not None
    assert result.best_measured == result.last_measured
    assert result.best_measured is not None
    assert (result.best_measured["epoch"], len(scores)) == (5, 5)
    assert (result.best / "model.safetensors").read_bytes() == (
        result.last / "model.safetensors"
    ).read_bytes()
    said = capsys.readouterr().err
    assert "8 validation clips are too few to choose a checkpoint by: `best` is the last" in said
    assert "(best " not in said


@pytest.mark.slow
def test_a_resumed_run_counts_on(
    patient: Make, scores: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = patient(train__best_by="top1", train__patience=3)
    original = Training.step

    def training_step(self: Training, batch: Any) -> Any:
        if self.position.epoch == 4:
            raise _CrashError
        return original(self, batch)

    monkeypatch.setattr(Training, "step", training_step)
    with pytest.raises(_CrashError):
        fit(recipe)
    assert len(scores) == 4
    monkeypatch.setattr(Training, "step", original)
    assert fit(recipe).epochs == len(scores) == 6


def test_the_newest_is_never_worse(patient: Make) -> None:
    recipe = patient(train__best_by="last", train__patience=2)
    with pytest.raises(RecipeError, match=r"train\.patience 2: with train\.best_by last no"):
        fit(recipe)
    assert not Path(str(recipe.out)).exists()


def test_there_must_be_something_to_wait_for(patient: Make) -> None:
    recipe = patient(data__val_split="none", data__val_fraction=0.0, train__patience=2)
    with pytest.raises(RecipeError, match=r"train\.patience 2: there are no validation clips"):
        fit(recipe)
    assert not Path(str(recipe.out)).exists()

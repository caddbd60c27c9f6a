from __future__ import annotations

import csv
import json
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.loading.loader import make_loader
from video_mobile_former.data.transforms import normalize
from video_mobile_former.errors import DataError, RecipeError, UserError
from video_mobile_former.models.registry import load_checkpoint
from video_mobile_former.training.build import build_indexes
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import load_recipe
from video_mobile_former.training.run.interrupt import TrainingInterrupted
from video_mobile_former.training.run.run_folder import RunFolder

Make = Callable[..., Recipe]
Read = Callable[[Any], list[dict[str, str]]]


@pytest.fixture(scope="module")
def trained(make_recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One run of two epochs that several tests look at."""
    recipe = make_recipe(out=str(tmp_path_factory.mktemp("trained") / "run"))
    return recipe, fit(recipe)


@pytest.mark.slow
def test_what_a_run_leaves_behind(trained: Any, read_metrics: Read) -> None:
    recipe, result = trained
    out = Path(recipe.out)
    assert sorted(p.name for p in out.iterdir()) == [
        "best",
        "last",
        "metrics.csv",
        "recipe.yaml",
        "state",
        "tensorboard",
    ]
    assert load_recipe(out / "recipe.yaml") == recipe
    assert (result.epochs, result.step, result.is_main) == (2, 6, True)
    rows = read_metrics(out)
    assert [row["row"] for row in rows] == (["step"] * 3 + ["train", "val"]) * 2
    assert [row["step"] for row in rows if row["row"] == "step"] == list("123456")
    steps = [float(row["loss"]) for row in rows[:3]]
    assert float(rows[3]["loss"]) == pytest.approx(sum(steps) / 3)
    assert rows[3]["clips"] == "24"
    assert rows[4]["clips"] == "8"
    assert float(rows[0]["lr"]) == pytest.approx(1e-3 / 3)
    assert float(rows[2]["lr"]) == pytest.approx(1e-3)


def test_tensorboard_has_the_same_curves(trained: Any, read_metrics: Read) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe, _ = trained
    board = EventAccumulator(str(Path(recipe.out) / "tensorboard"))
    board.Reload()
    rows = [row for row in read_metrics(recipe.out) if row["row"] == "step"]
    events = board.Scalars("step/loss")
    assert [e.step for e in events] == [int(row["step"]) for row in rows]
    assert [e.value for e in events] == pytest.approx([float(row["loss"]) for row in rows])
    assert {"train/loss", "val/top1", "val/top5", "val/mean_class"} <= set(board.Tags()["scalars"])


@pytest.mark.slow
def test_checkpoints_load_and_are_as_good_as_they_say(trained: Any) -> None:
    recipe, result = trained
    _, val = build_indexes(recipe)
    assert val is not None
    for folder, measured in (
        (result.best, result.best_measured),
        (result.last, result.last_measured),
    ):
        model = load_checkpoint(folder)
        assert model.class_names == val.class_names
        assert (model.clip.num_frames, model.clip.crop_size) == (4, 32)
        loader = make_loader(ClipDataset(val, model.clip, train=False), batch_size=3, num_workers=0)
        right, loss = 0, 0.0
        with torch.no_grad():
            for batch in loader:
                logits = model(normalize(batch["clips"].flatten(0, 1), model.clip))
                right += int((logits.argmax(1) == batch["labels"]).sum())
                loss += torch.nn.functional.cross_entropy(
                    logits, batch["labels"], reduction="sum"
                ).item()
        assert measured["top1"] == right / 8
        assert measured["loss"] == pytest.approx(loss / 8, abs=1e-5)


def test_checkpoints_say_how_they_were_made(trained: Any) -> None:
    recipe, result = trained
    config = json.loads((result.last / "config.json").read_text())
    training = config["training"]
    assert training["recipe"]["data"]["path"] == recipe.data.path
    assert (training["epoch"], training["step"], training["clips"]) == (2, 6, 24)
    assert training["versions"]["torch"] == torch.__version__
    assert config["measured"]["validation"] == result.last_measured
    best = json.loads((result.best / "config.json").read_text())
    assert best["measured"]["validation"] == result.best_measured
    assert best["training"]["epoch"] == result.best_measured["epoch"]


@pytest.mark.slow
def test_last_holds_the_average_and_not_the_weights(trained: Any) -> None:
    recipe, result = trained
    state = RunFolder(recipe.out).load_state()
    saved = load_checkpoint(result.last).state_dict()
    for key, value in state["average"]["model"].items():
        assert torch.equal(saved[key], value)
    assert not torch.equal(saved["head_linear.weight"], state["model"]["head_linear.weight"])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run_and_another_does_not(
    trained: Any, small_recipe: Make, read_metrics: Read
) -> None:
    recipe, _ = trained
    again = small_recipe()
    fit(again)
    assert read_metrics(again.out) == read_metrics(recipe.out)
    other = small_recipe(seed=1, out=f"{again.out}-1", train__epochs=1)
    fit(other)
    assert read_metrics(other.out)[0]["loss"] != read_metrics(recipe.out)[0]["loss"]


def test_a_finished_run_says_so_and_stays(trained: Any, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, result = trained
    before = RunFolder(recipe.out).state.stat().st_mtime_ns
    capsys.readouterr()
    assert fit(recipe) == result
    assert "this run is finished" in capsys.readouterr().err
    assert RunFolder(recipe.out).state.stat().st_mtime_ns == before


@pytest.mark.slow
def test_what_is_said(
    small_recipe: Make, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    fit(small_recipe(train__epochs=1, augment__horizontal_flip=True))
    said = capfd.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[0].startswith("vmf_500m on 24 clips of 8 classes (8 for validation), 4×32²,")
    assert lines[1].startswith("8 validation clips are too few to choose a checkpoint by")
    assert "horizontal_flip false" in lines[2]  # move_left, move_right
    assert lines[3].startswith("epoch 1/1 · loss 2.")
    assert "validation top-1" in lines[3]
    assert len(lines) == 4, "something else talks"
    assert not caplog.records
    assert logging.getLogger("lightning.pytorch").level != logging.ERROR


@pytest.mark.slow
def test_without_validation_and_average(small_recipe: Make, read_metrics: Read) -> None:
    recipe = small_recipe(
        data__val_split="none",
        data__val_fraction=0.0,
        train__ema_decay=None,
        train__epochs=1,
        train__accumulate=2,
    )
    result = fit(recipe)
    assert result.best is None
    assert result.best_measured is result.last_measured is None
    assert [row["row"] for row in read_metrics(recipe.out)] == ["step", "step", "train"]
    assert result.step == 2  # three batches in groups of two: the last one is smaller
    saved = load_checkpoint(result.last).state_dict()
    for key, value in RunFolder(result.out).load_state()["model"].items():
        assert torch.equal(saved[key], value)


@pytest.mark.slow
def test_bf16_trains(trained: Any, small_recipe: Make, read_metrics: Read) -> None:
    recipe = small_recipe(train__precision="bf16", train__epochs=1)
    fit(recipe)
    bf16, fp32 = read_metrics(recipe.out), read_metrics(trained[0].out)
    assert float(bf16[0]["loss"]) == pytest.approx(float(fp32[0]["loss"]), rel=0.05)
    assert bf16[0]["loss"] != fp32[0]["loss"]


@pytest.mark.slow
def test_fine_tuning_a_run(trained: Any, small_recipe: Make) -> None:
    _, result = trained
    recipe = small_recipe(
        model__name=str(result.last), train__epochs=1, optim__lr=1e-9, optim__min_lr=0.0
    )
    tuned = load_checkpoint(fit(recipe).last)
    # With a learning rate of next to nothing the weights stay where they started.
    start = dict(load_checkpoint(result.last).named_parameters())
    for name, parameter in tuned.named_parameters():
        torch.testing.assert_close(parameter, start[name], atol=1e-7, rtol=1e-6)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_names_step_and_clips(small_recipe: Make) -> None:
    recipe = small_recipe(
        optim__lr=1e30, optim__warmup_epochs=0.0, optim__gradient_clip=None, train__epochs=1
    )
    with pytest.raises(UserError) as error:
        fit(recipe)
    text = str(error.value)
    assert text.startswith("step 2: the loss is ")
    assert text.count(".mp4") == 8
    assert "lower --optim.lr (now 1e+30)" in text
    assert "--optim.gradient_clip 1" in text
    assert not RunFolder(str(recipe.out)).state.exists()


def _with_bad_clips(clips_csv: Path, folder: Path, *, split: str, count: int) -> Path:
    """The list with the first ``count`` clips of a split replaced by text files."""
    with clips_csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    bad = [row for row in rows if row["split"] == split][:count]
    for row in rows:
        row["path"] = str(clips_csv.parent / row["path"])
    for i, row in enumerate(bad):
        path = folder / f"bad{i}.mp4"
        path.write_text("no video")
        row["path"] = path.name
    with (folder / "list.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "list.csv"


@pytest.mark.slow
def test_unreadable_clips_are_left_out_counted_and_said(
    small_recipe: Make,
    clips_csv: Path,
    tmp_path: Path,
    read_metrics: Read,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = _with_bad_clips(clips_csv, tmp_path, split="train", count=5)
    recipe = small_recipe(data__path=str(data))
    fit(recipe)
    train = [row for row in read_metrics(recipe.out) if row["row"] == "train"]
    assert [(row["clips"], row["failed"]) for row in train] == [("19", "5"), ("19", "5")]
    said = capsys.readouterr().err
    assert "epoch 1: 5 clips could not be read and were excluded: bad" in said
    assert "and 2 more" in said
    assert "epoch 2: 5 clips could" in said


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "val"])
def test_mostly_unreadable_clips_stop_training(
    small_recipe: Make, clips_csv: Path, tmp_path: Path, split: str
) -> None:
    count = {"train": 13, "val": 5}[split]
    data = _with_bad_clips(clips_csv, tmp_path, split=split, count=count)
    with pytest.raises(DataError, match=rf"{count} of .* cannot be read: .*bad"):
        fit(small_recipe(data__path=str(data)))


@pytest.mark.slow
def test_a_few_unreadable_validation_clips_are_said(
    small_recipe: Make, clips_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _with_bad_clips(clips_csv, tmp_path, split="val", count=1)
    result = fit(small_recipe(data__path=str(data), train__epochs=1))
    assert result.last_measured is not None
    assert (result.last_measured["clips"], result.last_measured["failed"]) == (7, 1)
    assert "1 of 8 validation clips cannot be read: bad0.mp4" in capsys.readouterr().err


def test_mistakes_leave_an_old_run_alone(trained: Any, small_recipe: Make) -> None:
    recipe, _ = trained
    before = sorted(Path(recipe.out).rglob("*"))
    for wrong in ({"data__path": "nowhere"}, {"model__name": "vmf_7g"}):
        bad = small_recipe(out=recipe.out, overwrite=True, **wrong)
        with pytest.raises(UserError):
            fit(bad)
    assert sorted(Path(recipe.out).rglob("*")) == before
    with pytest.raises(RecipeError, match=r"train\.epochs was 2, now 3"):
        fit(small_recipe(out=recipe.out, train__epochs=3))
    with pytest.raises(RecipeError, match="out is missing"):
        fit(small_recipe(out=None))


@pytest.mark.slow
def test_other_clips_in_the_same_place_are_not_the_same_run(
    small_recipe: Make, clips_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _with_bad_clips(clips_csv, tmp_path, split="train", count=0)
    recipe = small_recipe(data__path=str(data))
    _stop_at(monkeypatch, 4)
    with pytest.raises(TrainingInterrupted):
        fit(recipe)
    data.write_text(data.read_text().replace("move_left,train", "move_right,train"))
    with pytest.raises(DataError, match="not those the run began with"):
        fit(recipe)


def _stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Press Ctrl-C while this optimiser step is computed, once."""
    from video_mobile_former.training.loop import Training

    original = Training.step
    done = []

    def training_step(self: Training, batch: Any) -> torch.Tensor:
        if self.position.step + 1 == step and not done:
            done.append(True)
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, batch)

    monkeypatch.setattr(Training, "step", training_step)

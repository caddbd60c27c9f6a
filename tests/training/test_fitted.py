"""What `vmf train CLIPS` chooses: it fits data and device, and overwrites nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from video_mobile_former.cli.main import main
from video_mobile_former.errors import UserError
from video_mobile_former.training import fitted as module
from video_mobile_former.training.fitted import fitted, own_folder
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import (
    load_recipe,
    recipe_from_dict,
)
from video_mobile_former.training.recipe.shipped import shipped_path
from video_mobile_former.training.run.run_folder import RunFolder

Make = Callable[..., Recipe]


def _run(folder: Path, *, finished: bool | None = None, **values: Any) -> None:
    run = RunFolder(folder)
    run.prepare(recipe_from_dict({k.replace("__", "."): v for k, v in values.items()}))
    if finished is not None:
        run.save_state({"finished": finished})


def test_folders_are_never_shared_but_with_what_goes_on(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert own_folder("data/clips/", {}, runs) == (runs / "clips", False)
    (runs / "clips").mkdir(parents=True)
    assert own_folder("clips.csv", {}, runs) == (runs / "clips", False)
    (runs / "clips" / "notes.txt").write_text("mine")
    assert own_folder("clips", {}, runs) == (runs / "clips-2", False)
    _run(runs / "clips-2", finished=True, data__path="clips")
    assert own_folder("clips", {}, runs) == (runs / "clips-3", False)
    _run(runs / "clips-3", finished=False, data__path="clips", train__epochs=7)
    assert own_folder("clips", {}, runs) == (runs / "clips-3", True)
    assert own_folder("clips", {"train.epochs": 7}, runs) == (runs / "clips-3", True)
    assert own_folder("clips", {"train.epochs": 8}, runs) == (runs / "clips-4", False)
    assert own_folder("other/clips", {}, runs) == (runs / "clips-4", False)
    _run(runs / "clips-4", data__path="other/clips")  # stopped before its first state
    assert own_folder("other/clips", {}, runs) == (runs / "clips-4", True)


@pytest.mark.parametrize(
    ("step", "read", "length", "wanted"),
    [
        # 24 clips and 8 to validate: 26.7 steps and 32 readings by one reader, 60 epochs in 600 s.
        (0.1, 0.0, 2.0, (16, 112, 60)),
        (0.1, 0.3, 2.0, (8, 64, 48)),
        (0.1, 0.0, 0.3, (8, 112, 60)),
        (9.0, 0.0, 2.0, (8, 64, 20)),
    ],
)
def test_size_and_epochs_fit_into_ten_minutes(
    step: float,
    read: float,
    length: float,
    wanted: tuple[int, int, int],
    make_recipe: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_reading", lambda *_: (read, length))
    monkeypatch.setattr(module, "_step_seconds", lambda *_: step)
    values = {"data.path": make_recipe().data.path, "train.device": "cpu", "data.num_workers": 0}
    recipe = recipe_from_dict(values)
    found = fitted(recipe, values)
    clip, train = found.recipe.clip, found.recipe.train
    assert (clip.num_frames, clip.crop_size, train.epochs) == wanted
    assert (found.recipe.model.weights, train.batch_size) == ("procedural", 4)
    assert f"{wanted[0]} frames × {wanted[1]}², batch 4, {wanted[2]} epochs" in found.summary
    kept = fitted(
        recipe_from_dict({**values, "clip.num_frames": 4, "train.epochs": 3}),
        {*values, "clip.num_frames", "train.epochs"},
    )
    assert (kept.recipe.clip.num_frames, kept.recipe.train.epochs) == (4, 3)


def test_several_processes_choose_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert main(["train", str(tmp_path)]) == 2
    assert "--data CLIPS --out FOLDER" in capsys.readouterr().err


def test_clips_are_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(tmp_path), "--data", "x"]) == 2
    assert "one place of clips at most, not 2" in capsys.readouterr().err


@pytest.mark.slow
def test_clips_and_nothing_else_is_a_run(
    make_recipe: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    data = str(make_recipe().data.path)
    words = ["train", data, "--epochs", "1", "--size", "32", "--frames", "4", "--device", "cpu"]
    words += ["--train.page", "false", "--data.num_workers", "0"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.err.startswith("chosen for 24 clips of about ")
    assert "about " in said.err.splitlines()[0]
    run = Path("runs") / Path(data).stem
    assert f"checkpoint  {run / 'best'}" in said.out
    assert load_recipe(run / "recipe.yaml").model.weights == "procedural"
    before = (run / "metrics.csv").read_bytes()
    assert main(words) == 0
    assert (run / "metrics.csv").read_bytes() == before
    assert (run.with_name(f"{run.name}-2") / "best").is_dir()


def test_data_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no class folders"):
        fitted(recipe_from_dict({"data.path": str(tmp_path)}), set())


@pytest.mark.parametrize(("step", "wanted"), [(0.1, (16, 112, 60)), (9.0, (8, 112, 20))])
@pytest.mark.parametrize("asked", [{}, {"model.weights": "imagenet"}])
def test_a_network_for_pictures_starts_from_them_and_is_not_shown_smaller_ones(
    asked: dict[str, Any],
    step: float,
    wanted: tuple[int, int, int],
    make_recipe: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_reading", lambda *_: (0.0, 2.0))
    monkeypatch.setattr(module, "_step_seconds", lambda *_: step)
    monkeypatch.setattr(module, "check_imagenet", lambda _: Path("weights.pth"))
    values = {"data.path": make_recipe().data.path, "train.device": "cpu", "data.num_workers": 0}
    values |= {"model.name": "vmf_lite0", **asked}
    found = fitted(recipe_from_dict(values), values).recipe
    assert found.model == load_recipe(shipped_path("folder_imagenet")).model
    assert (found.clip.num_frames, found.clip.crop_size, found.train.epochs) == wanted
    plain = {**values, "model.weights": None}
    assert fitted(recipe_from_dict(plain), plain).recipe.model.weights is None


def test_without_the_weights_a_network_for_pictures_starts_as_it_did(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> Path:
        raise UserError("not installed")

    monkeypatch.setattr(module, "_reading", lambda *_: (0.0, 2.0))
    monkeypatch.setattr(module, "_step_seconds", lambda *_: 0.1)
    monkeypatch.setattr(module, "check_imagenet", refuse)
    values = {"data.path": make_recipe().data.path, "train.device": "cpu", "data.num_workers": 0}
    values |= {"model.name": "vmf_lite0"}
    found = fitted(recipe_from_dict(values), values).recipe
    assert (found.model.weights, found.train.freeze_epochs) == (None, 0)
    assert (found.clip.num_frames, found.train.epochs) == (16, 60)

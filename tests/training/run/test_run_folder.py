from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from video_mobile_former.errors import RecipeError, UserError
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import recipe_from_dict, save_recipe
from video_mobile_former.training.run.run_folder import RunFolder


def _recipe(**values: Any) -> Recipe:
    return recipe_from_dict({key.replace("__", "."): value for key, value in values.items()})


def _begun(path: Path, *, finished: bool = False, **values: Any) -> RunFolder:
    run = RunFolder(path)
    assert run.prepare(_recipe(**values)) == "new"
    run.save_state({"finished": finished, "x": torch.arange(3)})
    return run


def test_a_new_folder_gets_the_recipe(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a" / "b")
    assert run.prepare(_recipe(seed=3)) == "new"
    assert run.recipe.read_text().count("seed: 3") == 1
    assert not run.state.exists()


def test_state_survives_the_round_trip(tmp_path: Path) -> None:
    run = _begun(tmp_path)
    state = run.load_state()
    assert state["x"].tolist() == [0, 1, 2]
    assert state["finished"] is False


@pytest.mark.parametrize(("finished", "found"), [(True, "finished"), (False, "unfinished")])
def test_the_same_recipe_finds_its_run(tmp_path: Path, finished: bool, found: str) -> None:
    run = _begun(tmp_path, finished=finished, seed=1)
    assert run.prepare(_recipe(seed=1)) == found
    # What does not change the result may change.
    free = {"data__num_workers": 5, "train__checkpoint_every_minutes": 1.0, "out": "elsewhere"}
    assert run.prepare(_recipe(seed=1, **free)) == found


def test_another_recipe_names_the_keys(tmp_path: Path) -> None:
    run = _begun(tmp_path, seed=1)
    with pytest.raises(RecipeError) as error:
        run.prepare(_recipe(seed=2, optim__lr=0.5))
    assert "seed was 1, now 2" in str(error.value)
    assert "optim.lr was 0.001, now 0.5" in str(error.value)
    assert "--overwrite true" in str(error.value)
    assert run.load_state()["x"].tolist() == [0, 1, 2]


def test_overwrite_deletes_the_run_and_nothing_else(tmp_path: Path) -> None:
    run = _begun(tmp_path, seed=1)
    for folder in (run.best, run.last, run.tensorboard):
        folder.mkdir()
        (folder / "file").touch()
    run.metrics.touch()
    (tmp_path / "notes.txt").write_text("mine")
    assert run.prepare(_recipe(seed=2, overwrite=True)) == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "recipe.yaml", "state"]


def test_resume_false_refuses(tmp_path: Path) -> None:
    run = _begun(tmp_path)
    with pytest.raises(RecipeError, match="already holds a run"):
        run.prepare(_recipe(resume=False))
    assert RunFolder(tmp_path / "other").prepare(_recipe(resume=False)) == "new"


def test_a_run_killed_before_its_first_state_begins_anew(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.prepare(_recipe())
    run.metrics.write_text("row\nhalf")
    assert run.prepare(_recipe()) == "new"
    assert not run.metrics.exists()


@pytest.mark.parametrize("with_recipe", [False, True])
def test_what_no_run_wrote_stays(with_recipe: bool, tmp_path: Path) -> None:
    """Also where somebody has put the recipe of a checkpoint beside it."""
    run = RunFolder(tmp_path)
    run.best.mkdir()
    (run.best / "model.safetensors").touch()
    if with_recipe:
        save_recipe(_recipe(), run.recipe)
    with pytest.raises(RecipeError, match=r"best is there, .*--overwrite true"):
        run.prepare(_recipe())
    assert (run.best / "model.safetensors").exists()
    assert run.prepare(_recipe(overwrite=True)) == "new"
    assert not run.best.exists()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="is a file"):
        RunFolder(tmp_path / "out").prepare(_recipe())


def test_leftovers_of_a_kill_are_mended(tmp_path: Path) -> None:
    run = _begun(tmp_path)
    # Killed between the two renames of a replaced folder, and while writing a temporary one.
    (tmp_path / ".best-old").mkdir()
    (tmp_path / ".best-old" / "config.json").touch()
    (tmp_path / ".last-x1y2").mkdir()
    (run.state.parent / ".state-z.safetensors").touch()
    run.prepare(_recipe())
    assert (run.best / "config.json").exists()
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob(".*")}
    assert left == set()


def test_a_broken_state_says_how_to_go_on(tmp_path: Path) -> None:
    run = _begun(tmp_path)
    run.state.write_bytes(run.state.read_bytes()[:20])
    with pytest.raises(UserError, match=r"cannot be read: .*--overwrite true starts the run anew"):
        run.load_state()

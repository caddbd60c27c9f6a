"""The demo from end to end, small; its recipe is the one that is shipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from video_mobile_former.cli.main import main
from video_mobile_former.demo import SCENES, demo_recipe, run_demo
from video_mobile_former.training.recipe.read import load_recipe, recipe_differences
from video_mobile_former.training.recipe.shipped import shipped_path

FEW = {"train": 2, "val": 1, "test": 1}


def test_the_recipe_is_the_shipped_one() -> None:
    written = load_recipe(shipped_path("demo"))
    used = demo_recipe(Path("clips.csv"), Path("run"), seed=0)
    assert set(recipe_differences(written, used)) == {"data.path", "out"}


def test_a_wrong_seed_is_refused_before_anything_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), "--seed", "-1"]) == 2
    assert capsys.readouterr().err == "vmf: error: demo: seed must be 0 to 4294967295, not -1\n"
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_demo_runs_and_runs_again(tmp_path: Path, times: int) -> None:
    for _ in range(times):
        result = run_demo(tmp_path / "demo", scenes=FEW, epochs=1)
        assert result.num_clips == 8
        assert result.chance == 1 / 8
        assert Path(result.report).is_file()
        assert Path(result.frozen_report).is_file()
        assert max(map(len, result.summary().splitlines())) <= max(80, len(result.report) + 17)
        assert json.loads((tmp_path / "demo" / "demo.json").read_text()) == result.to_dict()


@pytest.mark.slow
def test_an_unfinished_demo_with_other_settings_is_begun_anew(tmp_path: Path) -> None:
    run_demo(tmp_path, scenes=FEW, epochs=1)
    (tmp_path / "demo.json").unlink()  # as if the call had been stopped
    assert run_demo(tmp_path, scenes=FEW, epochs=2).num_clips == 8


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_motion_is_learned_and_nothing_else(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), "--seed", str(seed), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["num_clips"] == 8 * SCENES["test"]
    assert result["top1"] >= 0.95
    # Chance is 1/8; the bound is five standard deviations of a guess above it.
    assert result["frozen_top1"] <= 0.25

"""Two processes with half the batch each do what one process does with the whole batch.

BatchNorm uses its running statistics here: with the statistics of its own batch, a process that
sees half of the clips computes something else on purpose (``SyncBatchNorm`` has no CPU form).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from video_mobile_former.training.recipe import Recipe, save_recipe

Read = Callable[[Any], list[dict[str, str]]]
pytestmark = pytest.mark.slow


def _run(recipe: Recipe, folder: Path, *words: str) -> str:
    save_recipe(recipe, folder / "r.yaml")
    script = Path(__file__).with_name("fit_once.py")
    done = subprocess.run(
        [sys.executable, str(script), *words, str(folder / "r.yaml")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_the_same_loss_curve(
    small_recipe: Callable[..., Recipe], read_metrics: Read, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {
        "optim__lr": 1e-4,
        "augment__runs_on": "device",
        "augment__repeats": 2,
        "augment__randaugment_ops": 2,
    }
    one = small_recipe(out=str(tmp_path / "one"), **changes)
    two = small_recipe(out=str(tmp_path / "two"), train__batch_size=4, train__devices=2, **changes)
    _run(one, tmp_path, "--frozen-norms")
    _run(two, tmp_path, "--frozen-norms")
    rows = list(zip(read_metrics(one.out), read_metrics(two.out), strict=True))
    assert len(rows) == 10
    for a, b in rows:
        assert a.keys() == b.keys()
        for key in a:
            if key == "row" or not a[key]:
                assert a[key] == b[key]
            else:
                assert float(a[key]) == pytest.approx(float(b[key]), abs=2e-5), (key, a, b)
    first, second = (
        load_file(tmp_path / name / "last" / "model.safetensors") for name in ("one", "two")
    )
    for key in first:
        torch.testing.assert_close(first[key], second[key], atol=2e-4, rtol=1e-3)


def test_two_processes_train_quietly_with_batch_statistics(
    small_recipe: Callable[..., Recipe], read_metrics: Read, tmp_path: Path
) -> None:
    recipe = small_recipe(
        train__devices=2, train__batch_size=4, data__num_workers=1, train__epochs=1
    )
    said = _run(recipe, tmp_path)
    assert [line.split(" ")[0] for line in said.splitlines()] == ["vmf_500m", "epoch"]
    assert [row["row"] for row in read_metrics(recipe.out)] == ["step"] * 3 + ["train", "val"]
    assert read_metrics(recipe.out)[-1]["clips"] == "8"


def test_the_same_mean_average_precision(
    several: Callable[..., Recipe], read_metrics: Read, tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "optim__lr": 1e-4,
        "train__epochs": 1,
        "optim__class_weights": "balanced",
    }
    one = several(out=str(tmp_path / "one"), **options)
    two = several(out=str(tmp_path / "two"), train__batch_size=4, train__devices=2, **options)
    _run(one, tmp_path, "--frozen-norms")
    _run(two, tmp_path, "--frozen-norms")
    a, b = (read_metrics(recipe.out)[-1] for recipe in (one, two))
    assert a["row"] == b["row"] == "val"
    assert float(a["map"]) == pytest.approx(float(b["map"]), abs=1e-6)
    assert float(a["loss"]) == pytest.approx(float(b["loss"]), abs=2e-5)
    assert a["clips"] == b["clips"] == "8"

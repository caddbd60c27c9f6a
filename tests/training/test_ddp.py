"""Two processes with half the batch each do what one process does with the whole batch.

BatchNorm uses its running statistics here: with the statistics of its own batch, a process that
sees half of the clips computes something else on purpose (``SyncBatchNorm`` has no CPU form).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import save_recipe
from video_mobile_former.training.run.run_folder import RunFolder

Read = Callable[[Any], list[dict[str, str]]]
pytestmark = pytest.mark.slow


SCRIPT = str(Path(__file__).parents[1] / "helpers" / "fit_once.py")


def _start(
    recipe: Recipe, folder: Path, *words: str, launcher: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    save_recipe(recipe, folder / "r.yaml")
    return subprocess.run(
        [sys.executable, *launcher, SCRIPT, *words, str(folder / "r.yaml")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _run(recipe: Recipe, folder: Path, *words: str) -> str:
    done = _start(recipe, folder, *words)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("freeze_epochs", [0, 1])
def test_the_same_loss_curve(
    freeze_epochs: int, small_recipe: Callable[..., Recipe], read_metrics: Read, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {
        "train__freeze_epochs": freeze_epochs,
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
    assert [line.split(" ")[0] for line in said.splitlines()] == ["vmf_500m", "8", "epoch"]
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


def test_a_loss_that_is_no_number_in_the_second_process_is_said_with_its_clips(
    small_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = small_recipe(train__devices=2, train__batch_size=4)
    done = _start(recipe, tmp_path, "--nan-in-second")
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if "the loss of process 1" in line]
    assert len(said) == 1, "both processes know it, and one says it"
    (line,) = said
    assert line.count(".mp4") == 4
    assert "try a lower --optim.lr" in line


def test_what_goes_wrong_in_the_second_process_alone_is_said(
    small_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = small_recipe(train__devices=2, train__batch_size=4)
    done = _start(recipe, tmp_path, "--error-in-second")
    assert done.returncode != 0
    assert "vmf: error: process 1: its disk is full" in done.stderr
    assert "another process of this run has ended" in done.stderr


def test_torchrun_on_a_finished_run_ends(
    small_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = small_recipe(train__devices=2, train__batch_size=4, train__epochs=1)
    torchrun = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone")
    for said in ("epoch 1/1", "this run is finished"):
        done = _start(recipe, tmp_path, launcher=torchrun)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count(said) == 1


def _second_process(parent: int) -> int:
    """The process that Lightning started beside the first."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (found,) = [
        int(child)
        for child in children
        if b"fit_once" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    return found


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")
@pytest.mark.parametrize("unlabelled", [False, True])
def test_a_dead_process_is_said_and_the_run_goes_on(
    unlabelled: bool,
    small_recipe: Callable[..., Recipe],
    clips_csv: Path,
    read_metrics: Read,
    tmp_path: Path,
) -> None:
    semi: dict[str, Any] = {
        "data__unlabelled": str(clips_csv.parent),
        "semi__threshold": None,
        "semi__tube": 16,
    }
    options: dict[str, Any] = {
        **(semi if unlabelled else {}),
        "train__devices": 2,
        "train__batch_size": 4,
        "train__checkpoint_every_n_steps": 1,
        "train__epochs": 2 if unlabelled else 4,
    }
    whole = small_recipe(out=str(tmp_path / "whole"), **options)
    _run(whole, tmp_path)
    broken = small_recipe(out=str(tmp_path / "broken"), **options)
    save_recipe(broken, tmp_path / "r.yaml")
    run = RunFolder(str(broken.out))
    process = subprocess.Popen(
        [sys.executable, SCRIPT, str(tmp_path / "r.yaml")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not run.metrics.exists() or run.metrics.read_text().count("\n") < 3:
            assert process.poll() is None, "it ended before it could be broken"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(_second_process(process.pid), signal.SIGKILL)
        said = process.communicate(timeout=120)[1]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0
    assert "another process of this run has ended" in said
    assert "the same command continues it from its saved state" in said
    assert run.load_state(tensors=False)["position"]["step"] >= 1
    _run(broken, tmp_path)
    assert read_metrics(broken.out) == read_metrics(whole.out)

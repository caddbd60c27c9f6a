"""In a job of SLURM a run keeps its own state: Lightning's way to requeue jobs would replace it."""

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
from lightning.fabric.utilities import rank_zero_only

from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import save_recipe
from video_mobile_former.training.run.fabric import make_fabric
from video_mobile_former.training.run.run_folder import RunFolder

Read = Callable[[Any], list[dict[str, str]]]

JOB = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "1",
    "SLURM_NTASKS_PER_NODE": "1",
    "SLURM_NODELIST": "localhost",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}


@pytest.mark.parametrize(("torchrun", "ranks"), [(False, (0, 1)), (True, (1, 2))])
def test_torchrun_in_a_job_says_who_is_who(
    torchrun: bool,
    ranks: tuple[int, int],
    small_recipe: Callable[..., Recipe],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Lightning notes the rank for the rest of this process, where other tests run as well.
    monkeypatch.setattr(rank_zero_only, "rank", 0, raising=False)
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    if torchrun:
        started = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "GROUP_RANK": "0"}
        started |= {"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29400"}
        started |= {"TORCHELASTIC_RUN_ID": "none"}
        for name, value in started.items():
            monkeypatch.setenv(name, value)
    recipe = small_recipe(train__devices=2 if torchrun else 1)
    fabric = make_fabric(recipe)
    assert (fabric.global_rank, fabric.world_size) == ranks


@pytest.mark.slow
def test_the_signal_before_the_end_of_a_job_saves_and_the_next_job_goes_on(
    small_recipe: Callable[..., Recipe], read_metrics: Read, tmp_path: Path
) -> None:
    script = str(Path(__file__).parents[1] / "helpers" / "fit_once.py")

    def start(name: str) -> tuple[RunFolder, subprocess.Popen[str]]:
        recipe = small_recipe(out=str(tmp_path / name), train__epochs=4, data__num_workers=1)
        save_recipe(recipe, tmp_path / f"{name}.yaml")
        process = subprocess.Popen(
            [sys.executable, script, str(tmp_path / f"{name}.yaml")],
            env={**os.environ, **JOB, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return RunFolder(tmp_path / name), process

    whole, process = start("whole")
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    run, process = start("broken")
    deadline = time.monotonic() + 120
    while not run.metrics.exists() or run.metrics.read_text().count("\n") < 3:
        assert process.poll() is None, "it ended before the signal"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGUSR1)  # data workers hear it too
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130, said
    assert "the same command continues" in said
    assert "Traceback" not in said
    assert not list(run.path.glob("*.ckpt"))
    process = start("broken")[1]
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    assert read_metrics(run.path) == read_metrics(whole.path)

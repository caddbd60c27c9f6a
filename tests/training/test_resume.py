"""A run that was broken off, by whatever and wherever, ends as one that was not."""

from __future__ import annotations

import json
import os
import resource
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

from video_mobile_former.errors import UserError
from video_mobile_former.training import loop
from video_mobile_former.training.fit import fit
from video_mobile_former.training.loop import Training
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import save_recipe
from video_mobile_former.training.run.interrupt import TrainingInterrupted
from video_mobile_former.training.run.run_folder import RunFolder

Make = Callable[..., Recipe]
Read = Callable[[Any], list[dict[str, str]]]

# Everything random is on: order, crops, all changes to clips, mixes, dropout, stochastic depth,
# balanced classes; and the loss of smooth features.
HARD: dict[str, Any] = {
    "augment__runs_on": "device",
    "augment__repeats": 2,
    "augment__grayscale_probability": 0.3,
    "augment__randaugment_ops": 2,
    "augment__erase_probability": 0.5,
    "augment__mixup_alpha": 0.8,
    "augment__cutmix_alpha": 1.0,
    "augment__cutmix_kind": "spatiotemporal",
    "model__drop_rate": 0.2,
    "model__drop_path_rate": 0.2,
    "data__class_balanced": True,
    "optim__temporal_smoothness": 0.1,
    "train__log_every_n_steps": 2,
}


class _CrashError(Exception):
    pass


@pytest.fixture(scope="module")
def unbroken(make_recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken")
    fit(make_recipe(out=str(out), **HARD))
    return out


def _at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Act once, while this optimiser step is computed."""
    original = Training.step
    done: list[bool] = []

    def training_step(self: Training, batch: Any) -> torch.Tensor:
        if self.position.step + 1 == step and not done:
            done.append(True)
            act()
        return original(self, batch)

    monkeypatch.setattr(Training, "step", training_step)


def _crash() -> None:
    raise _CrashError


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def _same(one: Path, other: Path, read: Read) -> None:
    assert read(one) == read(other)
    for name in ("best", "last"):
        a, b = (load_file(folder / name / "model.safetensors") for folder in (one, other))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.slow
def test_clips_are_changed_by_workers_as_on_the_device(
    small_recipe: Make, unbroken: Path, read_metrics: Read
) -> None:
    recipe = small_recipe(**HARD | {"augment__runs_on": "workers", "data__num_workers": 1})
    fit(recipe)
    _same(Path(str(recipe.out)), unbroken, read_metrics)


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 3, 4, 5])
def test_a_crash_costs_only_time(
    step: int,
    small_recipe: Make,
    unbroken: Path,
    read_metrics: Read,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = small_recipe(train__checkpoint_every_n_steps=1, **HARD)
    _at_step(monkeypatch, step, _crash)
    with pytest.raises(_CrashError):
        fit(recipe)
    saved = RunFolder(str(recipe.out)).load_state()["position"]
    assert saved["step"] == step - 1
    torch.manual_seed(99)  # what torch's random state is must not matter
    fit(recipe)
    _same(Path(str(recipe.out)), unbroken, read_metrics)


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_ctrl_c_saves_at_once(
    step: int,
    small_recipe: Make,
    unbroken: Path,
    read_metrics: Read,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = small_recipe(**HARD)
    _at_step(monkeypatch, step, _interrupt)
    with pytest.raises(TrainingInterrupted):
        fit(recipe)
    assert "stopped; the same command continues" in capsys.readouterr().err.splitlines()[-1]
    assert RunFolder(str(recipe.out)).load_state()["position"]["step"] == step
    fit(recipe)
    assert "resuming at" in capsys.readouterr().err
    _same(Path(str(recipe.out)), unbroken, read_metrics)


@pytest.mark.slow
def test_ctrl_c_while_validating(
    small_recipe: Make,
    unbroken: Path,
    read_metrics: Read,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original = loop.validate
    done: list[bool] = []

    def validate(*args: Any, **options: Any) -> Any:
        if not done:
            done.append(True)
            _interrupt()
        return original(*args, **options)

    monkeypatch.setattr(loop, "validate", validate)
    recipe = small_recipe(**HARD)
    with pytest.raises(TrainingInterrupted):
        fit(recipe)
    position = RunFolder(str(recipe.out)).load_state()["position"]
    assert (position["epoch"], position["batch"], position["unmeasured"]) == (1, 0, True)
    capsys.readouterr()
    fit(recipe)
    assert "resuming at the validation of epoch 1" in capsys.readouterr().err
    _same(Path(str(recipe.out)), unbroken, read_metrics)


@pytest.mark.slow
def test_stopped_in_the_last_validation(
    small_recipe: Make, unbroken: Path, read_metrics: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe(**HARD)
    _at_step(monkeypatch, 6, _interrupt)
    with pytest.raises(TrainingInterrupted):
        fit(recipe)
    result = fit(recipe)
    assert result.epochs == 2
    _same(Path(str(recipe.out)), unbroken, read_metrics)


@pytest.mark.slow
def test_momentum_and_rates_of_layers_go_on(
    small_recipe: Make,
    read_metrics: Read,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes: dict[str, Any] = {
        "optim__optimizer": "sgd",
        "optim__lr": 0.01,
        "optim__lr_batch": 4,
        "optim__layer_decay": 0.7,
        "optim__schedule": "step",
        "optim__steps": [0.8],
        "train__epochs": 2,
    }
    whole = small_recipe(**changes)
    fit(whole)
    said = capsys.readouterr().err
    assert "learning rate 0.02: optim.lr 0.01 is for 4 videos a step, this run takes 8" in said
    config = json.loads(Path(str(whole.out), "last", "config.json").read_text(encoding="utf-8"))
    assert config["training"]["lr"] == pytest.approx(0.02)
    rates = [float(row["lr"]) for row in read_metrics(whole.out) if row["row"] == "step"]
    assert rates == pytest.approx([0.02 / 3, 0.04 / 3, 0.02, 0.02, 0.02, 0.002])
    broken = small_recipe(out=f"{whole.out}-broken", **changes)
    _at_step(monkeypatch, 4, _interrupt)
    with pytest.raises(TrainingInterrupted):
        fit(broken)
    fit(broken)
    _same(Path(str(broken.out)), Path(str(whole.out)), read_metrics)


@pytest.mark.slow
def test_groups_of_batches_are_never_split(
    small_recipe: Make, read_metrics: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {**HARD, "train__accumulate": 2, "train__log_every_n_steps": 1}
    whole = small_recipe(**changes)
    fit(whole)
    broken = small_recipe(out=f"{whole.out}-broken", **changes)
    _at_step(monkeypatch, 1, _interrupt)
    with pytest.raises(TrainingInterrupted):
        fit(broken)
    position = RunFolder(str(broken.out)).load_state()["position"]
    assert (position["batch"], position["step"]) == (2, 1)
    fit(broken)
    _same(Path(str(broken.out)), Path(str(whole.out)), read_metrics)


@pytest.mark.slow
def test_tensorboard_forgets_what_was_done_twice(
    small_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = small_recipe(train__checkpoint_every_n_steps=2, train__epochs=2)
    _at_step(monkeypatch, 5, _crash)
    with pytest.raises(_CrashError):
        fit(recipe)
    fit(recipe)
    board = EventAccumulator(str(RunFolder(str(recipe.out)).tensorboard))
    board.Reload()
    assert [event.step for event in board.Scalars("step/loss")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_full_disk_leaves_the_earlier_state(
    small_recipe: Make, unbroken: Path, read_metrics: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe(**HARD)
    run = RunFolder(str(recipe.out))
    _at_step(monkeypatch, 2, _interrupt)
    with pytest.raises(TrainingInterrupted):
        fit(recipe)
    before = run.state.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system refuses to let a file grow beyond this, as a full disk would.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*state\.safetensors"):
            fit(recipe)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert run.state.read_bytes() == before
    assert [p.name for p in run.state.parent.iterdir()] == ["state.safetensors"]
    fit(recipe)
    _same(run.path, unbroken, read_metrics)


def _start(recipe_file: Path) -> subprocess.Popen[bytes]:
    script = Path(__file__).parents[1] / "helpers" / "fit_once.py"
    # With another number of threads sums are rounded otherwise.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen(
        [sys.executable, str(script), str(recipe_file)], env=environment, start_new_session=True
    )


def _wait_for_rows(metrics: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not metrics.exists() or metrics.read_text().count("\n") <= count:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_kill_9(small_recipe: Make, unbroken: Path, read_metrics: Read, tmp_path: Path) -> None:
    recipe = small_recipe(train__checkpoint_every_n_steps=1, data__num_workers=1, **HARD)
    save_recipe(recipe, tmp_path / "r.yaml")
    run = RunFolder(str(recipe.out))
    process = _start(tmp_path / "r.yaml")
    _wait_for_rows(run.metrics, 1, process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert run.state.exists()
    fit(recipe)
    _same(run.path, unbroken, read_metrics)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "to_all"),
    [
        (signal.SIGKILL, False),
        (signal.SIGINT, True),
        (signal.SIGTERM, False),
        (signal.SIGTERM, True),
    ],
)
def test_killed_again_and_again(
    number: signal.Signals,
    to_all: bool,
    small_recipe: Make,
    unbroken: Path,
    read_metrics: Read,
    tmp_path: Path,
) -> None:
    recipe = small_recipe(train__checkpoint_every_n_steps=1, data__num_workers=2, **HARD)
    save_recipe(recipe, tmp_path / "r.yaml")
    run = RunFolder(str(recipe.out))
    for rows in (1, 3, 4):
        process = _start(tmp_path / "r.yaml")
        _wait_for_rows(run.metrics, rows, process)
        if to_all:  # as a terminal or a cluster does: data workers hear it too
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        assert process.wait(60) == (-9 if number == signal.SIGKILL else 130)
    process = _start(tmp_path / "r.yaml")
    assert process.wait(120) == 0
    _same(run.path, unbroken, read_metrics)

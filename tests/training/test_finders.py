"""Finding a learning rate and a batch size on the first steps of a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from video_mobile_former.cli.main import main
from video_mobile_former.errors import DataError, RecipeError
from video_mobile_former.training import finders
from video_mobile_former.training.finders import find_batch, find_lr, steepest
from video_mobile_former.training.recipe.fields import Recipe

Make = Callable[..., Recipe]


def test_the_steepest_place_of_a_known_curve() -> None:
    rates = np.logspace(-6, 0, 61)
    at = np.log10(rates)
    losses = 2 - 1 / (1 + np.exp(-4 * (at + 3))) + np.exp(3 * (at + 0.7))
    assert steepest(rates.tolist(), losses.tolist()) == pytest.approx(1e-3, rel=0.3)
    for never in ([1.0, 1.1, 1.2, 1.3], [1.0, 0.99, 0.98, 0.97, 1.2], []):
        with pytest.raises(DataError, match="less than a twentieth"):
            steepest(rates[: len(never)].tolist(), never)


@pytest.mark.slow
def test_a_range_test_rises_ends_when_it_diverges_and_can_be_repeated(small_recipe: Make) -> None:
    recipe = small_recipe(
        model__weights="procedural", clip__num_frames=8, optim__label_smoothing=0.0
    )
    found = find_lr(recipe, steps=40)
    assert found == find_lr(recipe, steps=40)
    assert all(a < b for a, b in zip(found.rates, found.rates[1:], strict=False))
    assert finders.LOW <= found.lr <= 0.5
    assert all(map(math.isfinite, found.losses))
    assert not Path(recipe.out or "").exists()  # nothing is left behind
    # Each optimiser step has twice the rate that `optim.lr` says, and less is suggested for it.
    scaled = small_recipe(
        model__weights="procedural", clip__num_frames=8, optim__label_smoothing=0.0,
        optim__lr_batch=4,
    )  # fmt: skip
    assert find_lr(scaled, steps=40).lr == pytest.approx(found.lr / 2, rel=0.06)


@pytest.mark.slow
def test_batches_grow_until_a_clip_gets_no_quicker_or_memory_ends(
    small_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_batch(small_recipe(), sizes=(2, 8, 64))
    assert [one.batch_size for one in found.tried] == [2, 8]  # there are 24 clips
    assert found.batch_size in (2, 8)

    steps = finders._FirstSteps.step
    seen: list[int] = []

    def short(self: Any, batch: Any, *rest: Any) -> float:
        seen.append(len(batch["labels"]))
        if seen[-1] > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return steps(self, batch, *rest)

    monkeypatch.setattr(finders._FirstSteps, "step", short)
    found = find_batch(small_recipe(), sizes=(2, 4, 8, 16))
    assert [(one.batch_size, one.fits) for one in found.tried] == [(2, True), (4, True), (8, False)]
    assert found.batch_size in (2, 4)
    with pytest.raises(RecipeError, match="not even 8 clips"):
        find_batch(small_recipe(), sizes=(8,))


@pytest.mark.slow
def test_the_command_says_what_suits_and_trains_nothing(
    clips_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--data", str(clips_csv), "--size", "32", "--frames", "4", "--device", "cpu"]
    words += ["--data.num_workers", "0", "--out", str(tmp_path / "run")]
    assert main([*words, "--find", "batch"]) == 0
    said = capsys.readouterr().out
    assert "suits           --batch" in said
    assert not (tmp_path / "run").exists()
    assert main([*words, "--find", "lr", "--train.devices", "2"]) == 2
    assert "train.devices" in capsys.readouterr().err

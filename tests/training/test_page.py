"""The page and the curves of a run, broken off and continued."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from browser import chromium, opened
from html_page import NASTY, Page
from video_mobile_former.errors import UserError
from video_mobile_former.page import Preview
from video_mobile_former.training import fit as fit_module
from video_mobile_former.training.fit import fit
from video_mobile_former.training.loop import Training
from video_mobile_former.training.page import render_page
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.run.interrupt import TrainingInterrupted
from video_mobile_former.training.run.run_folder import RunFolder
from video_mobile_former.training.samples import Sample

Make = Callable[..., Recipe]


@pytest.fixture(scope="module")
def run(make_recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """A run of two epochs that is stopped in its second one, shown, and continued to its end."""
    out = tmp_path_factory.mktemp("shown") / "a run"
    recipe = make_recipe(out=str(out), train__page=True)
    step, done = Training.step, []

    def stopping(self: Training, batch: Any) -> torch.Tensor:
        if self.position.epoch == 1 and not done:
            done.append(True)
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "step", stopping)
        with pytest.raises(TrainingInterrupted):
            fit(recipe)
    with Image.open(out / "curves.png") as picture:  # what there is is drawn at once
        assert picture.width > 400
    assert not (out / "training.html").exists()
    fit(recipe)
    return recipe, out


@pytest.mark.slow
def test_the_page_tells_recipe_result_and_time(run: tuple[Recipe, Path]) -> None:
    recipe, out = run
    state = RunFolder(out).load_state(tensors=False)
    page = Page((out / "training.html").read_text(encoding="utf-8"))
    assert f"Last validation top-1\n    {100 * state['best']['top1']:.1f} %" in page.text
    assert "The clips also chose the checkpoint" not in page.text  # eight are too few for that
    assert f"epoch {state['best']['epoch']}" in page.text
    assert "8 validation clips" in page.text
    assert "2 epochs" in page.text
    assert "clip.crop_size" in page.text
    assert str(recipe.data.path) in page.text
    assert "model.drop_rate" not in page.text  # as by default
    assert next(a["src"] or "" for t, a in page.tags if t == "img").startswith("data:image/svg")


def test_its_clips_are_those_of_validation_with_what_the_best_network_says(
    run: tuple[Recipe, Path],
) -> None:
    _, out = run
    page = Page((out / "training.html").read_text(encoding="utf-8"))
    labels = [a["aria-label"] or "" for t, a in page.tags if t == "input"]
    assert len(labels) == len(set(labels)) == 8
    assert all(label.startswith("Play val/") for label in labels)
    right = [a for t, a in page.tags if t == "figure" and a.get("class") == "right"]
    # All eight validation clips are shown, so the share that is right is that of validation.
    best = RunFolder(out).load_state(tensors=False)["best"]
    assert len(right) / 8 == pytest.approx(best["top1"])


@pytest.mark.slow
def test_what_goes_wrong_with_the_page_takes_nothing_from_the_run(
    small_recipe: Make, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise UserError("matplotlib is not installed")

    monkeypatch.setattr(fit_module, "write_page", refuse)
    monkeypatch.setattr("video_mobile_former.training.loop.write_curves", refuse)
    result = fit(small_recipe(train__page=True, train__epochs=1))
    assert result.epochs == 1
    told = capfd.readouterr().err
    assert "no curves.png: matplotlib is not installed" in told
    assert "no training.html: matplotlib is not installed" in told


@pytest.mark.slow
def test_hostile_names_are_only_text(run: tuple[Recipe, Path]) -> None:
    recipe, out = run
    info = {"clips": 1, "date": "today", "device": NASTY, "versions": {"torch": NASTY}}
    sample = Sample(NASTY, Preview("", "QQ=="), (NASTY,), ((NASTY, 0.5),), right=False)
    source = render_page(RunFolder(out), recipe, by="top1", info=info, samples=[sample])
    assert "Best validation top-1" in source
    assert "The clips also chose the checkpoint" in source
    assert "<script>" not in source
    assert "\x1b" not in source
    assert "script" not in [tag for tag, _ in Page(source).tags]


@pytest.mark.slow
def test_the_page_fits_and_axe_finds_no_serious_fault(run: tuple[Recipe, Path]) -> None:
    address = (run[1] / "training.html").as_uri()
    with chromium() as browser:
        for scheme in ("light", "dark"):
            for width in (360, 1280):
                with opened(browser, address, width=width, scheme=scheme) as seen:
                    assert seen.sideways() == 0
                    assert seen.faults() == []
                    seen.check()

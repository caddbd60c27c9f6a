"""Pre-training on procedural clips: the run, its resuming, and what it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from video_mobile_former.errors import RecipeError, UserError
from video_mobile_former.models.registry import load_checkpoint
from video_mobile_former.training.clips.batches import TrainLoader
from video_mobile_former.training.clips.procedural_clips import ProceduralClips, is_procedural
from video_mobile_former.training.fit import fit
from video_mobile_former.training.loop import Training
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import recipe_from_dict
from video_mobile_former.training.run.run_folder import RunFolder

Make = Callable[..., Recipe]
CPU = torch.device("cpu")

_DRAWN: dict[str, Any] = {
    "data.format": "procedural",
    "data.num_workers": 0,
    "clip.num_frames": 8,
    "clip.crop_size": 32,
    "augment.color_jitter": 0.4,
    "augment.grayscale_probability": 0.2,
    "model.drop_rate": 0.2,
    "optim.warmup_epochs": 0.5,
    "pretrain.families": ["motion", "order"],
    "pretrain.epoch_clips": 16,
    "pretrain.val_clips": 12,
    "pretrain.masked_weight": 0.5,
    "train.epochs": 2,
    "train.batch_size": 8,
    "train.device": "cpu",
    "train.log_every_n_steps": 1,
}


@pytest.fixture
def procedural(tmp_path: Path) -> Make:
    def make(**changes: Any) -> Recipe:
        values = {"out": str(tmp_path / "run"), **_DRAWN}
        return recipe_from_dict(values | {k.replace("__", "."): v for k, v in changes.items()})

    return make


def _clips(recipe: Recipe) -> ProceduralClips:
    clips = ProceduralClips(recipe)
    clips.spec = type(clips.spec)(num_frames=8, crop_size=32, resize_size=32)
    return clips


def _batches(loader: Any, epoch: int, first: int = 0) -> list[Any]:
    loader.start_at(epoch, first)
    return list(loader)


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_not(
    procedural: Make, tmp_path: Path, read_metrics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(procedural(out=str(tmp_path / "whole")))
    step = Training.step
    left = [3]

    def dies(self: Training, batch: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            raise RuntimeError("killed")
        return step(self, batch)

    monkeypatch.setattr(Training, "step", dies)
    recipe = procedural(train__checkpoint_every_n_steps=1)
    with pytest.raises(RuntimeError, match="killed"):
        fit(recipe)
    monkeypatch.undo()
    torch.manual_seed(99)
    again = fit(recipe)
    assert read_metrics(again.out) == read_metrics(whole.out)
    one, other = (load_file(run.last / "model.safetensors") for run in (whole, again))
    assert all(torch.equal(one[key], other[key]) for key in one)
    states = [RunFolder(run.out).load_state() for run in (whole, again)]
    for key in ("objective", "objective_average"):
        a, b = (state[key].get("model", state[key]) for state in states)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)
    # What only pre-training needs is in the state, not in the checkpoint; the families are told.
    model = load_checkpoint(whole.last)
    assert model.num_classes == len(ProceduralClips(recipe).class_names)
    config = json.loads((whole.last / "config.json").read_text())
    families = config["measured"]["validation"]["families"]
    assert set(families) == {"motion", "order"}
    assert all(0 <= share <= 1 for share in families.values())
    rates = [row["lr"] for row in read_metrics(whole.out) if row["row"] == "step"]
    assert len(rates) == 4


@pytest.mark.slow
def test_batches_are_a_function_of_seed_and_place(procedural: Make) -> None:
    train, val = _clips(procedural()).loaders(0, 1, CPU)
    assert isinstance(train, TrainLoader)
    assert val is not None
    whole = _batches(train, 3)
    rest = _batches(train, 3, 1)
    assert (len(train), len(whole), len(rest)) == (2, 2, 1)
    assert torch.equal(rest[0]["clips"], whole[1]["clips"])
    assert torch.equal(rest[0]["targets"]["speed"], whole[1]["targets"]["speed"])
    assert whole[0]["clips"].shape == (8, 1, 3, 8, 32, 32)
    assert not torch.equal(whole[0]["clips"], _batches(train, 4)[0]["clips"])
    assert [len(b["labels"]) for b in list(val)] == [8, 4]
    assert torch.equal(_batches(val, 0)[0]["clips"], _batches(val, 1)[0]["clips"])
    assert not torch.equal(_batches(val, 0)[0]["clips"], _batches(train, 0)[0]["clips"])
    other = _clips(procedural(seed=1)).loaders(0, 1, CPU)[0]
    assert not torch.equal(_batches(other, 3)[0]["clips"], whole[0]["clips"])


@pytest.mark.slow
def test_processes_share_the_clips(procedural: Make) -> None:
    clips = _clips(procedural())
    pairs = [clips.loaders(rank, 2, CPU) for rank in (0, 1)]
    assert [len(train) for train, _ in pairs] == [1, 1]
    one, other = (_batches(train, 0)[0] for train, _ in pairs)
    assert not torch.equal(one["clips"], other["clips"])
    assert sum(len(b["labels"]) for _, val in pairs for b in val or ()) == 12


@pytest.mark.slow
def test_workers_draw_the_same(procedural: Make) -> None:
    here = _clips(procedural()).loaders(0, 1, CPU)[0]
    there = _clips(procedural(data__num_workers=1)).loaders(0, 1, CPU)[0]
    pairs = list(zip(_batches(here, 1), _batches(there, 1), strict=True))
    assert len(pairs) == 2
    for one, other in pairs:
        assert torch.equal(one["clips"], other["clips"])
        assert torch.equal(one["labels"], other["labels"])


@pytest.mark.slow
def test_colours_change_and_labels_stay(procedural: Make) -> None:
    plain = procedural(augment__color_jitter=0.0, augment__grayscale_probability=0.0)
    before, after = (_batches(_clips(r).loaders(0, 1, CPU)[0], 0)[0] for r in (plain, procedural()))
    assert torch.equal(before["labels"], after["labels"])
    assert not torch.equal(before["clips"], after["clips"])
    later = _batches(_clips(procedural(augment__runs_on="device")).loaders(0, 1, CPU)[0], 0)[0]
    assert torch.equal(later["clips"], before["clips"])
    assert later["parameters"].color.shape == (8, 1, 4)


def test_what_has_no_meaning_is_refused(procedural: Make) -> None:
    for key, value in (
        ("data__class_balanced", True),
        ("data__val_path", "x"),
        ("augment__repeats", 2),
        ("optim__class_weights", "balanced"),
    ):
        with pytest.raises(
            RecipeError, match=rf"{key.replace('__', '.')} is not for procedural clips"
        ):
            fit(procedural(**{key: value}))
    with pytest.raises(RecipeError, match="a step alone takes 8 clips"):
        fit(procedural(pretrain__epoch_clips=4))
    with pytest.raises(UserError, match="family 'motoin' is unknown"):
        fit(procedural(pretrain__families=["motoin"]))
    with pytest.raises(RecipeError, match="pretrain: no class 'wlk' in motion, order"):
        fit(procedural(pretrain__classes=["wlk", "grow"]))
    with pytest.raises(RecipeError, match="unknown target 'sped'; did you mean 'speed'"):
        fit(procedural(pretrain__target_weights=["sped=2"]))
    with pytest.raises(RecipeError, match="NAME=WEIGHT"):
        procedural(pretrain__target_weights=["speed"])
    assert not procedural().out or not Path(str(procedural().out)).exists()


def test_what_is_drawn_can_differ(procedural: Make) -> None:
    own, other = (
        _clips(procedural(pretrain__procedural=v, pretrain__families=["limbs"])).generator_spec
        for v in ([], ["body_size=0.4", " speed = 0.5"])
    )
    assert (own.body_size, own.speed, own.clutter) == (1.0, 1.0, 0.5)
    assert (other.body_size, other.speed, other.clutter) == (0.4, 0.5, 0.5)
    for value, message in {
        "body_sise=0.4": r"pretrain\.procedural has no 'body_sise'; did you mean 'body_size'",
        "num_frames=9": r"pretrain\.procedural has no 'num_frames'",
        "body_size=0.1": r"pretrain: body_size must be between 0\.25 and 1, not 0\.1",
        "body_size": r"pretrain\.procedural must be NAME=VALUE",
    }.items():
        with pytest.raises(RecipeError, match=message):
            ProceduralClips(procedural(pretrain__procedural=[value]))


def test_procedural_clips_by_name(
    procedural: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    by_name = procedural(data__format="auto", data__path="procedural")
    assert is_procedural(procedural().data)
    assert is_procedural(by_name.data)
    (tmp_path / "procedural").mkdir()
    assert not is_procedural(by_name.data)


def test_the_fingerprint_is_of_the_settings(procedural: Make) -> None:
    found = {
        _clips(recipe).fingerprint()
        for recipe in (
            procedural(),
            procedural(pretrain__epoch_clips=24),
            procedural(pretrain__families=["order"]),
            procedural(pretrain__classes=["grow", "shrink"]),
        )
    }
    assert len(found) == 4
    assert _clips(procedural()).fingerprint() in found


@pytest.mark.slow
def test_targets_teach(procedural: Make) -> None:
    recipe = procedural(pretrain__masked_weight=0.0, train__epochs=1)
    plain = procedural(
        out=f"{recipe.out}-plain",
        pretrain__masked_weight=0.0,
        pretrain__targets_weight=0.0,
        train__epochs=1,
    )
    both = [load_file(fit(r).last / "model.safetensors") for r in (recipe, plain)]
    assert both[0].keys() == both[1].keys()
    assert any(not torch.equal(both[0][key], both[1][key]) for key in both[0])
    assert all(math.isfinite(float(v.sum())) for v in both[0].values())

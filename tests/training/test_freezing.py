"""Epochs in which the head learns alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from video_mobile_former.errors import RecipeError
from video_mobile_former.models.registry import create_model
from video_mobile_former.training.build import build_indexes, build_model
from video_mobile_former.training.fit import fit
from video_mobile_former.training.freezing import backbone_rate, frozen_backbone
from video_mobile_former.training.loop import Training
from video_mobile_former.training.optim import parameter_groups
from video_mobile_former.training.recipe.fields import Recipe

Make = Callable[..., Recipe]


class _CrashError(Exception):
    pass


def _start(recipe: Recipe) -> dict[str, Tensor]:
    torch.manual_seed(recipe.seed)
    return build_model(recipe, build_indexes(recipe)[0].class_names).state_dict()


def _changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def _watch_epochs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The weights, and for how many parameters the optimiser has averages, as epochs begin."""
    seen: list[dict[str, Any]] = []
    original = Training.step

    def step(self: Training, batch: Any) -> Tensor:
        if self.position.batch == 0:
            weights = {k: v.clone() for k, v in self.model.state_dict().items()}
            seen.append({"weights": weights, "states": len(self.optimizer.state)})
        return original(self, batch)

    monkeypatch.setattr(Training, "step", step)
    return seen


@pytest.mark.slow
def test_the_head_learns_alone_and_then_everything(
    small_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe(
        train__epochs=2, train__freeze_epochs=1, train__ema_decay=None, model__drop_path_rate=0.1
    )
    seen = _watch_epochs(monkeypatch)
    fit(recipe)
    head = {"classifier.weight", "classifier.bias"}
    assert _changed(seen[0]["weights"], seen[1]["weights"]) == head
    # Averages of gradients that never were would make the first real steps three times too long.
    assert seen[1]["states"] == len(head)
    last = load_file(Path(str(recipe.out)) / "last" / "model.safetensors")
    still = seen[1]["weights"].keys() - _changed(seen[1]["weights"], last)
    assert not {name for name in still if name.endswith(("weight", "running_mean"))}


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    ["adamw", pytest.param("sgd", marks=pytest.mark.slow)],
)
def test_all_epochs_frozen_is_a_linear_classifier(optimizer: str, small_recipe: Make) -> None:
    recipe = small_recipe(train__freeze_epochs=2, optim__optimizer=optimizer)
    fit(recipe)
    last = load_file(Path(str(recipe.out)) / "last" / "model.safetensors")
    assert _changed(_start(recipe), last) == {"classifier.weight", "classifier.bias"}


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_crash_costs_only_time(
    step: int, small_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"train__freeze_epochs": 1, "train__checkpoint_every_n_steps": 1}
    whole = small_recipe(out=str(tmp_path / "whole"), **changes)
    fit(whole)
    broken = small_recipe(out=str(tmp_path / "broken"), **changes)
    original = Training.step

    def crash(self: Training, batch: Any) -> Tensor:
        if self.position.step + 1 == step:
            raise _CrashError
        return original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", crash)
        with pytest.raises(_CrashError):
            fit(broken)
    fit(broken)
    files = (tmp_path / name / "last" / "model.safetensors" for name in ("whole", "broken"))
    one, other = map(load_file, files)
    assert not _changed(one, other)


@pytest.mark.slow
def test_norms_keep_their_statistics_and_learn_scale_and_shift(small_recipe: Make) -> None:
    recipe = small_recipe(train__epochs=2, train__freeze_norms=True, train__ema_decay=None)
    fit(recipe)
    last = load_file(Path(str(recipe.out)) / "last" / "model.safetensors")
    changed = _changed(_start(recipe), last)
    statistics = {name for name in last if "running_" in name}
    assert statistics
    assert not changed & statistics
    assert {name for name in changed if name.endswith("norm.weight")}


def test_what_is_frozen_needs_no_graph_and_is_as_before_afterwards() -> None:
    model: Any = create_model("vmf_500m", 3, num_frames=2, crop_size=32).train()
    model.blocks[0].eval()
    clips = torch.randn(2, 3, 2, 32, 32)
    with frozen_backbone(model):
        logits = model(clips)
        assert torch.equal(logits, model(clips))
        logits.sum().backward()
    given = {name for name, p in model.named_parameters() if p.grad is not None}
    assert given == {"classifier.weight", "classifier.bias"}
    assert all(p.requires_grad for p in model.parameters())
    assert model.training
    assert not model.blocks[0].training
    assert model.blocks[1].training


def test_the_rest_is_warmed_up_once_it_learns(small_recipe: Make) -> None:
    recipe = small_recipe(train__epochs=9, train__freeze_epochs=2, optim__warmup_epochs=4.0)
    rates = [backbone_rate(epochs, recipe) for epochs in (0, 1.9, 2, 3, 6, 9)]
    assert rates == [0, 0, 0, 0.25, 1, 1]
    assert backbone_rate(0, small_recipe()) == 1
    none = small_recipe(train__freeze_epochs=1, optim__warmup_epochs=0.0)
    assert [backbone_rate(epochs, none) for epochs in (0.9, 1.0)] == [0, 1]


def test_groups_of_the_head_stand_apart() -> None:
    model = create_model("vmf_500m", 5)
    groups = parameter_groups(model, 0.1, head_apart=True)
    head = [p for group in groups if not group["backbone"] for p in group["params"]]
    assert {id(p) for p in head} == {id(p) for p in model.classifier.parameters()}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert {group["weight_decay"] for group in groups if group["backbone"]} == {0.0, 0.1}


def test_more_frozen_epochs_than_epochs_are_refused(small_recipe: Make) -> None:
    with pytest.raises(RecipeError, match=r"train\.freeze_epochs.*between 0 and"):
        small_recipe(train__epochs=2, train__freeze_epochs=3)

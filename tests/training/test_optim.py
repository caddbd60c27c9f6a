from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.models.registry import create_model
from video_mobile_former.training.optim import (
    batch_scale,
    build_optimizer,
    layer_scales,
    learning_rate,
    parameter_groups,
    step_batch,
)
from video_mobile_former.training.recipe.fields import OptimRecipe
from video_mobile_former.training.recipe.read import recipe_from_dict


def test_norms_biases_and_tokens_are_not_decayed() -> None:
    model = create_model("vmf_500m", 5)
    decayed, plain = parameter_groups(model, 0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    spared = {names[id(p)] for p in plain["params"]}
    assert plain["weight_decay"] == 0.0
    assert decayed["weight_decay"] == 0.1
    assert "tokens" in spared
    assert all(p.ndim > 1 for p in decayed["params"])
    assert spared == {n for n, p in model.named_parameters() if p.ndim <= 1} | {"tokens"}
    assert len(spared) + len(decayed["params"]) == len(names)


def test_frozen_parameters_are_excluded() -> None:
    model = torch.nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    decayed, plain = parameter_groups(model, 0.1)
    assert [id(p) for p in decayed["params"]] == [id(model.weight)]
    assert plain["params"] == []


def test_a_step_follows_adamw() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 3)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    recipe = OptimRecipe(lr=0.1, weight_decay=0.2)
    optimizer = build_optimizer(model, recipe)
    model(torch.randn(5, 4)).square().sum().backward()
    optimizer.step()
    # First step of Adam: the gradient's sign times the rate; decoupled decay of matrices only.
    assert model.weight.grad is not None
    assert model.bias.grad is not None
    expected = weight * (1 - 0.1 * 0.2) - 0.1 * model.weight.grad.sign()
    torch.testing.assert_close(model.weight.detach(), expected, atol=1e-5, rtol=1e-5)
    expected = bias - 0.1 * model.bias.grad.sign()
    torch.testing.assert_close(model.bias.detach(), expected, atol=1e-5, rtol=1e-5)


def test_learning_rate_rises_and_falls() -> None:
    recipe = OptimRecipe(lr=1.0, min_lr=0.1, warmup_epochs=2)
    rates = [learning_rate(s, recipe, steps_per_epoch=5, epochs=12) for s in range(60)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10] == 1.0
    assert rates[35] == pytest.approx((1.0 + 0.1) / 2)
    assert learning_rate(60, recipe, steps_per_epoch=5, epochs=12) == pytest.approx(0.1)
    assert learning_rate(10**6, recipe, steps_per_epoch=5, epochs=12) == pytest.approx(0.1)


@settings(deadline=None)
@given(
    warmup=st.floats(0, 20),
    steps=st.integers(1, 50),
    epochs=st.integers(1, 20),
    schedule=st.sampled_from(["cosine", "step", "constant"]),
)
def test_learning_rate_is_one_hill(warmup: float, steps: int, epochs: int, schedule: str) -> None:
    recipe = OptimRecipe(lr=0.5, min_lr=0.01, warmup_epochs=warmup, schedule=schedule)  # type: ignore[arg-type]  # drawn from the three
    total = steps * epochs
    rates = [learning_rate(s, recipe, steps_per_epoch=steps, epochs=epochs) for s in range(total)]
    top = rates.index(max(rates))
    assert all(0 < rate <= 0.5 and math.isfinite(rate) for rate in rates)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == pytest.approx(0.5)
    low = {"cosine": 0.01, "step": 0.01, "constant": 0.5}[schedule]
    assert min(rates[top:]) >= low


def test_steps_lower_the_rate_at_shares_of_the_run_and_at_epochs() -> None:
    recipe = OptimRecipe(
        lr=1.0, min_lr=0.01, warmup_epochs=1, schedule="step", steps=(0.5, 8), step_factor=0.2
    )
    rates = [learning_rate(s, recipe, steps_per_epoch=5, epochs=10) for s in range(50)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:25] == [1.0] * 20
    assert rates[25:40] == pytest.approx([0.2] * 15)
    assert rates[40:] == pytest.approx([0.04] * 10)
    deep = OptimRecipe(lr=1.0, min_lr=0.05, schedule="step", steps=(1.0, 2.0))
    assert learning_rate(40, deep, steps_per_epoch=5, epochs=10) == 0.05  # not 0.01


def test_a_step_follows_nesterov() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 3)
    recipe = OptimRecipe(optimizer="sgd", lr=0.1, weight_decay=0.2, momentum=0.8)
    optimizer = build_optimizer(model, recipe)
    expected = {name: p.detach().clone() for name, p in model.named_parameters()}
    speed = {name: torch.zeros_like(p) for name, p in expected.items()}
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(5, 4)).square().sum().backward()
        for name, p in model.named_parameters():
            assert p.grad is not None
            # Only the matrix decays; the rate applies to the decay as well.
            gradient = p.grad + (0.2 * expected[name] if name == "weight" else 0)
            speed[name] = 0.8 * speed[name] + gradient
            expected[name] -= 0.1 * (gradient + 0.8 * speed[name])
        optimizer.step()
        for name, p in model.named_parameters():
            torch.testing.assert_close(p.detach(), expected[name])


def test_sgd_without_momentum() -> None:
    model = torch.nn.Linear(4, 3)
    (group, _) = build_optimizer(model, OptimRecipe(optimizer="sgd", momentum=0.0)).param_groups
    assert (group["momentum"], group["nesterov"]) == (0.0, False)


BLOCKS = {"vmf_500m": 9, "vmf_500m_cnn": 9, "x3d_s": 26, "movinet_a0": 15, "tsm_mobilenetv2": 17}


@pytest.mark.parametrize("name", BLOCKS)
def test_layers_learn_the_slower_the_earlier(name: str) -> None:
    blocks = BLOCKS[name]
    with torch.device("meta"):
        model = create_model(name, 5)
    optimizer = build_optimizer(model, OptimRecipe(layer_decay=0.8, weight_decay=0.1))
    names = {id(p): name for name, p in model.named_parameters()}
    seen: dict[str, float] = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            key = names[id(p)]
            seen[key] = group["lr_scale"]
            spared = p.ndim <= 1 or key == "tokens"
            assert group["weight_decay"] == (0.0 if spared else 0.1)
    assert seen.keys() == set(names.values())
    for key, scale in seen.items():
        first, _, rest = key.partition(".")
        if first == "blocks":
            depth = int(rest.partition(".")[0]) + 1
        else:
            depth = 0 if first in ("stem", "tokens") else blocks + 1
        assert scale == pytest.approx(0.8 ** (blocks + 1 - depth)), key
    assert seen["classifier.weight"] == 1.0
    assert min(seen.values()) == seen["stem.norm.weight"] == pytest.approx(0.8 ** (blocks + 1))
    assert set(layer_scales(model, 1.0).values()) == {1.0}


def test_the_rate_grows_with_the_batch_of_all_processes() -> None:
    values = {"train.batch_size": 8, "train.accumulate": 3, "train.devices": 2, "train.nodes": 4}
    assert batch_scale(recipe_from_dict(values)) == 1.0
    recipe = recipe_from_dict({**values, "optim.lr_batch": 64})
    assert step_batch(recipe) == 192
    assert batch_scale(recipe) == 3.0


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_layers_of_training_alone_learn_with_every_optimiser(optimizer: str) -> None:
    beside = torch.nn.Linear(3, 2)
    recipe = OptimRecipe(optimizer=optimizer)  # pyright: ignore[reportArgumentType] - a literal
    found = build_optimizer(torch.nn.Linear(4, 3), recipe, extra=beside)
    held = {id(p): group["weight_decay"] for group in found.param_groups for p in group["params"]}
    assert held[id(beside.weight)] == recipe.weight_decay
    assert held[id(beside.bias)] == 0

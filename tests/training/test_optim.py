from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.models.registry import create_model
from video_mobile_former.training.optim import build_optimizer, learning_rate, parameter_groups
from video_mobile_former.training.recipe import OptimRecipe


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


def test_frozen_parameters_are_left_out() -> None:
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
    schedule=st.sampled_from(["cosine", "constant"]),
)
def test_learning_rate_is_one_hill(warmup: float, steps: int, epochs: int, schedule: str) -> None:
    recipe = OptimRecipe(lr=0.5, min_lr=0.01, warmup_epochs=warmup, schedule=schedule)  # type: ignore[arg-type]  # drawn from the two
    total = steps * epochs
    rates = [learning_rate(s, recipe, steps_per_epoch=steps, epochs=epochs) for s in range(total)]
    top = rates.index(max(rates))
    assert all(0 < rate <= 0.5 and math.isfinite(rate) for rate in rates)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == pytest.approx(0.5)

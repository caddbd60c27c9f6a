"""Temporal smoothness: the loss is what its equation says, for every network."""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from video_mobile_former.data.loading.dataset import Batch
from video_mobile_former.errors import RecipeError
from video_mobile_former.models import create_model
from video_mobile_former.models.baselines import BASELINES
from video_mobile_former.training.fit import fit
from video_mobile_former.training.objectives.choose import Known, make_objective
from video_mobile_former.training.objectives.objective import watch
from video_mobile_former.training.objectives.smoothness import (
    VELOCITY_SHARE,
    _quadratic_forms,
    _windows,
    smoothness_loss,
)
from video_mobile_former.training.recipe.fields import Recipe

Make = Callable[..., Recipe]

# The first name of each class of networks, and a light CNN.
NAMES = [
    "vmf_500m",
    *{row.model: name for name, row in reversed(BASELINES.items())}.values(),
]


def energy(walk: Tensor) -> Tensor:
    total = torch.zeros(())
    for t in range(len(walk) - 2):
        total = total + (walk[t] - 2 * walk[t + 1] + walk[t + 2]).square().sum() / 2
    return total


def plainly(z: Tensor) -> Tensor:
    """The equation for one window (L, C), term by term."""
    weights = [
        torch.exp(-energy(z[[0, *rest]])) for rest in itertools.permutations(range(1, len(z)))
    ]
    velocity = sum((b - a).square().sum() / 2 for a, b in itertools.pairwise(z))
    return -torch.log(torch.exp(-energy(z)) / torch.stack(weights).sum()) + 0.5 * velocity


@pytest.mark.parametrize(("frames", "window"), [(3, 3), (4, 4), (5, 5), (8, 4), (7, 3), (4, 7)])
def test_the_loss_follows_its_equation(frames: int, window: int) -> None:
    torch.manual_seed(0)
    features = 3 * torch.randn(2, frames, 6).cumsum(1) + 1
    flat = features.flatten(0, 1)
    z = (features - flat.mean(0)) / (flat.var(0, correction=0) + 1e-5).sqrt() / 6**0.5
    length = min(frames, window)
    starts = {(3, 3): [0], (4, 4): [0], (5, 5): [0], (8, 4): [0, 4], (7, 3): [0, 2, 4], (4, 7): [0]}
    parts = [clip[s : s + length] for s in starts[frames, window] for clip in z]
    expected = torch.stack([plainly(part) for part in parts]).mean()
    torch.testing.assert_close(smoothness_loss(features, window), expected, atol=1e-5, rtol=1e-5)


def test_energies_of_a_walk_counted_by_hand() -> None:
    orders, steps = _quadratic_forms(4)
    z = torch.tensor([0.0, 1, 2, 3], dtype=torch.float64)
    products = (z[:, None] * z).flatten()
    # Orders 0123, 0132, 0213, 0231, 0312, 0321.
    assert (orders @ products).tolist() == [0, 1 + 9, 9 + 9, 1 + 9, 25 + 9, 16]
    assert steps @ products == 3
    assert VELOCITY_SHARE == 0.5


def test_windows_cover_every_frame() -> None:
    for frames, length in itertools.product(range(3, 20), (3, 5)):
        z = torch.arange(float(frames)).view(1, -1, 1)
        found = _windows(z, min(length, frames))
        assert set(found.flatten().tolist()) == set(range(frames))
        assert len(found) == -(-frames // min(length, frames))


def test_smooth_paths_cost_less_than_mixed_up_ones() -> None:
    torch.manual_seed(0)
    times = torch.linspace(0, 1, 10).view(1, -1, 1)
    smooth = torch.randn(4, 1, 12) * times + torch.randn(4, 1, 12) * times**2
    mixed = smooth[:, torch.randperm(10)]
    assert smoothness_loss(smooth, 5) < smoothness_loss(mixed, 5) - 1


def test_its_gradient_makes_features_smoother() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 8, 5, requires_grad=True)
    optimizer = torch.optim.SGD([features], lr=5.0)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = smoothness_loss(features, 4)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_features_of_every_network_in_both_forms(name: str) -> None:
    found: dict[str, Tensor] = {}
    seen = types.SimpleNamespace()
    for form in ("volume", "frames"):
        torch.manual_seed(0)
        model = create_model(name, 3, form=form).eval()
        x = torch.rand(2, 3, 4, 64, 64, generator=torch.Generator().manual_seed(1))
        with watch(model, seen, hidden=False):
            model(x)
        found[form] = seen.local.mean(dim=(3, 4))
        del seen.local
        model(x)
        assert not hasattr(seen, "local"), "the hook must be gone"
    assert found["volume"].shape[:2] == (2, 4)
    torch.testing.assert_close(found["volume"], found["frames"], atol=1e-4, rtol=1e-4)
    assert found["frames"].std(dim=1).max() > 0
    model = create_model(name, 3).train()
    with watch(model, seen, hidden=False):
        model(torch.rand(2, 3, 4, 64, 64))
    smoothness_loss(seen.local.mean(dim=(3, 4)), 4).backward()
    grads = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    assert grads[next(k for k in grads if k.startswith("stem"))].abs().sum() > 0
    assert not any(k.startswith("classifier") for k in grads)


@pytest.mark.slow
def test_a_training_step_adds_it_to_the_loss(small_recipe: Make) -> None:
    found = {}
    for weight in (0.0, 0.5, 1.0):
        torch.manual_seed(0)
        model = create_model("vmf_500m", 8, num_frames=4, crop_size=32)
        objective = make_objective(Known(small_recipe(optim__temporal_smoothness=weight), model))
        generator = torch.Generator().manual_seed(1)
        shape = (4, 1, 3, 4, 32, 32)
        batch = Batch(
            clips=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
            labels=torch.arange(4),
            indices=torch.arange(4),
            failures=[],
            padded=[],
        )
        loss, _ = objective.step(model, batch, [0, 0, 0, 0])
        found[weight] = loss.item()
    assert found[0.5] > found[0.0] + 0.1
    assert found[1.0] - found[0.5] == pytest.approx(found[0.5] - found[0.0], rel=1e-4)


def test_clips_too_short_are_refused(small_recipe: Make) -> None:
    with pytest.raises(RecipeError, match="at least 3 frames, not 2"):
        fit(small_recipe(clip__num_frames=2, optim__temporal_smoothness=0.1))
    for value in (2, 8):
        with pytest.raises(RecipeError, match=r"optim.smoothness_frames must be 3 to 7"):
            small_recipe(optim__smoothness_frames=value)
    with pytest.raises(RecipeError, match=r"optim.temporal_smoothness must be at least 0"):
        small_recipe(optim__temporal_smoothness=-0.1)

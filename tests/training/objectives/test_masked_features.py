"""Masked features: what is hidden, what is asked for, and that it can be learned."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch

from video_mobile_former.data.loading.dataset import Batch
from video_mobile_former.models import create_model
from video_mobile_former.models.baselines import BASELINES
from video_mobile_former.training.objectives.choose import Known, make_objective
from video_mobile_former.training.objectives.masked_features import (
    MaskedFeatures,
    hide,
    hog,
    sample_mask,
)
from video_mobile_former.training.objectives.objective import watch
from video_mobile_former.training.recipe.read import recipe_from_dict

NAMES = ["vmf_500m", *{row.model: name for name, row in reversed(BASELINES.items())}.values()]


def test_hog_of_edges_counted_by_hand() -> None:
    ramp = torch.arange(32.0).expand(32, 32)
    # Brighter to the right: all in the first of nine orientations; downwards: in the fifth (90°).
    for picture, place in ((ramp, 0), (ramp.T, 4), (-ramp, 0)):
        found = hog(picture.expand(1, 3, 2, 32, 32), 1, 1)
        assert found.shape == (1, 2, 1, 1, 4 * 4 * 3 * 9)
        cells = found.view(2, 4, 4, 3, 9)
        assert torch.equal(cells.argmax(-1), torch.full((2, 4, 4, 3), place))
        torch.testing.assert_close(cells.norm(dim=-1), torch.ones(2, 4, 4, 3))
    # A diagonal gradient of 45° is in the third orientation (40 to 60°).
    both = (ramp + ramp.T).expand(1, 3, 1, 32, 32)
    inner = hog(both, 1, 1).view(4, 4, 3, 9)[1:3, 1:3]
    assert torch.equal(inner.argmax(-1), torch.full((2, 2, 3), 2))
    assert not hog(torch.ones(1, 3, 1, 32, 32), 1, 1).any()


def test_hog_knows_the_place_and_not_the_scale_of_colours() -> None:
    torch.manual_seed(0)
    clip = torch.rand(1, 3, 2, 64, 96)
    found = hog(clip, 2, 3)
    assert found.shape == (1, 2, 2, 3, 432)
    torch.testing.assert_close(hog(clip * 7 + 3, 2, 3), found, atol=1e-4, rtol=1e-4)
    changed = clip.clone()
    changed[:, :, 1, 40:60, 70:90] = 0
    differs = (hog(changed, 2, 3) - found).abs().sum(-1)[0] > 1e-4
    assert differs.nonzero().tolist() == [[1, 1, 2]]


def test_masks_hide_about_as_much_as_asked() -> None:
    generator = np.random.default_rng(0)
    shares = [sample_mask((8, 4, 4), 0.4, generator).mean() for _ in range(50)]
    assert min(shares) >= 0.4
    assert np.mean(shares) < 0.55
    for shape in ((1, 1, 1), (2, 1, 1), (8, 1, 1), (2, 2, 2)):
        mask = sample_mask(shape, 0.9, generator)
        assert not mask.all()
        assert mask.any() or mask.size == 1


def test_hiding_touches_the_hidden_alone() -> None:
    clips = torch.rand(1, 3, 2, 48, 64) + 1
    mask = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    mask[0, 1, 1, 0] = True
    hidden = hide(clips, mask)
    assert not hidden[0, :, 1, 32:48, :32].any()
    hidden[0, :, 1, 32:48, :32] = clips[0, :, 1, 32:48, :32]
    assert torch.equal(hidden, clips)


def test_masks_are_a_function_of_their_place() -> None:
    clips = torch.zeros(3, 3, 8, 64, 64)
    masked = MaskedFeatures(4, 0.4)
    one, other = masked.sample(clips, [0, 1]), masked.sample(clips, [0, 2])
    assert torch.equal(one, masked.sample(clips, [0, 1]))
    assert torch.equal(one[1:], masked.sample(clips[1:], [0, 1], first=1))
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])


def test_only_hidden_places_count() -> None:
    torch.manual_seed(0)
    masked = MaskedFeatures(4, 0.4)
    clips = torch.rand(2, 3, 2, 64, 64)
    mask = torch.zeros(2, 2, 2, 2, dtype=torch.bool)
    mask[:, 0, 0, 0] = True
    features = torch.rand(2, 2, 4, 2, 2)
    loss = masked.loss(features, clips, mask)
    elsewhere = features.clone()
    elsewhere[:, 1] += 5
    torch.testing.assert_close(masked.loss(elsewhere, clips, mask), loss)
    here = features.clone()
    here[1, 0, :, 0, 0] += 5
    assert masked.loss(here, clips, mask)[1] > loss[1]
    wanted = hog(clips, 2, 2)[:, 0, 0, 0]
    found = masked.predict(features[:, 0, :, 0, 0])
    torch.testing.assert_close(loss, (found - wanted).square().mean(1))


@pytest.mark.parametrize("name", NAMES)
def test_every_network_gives_what_it_needs(name: str) -> None:
    local: dict[str, torch.Tensor] = {}
    hidden: dict[str, torch.Tensor] = {}
    seen = types.SimpleNamespace()
    for form in ("volume", "frames"):
        torch.manual_seed(0)
        model = create_model(name, 3, form=form).eval()
        x = torch.rand(2, 3, 4, 64, 64, generator=torch.Generator().manual_seed(1))
        with watch(model, seen):
            model(x)
        assert seen.local.shape[:2] == (2, 4)
        assert seen.hidden.shape == (2, model.classifier.in_features)
        local[form], hidden[form] = seen.local, seen.hidden
    torch.testing.assert_close(local["volume"], local["frames"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(hidden["volume"], hidden["frames"], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_what_is_hidden_can_be_learned() -> None:
    torch.manual_seed(0)
    model = create_model("vmf_500m", 2, num_frames=4, crop_size=64).train()
    recipe = recipe_from_dict({"pretrain.task": "masked_features"})
    objective = make_objective(Known(recipe, model))
    # Stripes across or along the whole picture: what can be seen tells what is hidden.
    stripes = (torch.arange(64) // 4 % 2).float()
    clips = torch.stack([stripes.expand(64, 64), stripes[:, None].expand(64, 64)]).repeat(4, 1, 1)
    clips = (255 * clips[:, None, None, None]).expand(-1, 1, 3, 4, -1, -1).byte()
    batch = Batch(
        clips=clips,
        labels=torch.zeros(8, dtype=torch.int64),
        indices=torch.arange(8),
        failures=[],
        padded=[],
    )
    rest = [*model.parameters(), *objective.parameters()]
    optimizer = torch.optim.AdamW(rest, lr=3e-3)
    losses = []
    for step in range(12):
        loss, figures = objective.step(model, batch, [step])
        assert not figures
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]

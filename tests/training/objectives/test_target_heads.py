"""What is known of procedural clips beside their class: masked, weighted losses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from video_mobile_former.errors import RecipeError
from video_mobile_former.procedural import Target
from video_mobile_former.training.objectives.target_heads import TargetHeads

TARGETS = {"way": Target("regression", 2), "kind": Target("classification", 3)}


def _given() -> tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    values = {"way": torch.randn(4, 2), "kind": torch.tensor([0, 1, 2, 99])}
    known = {
        "way": torch.tensor([True, False, True, True]),
        "kind": torch.tensor([True, True, False, False]),
    }
    return torch.randn(4, 5), values, known


def test_the_loss_by_hand() -> None:
    features, values, known = _given()
    heads = TargetHeads(5, TARGETS, {"way": 2.0})
    way, kind = heads.heads["way"](features), heads.heads["kind"](features)
    first = F.smooth_l1_loss(way[[0, 2, 3]], values["way"][[0, 2, 3]])
    second = F.cross_entropy(kind[:2], values["kind"][:2])
    torch.testing.assert_close(heads(features, values, known), (2 * first + second) / 3)


def test_what_is_not_known_teaches_nothing() -> None:
    features, values, known = _given()
    heads = TargetHeads(5, TARGETS, {})
    before = heads(features, values, known)
    values["way"][1] = torch.nan
    torch.testing.assert_close(heads(features, values, known), before)
    known = {name: torch.zeros(4, dtype=torch.bool) for name in TARGETS}
    loss = heads(features.requires_grad_(), values, known)
    loss.backward()
    assert loss == 0
    # Every layer has a gradient, which DDP waits for.
    assert all(p.grad is not None and not p.grad.any() for p in heads.parameters())


def test_weights_are_of_targets_that_there_are() -> None:
    with pytest.raises(RecipeError, match="unknown target 'wai'; did you mean 'way'"):
        TargetHeads(5, TARGETS, {"wai": 1.0})
    with pytest.raises(RecipeError, match="all are 0"):
        TargetHeads(5, TARGETS, {"way": 0.0, "kind": 0.0})

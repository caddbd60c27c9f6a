from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from video_mobile_former.errors import RecipeError
from video_mobile_former.training.freezing import zero_loss
from video_mobile_former.training.objectives.supervised import (
    classification_loss,
    loss_kind,
)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_against_smoothed_targets(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 5), torch.randint(0, 5, (6,))
    target = torch.full((6, 5), smoothing / 5)
    target[torch.arange(6), labels] += 1 - smoothing
    expected = -(target * logits.log_softmax(1)).sum(1).mean()
    got = classification_loss(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(got, expected)


def test_half_precision_logits_do_not_overflow() -> None:
    logits = torch.tensor([[60000.0, 0.0]], dtype=torch.float16)
    loss = classification_loss(logits, torch.tensor([1]), label_smoothing=0.1)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)


def test_zero_loss_reaches_every_trainable_parameter() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    model[0].bias.requires_grad_(False)
    loss = zero_loss(model.parameters())
    loss.backward()
    assert loss.item() == 0
    for parameter in model.parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None
            assert not parameter.grad.any()


def _case(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, 5, generator=generator)
    labels = torch.randint(0, 5, (6,), generator=generator)
    return logits, labels, torch.rand(5, generator=generator) * 3


def test_weighted_cross_entropy_is_torch_s_without_its_mean_over_weights() -> None:
    logits, labels, weights = _case()
    got = classification_loss(logits, labels, class_weights=weights)
    mean_of_weights = F.cross_entropy(logits, labels, weight=weights)
    torch.testing.assert_close(got, mean_of_weights * weights[labels].sum() / 6)
    # So a batch counts as its parts do, however it is divided.
    parts = [
        classification_loss(logits[rows], labels[rows], class_weights=weights)
        for rows in (slice(0, 3), slice(3, 6))
    ]
    torch.testing.assert_close(got, sum(parts) / 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_shares_of_classes_are_losses_in_these_shares(smoothing: float, weighted: bool) -> None:
    logits, labels, weights = _case(1)
    options: dict[str, Any] = {
        "label_smoothing": smoothing,
        "class_weights": weights if weighted else None,
    }
    others = labels.roll(1)
    mixed = 0.7 * F.one_hot(labels, 5) + 0.3 * F.one_hot(others, 5)
    for kind in ("cross_entropy", "bce"):
        got = classification_loss(logits, mixed, kind=kind, **options)
        one = classification_loss(logits, labels, kind=kind, **options)
        other = classification_loss(logits, others, kind=kind, **options)
        torch.testing.assert_close(got, 0.7 * one + 0.3 * other)


def test_binary_cross_entropy_against_torch() -> None:
    logits, labels, weights = _case(2)
    targets = torch.tensor([[0, 1, 1, 0, 0], [0] * 5, [1] * 5] * 2).float()
    got = classification_loss(logits, targets, kind="bce")
    torch.testing.assert_close(got, F.binary_cross_entropy_with_logits(logits, targets))
    got = classification_loss(logits, targets, kind="bce", class_weights=weights)
    expected = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)
    torch.testing.assert_close(got, expected)
    by_hand = -(
        weights * targets * logits.sigmoid().log() + (1 - targets) * (-logits).sigmoid().log()
    )
    torch.testing.assert_close(got, by_hand.mean())
    got = classification_loss(logits, targets, kind="bce", label_smoothing=0.1)
    smooth = targets * 0.9 + 0.02
    torch.testing.assert_close(got, F.binary_cross_entropy_with_logits(logits, smooth))
    got = classification_loss(logits, labels, kind="bce")
    one_hot = F.one_hot(labels, 5).float()
    torch.testing.assert_close(got, F.binary_cross_entropy_with_logits(logits, one_hot))


def test_the_loss_follows_the_data() -> None:
    assert loss_kind("auto", multi_label=True) == "bce"
    assert loss_kind("auto", multi_label=False) == "cross_entropy"
    assert loss_kind("bce", multi_label=False) == "bce"
    with pytest.raises(RecipeError, match=r"optim\.loss cross_entropy needs one class"):
        loss_kind("cross_entropy", multi_label=True)

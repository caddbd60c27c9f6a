from __future__ import annotations

import pytest
import torch

from video_mobile_former.training.losses import classification_loss, zero_loss


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

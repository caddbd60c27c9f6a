"""What the tests of the other networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def randomise(model: nn.Module) -> None:
    """Give norms values that a mistake in any of them would show in."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)


def clips(batch: int = 2, frames: int = 4, height: int = 40, width: int = 47) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, 3, frames, height, width)

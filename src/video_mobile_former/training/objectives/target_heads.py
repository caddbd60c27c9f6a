"""What is known of procedural clips beside their class, learned by layers that are not kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import RecipeError, known_names
from ...procedural import Target
from ..freezing import zero_loss
from .objective import Beside, Pass


class TargetHeads(nn.Module):
    """A linear layer for each target on what the classifier sees.

    Args:
        channels: Of the features.
        targets: What is known, under its names.
        weights: How much each counts, at least 0; those not named weigh 1.

    Raises:
        RecipeError: If a weight is of no target, or all are 0.
    """

    def __init__(self, channels: int, targets: Mapping[str, Target], weights: Mapping[str, float]):
        super().__init__()
        for name in weights:
            if name not in targets:
                near = known_names(name, targets)
                raise RecipeError(f"pretrain.target_weights: unknown target {name!r}{near}")
        self.targets = dict(targets)
        self.weights = {name: weights.get(name, 1.0) for name in targets}
        if not sum(self.weights.values()):
            raise RecipeError("pretrain.target_weights: all are 0; set pretrain.targets_weight 0")
        self.heads = nn.ModuleDict(
            {name: nn.Linear(channels, target.width) for name, target in targets.items()}
        )

    def forward(
        self, features: Tensor, values: Mapping[str, Tensor], known: Mapping[str, Tensor]
    ) -> Tensor:
        """The weighted mean of the losses of all targets.

        Args:
            features: (B, C).
            values: For each target (B, width) float, or (B,) int64 classes.
            known: For each target (B,) bool: of which clips it is known; of none is a loss of 0.

        Returns:
            A scalar: for numbers the smooth L1 loss, for classes the cross-entropy.
        """
        total = features.new_zeros(())
        # Where a value is not known anything may stand, so it is replaced before it is used.
        for name, head in self.heads.items():
            found, mask = head(features), known[name].float()
            if self.targets[name].kind == "regression":
                wanted = torch.where(known[name][:, None], values[name].to(found), 0)
                errors = F.smooth_l1_loss(found, wanted, reduction="none").mean(1)
            else:
                wanted = torch.where(known[name], values[name].long(), 0)
                errors = F.cross_entropy(found, wanted, reduction="none")
            total = total + self.weights[name] * (errors * mask).sum() / mask.sum().clamp_min(1)
        return total / sum(self.weights.values())


class KnownTargets(Beside):
    """Learns what is known of procedural clips beside their class.

    Args:
        heads: A layer for each target.
        weight: Of the loss.
    """

    field = "pretrain"
    wants_hidden = True

    def __init__(self, heads: TargetHeads, weight: float):
        super().__init__()
        self.heads, self.weight = heads, weight

    def forward(self, seen: Pass) -> Tensor:
        """See :class:`~.objective.Beside`."""
        assert seen.hidden is not None
        features = seen.hidden.float()
        batch: Any = seen.batch
        with torch.autocast(features.device.type, enabled=False):
            # What is known of two clips that are mixed is not known of the mix.
            if seen.targets.dim() == 1 and "targets" in batch:
                found = self.heads(features, batch["targets"], batch["masks"])
            else:
                # Every layer has a part in the loss, or DDP would wait for its gradient.
                found = zero_loss(self.heads.parameters())
        return self.weight * found

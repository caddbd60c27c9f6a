"""The fields of a training recipe that concern pre-training: on drawn clips, or without labels.

See :mod:`.recipe_fields` for the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .require import require


@dataclass(frozen=True)
class PretrainRecipe:
    """What is learned before there are labels: from clips that are drawn, or from any clips."""

    task: Literal["labels", "masked_features"] = "labels"
    """labels: the classes of the data; masked_features: what hidden parts of a clip look like
    (arXiv 2112.09133), for which no labels are needed."""
    epoch_clips: int = 4096
    """Drawn clips (data.format procedural): how many make an epoch."""
    val_clips: int = 960
    """Drawn clips: how many, of other seeds, to validate on; 0 = train without validation."""
    families: tuple[str, ...] = ()
    """Drawn clips: families of motion to draw, such as [motion, order]; [] = all."""
    classes: tuple[str, ...] = ()
    """Drawn clips: only these classes of the families, such as [walk, jump]; [] = all."""
    drawing: tuple[str, ...] = ()
    """Drawn clips: what else is to differ, such as [body_size=0.4, speed=0.5]: shares, factors and
    their ranges as in ProceduralSpec."""
    targets_weight: float = 0.5
    """Drawn clips: weight of what else is known of them (speeds, directions, counts, …), which is
    learned beside the classes; 0 = do not."""
    target_weights: tuple[str, ...] = ()
    """Drawn clips: weights among these targets, as [speed=2, count=0]; those not named weigh 1."""
    masked_weight: float = 0.0
    """Task labels: weight of masked features beside the classes; half of the clips of each batch
    then have hidden parts."""
    mask_ratio: float = 0.4
    """Masked features: share of a clip that is hidden, in boxes of random size and length."""

    def __post_init__(self) -> None:
        require(self, "pretrain", "epoch_clips", self.epoch_clips >= 2, "at least 2")
        require(self, "pretrain", "val_clips", self.val_clips >= 0, "at least 0")
        for name in ("targets_weight", "masked_weight"):
            value = getattr(self, name)
            require(self, "pretrain", name, 0 <= value < math.inf, "at least 0")
        require(self, "pretrain", "mask_ratio", 0 < self.mask_ratio < 1, "between 0 and 1")
        for name, meaning in (("target_weights", "WEIGHT"), ("drawing", "VALUE")):
            for text in getattr(self, name):
                key, _, value = text.partition("=")
                ok = bool(key.strip()) and _is_weight(value)
                require(self, "pretrain", name, ok, f"NAME={meaning}, with numbers from 0 on")

    def weights_of_targets(self) -> dict[str, float]:
        """``target_weights`` as names and numbers."""
        return _numbers(self.target_weights)

    def drawn_with(self) -> dict[str, float]:
        """``drawing`` as names and numbers."""
        return _numbers(self.drawing)


def _numbers(texts: tuple[str, ...]) -> dict[str, float]:
    pairs = (text.partition("=") for text in texts)
    return {name.strip(): float(value) for name, _, value in pairs}


def _is_weight(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False

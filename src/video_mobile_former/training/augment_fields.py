"""The fields of a training recipe that concern random changes to clips.

See :mod:`.recipe_fields` for the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .require import require


@dataclass(frozen=True)
class AugmentRecipe:
    """Random changes to training clips, the same for all frames of a clip."""

    scale: tuple[float, float] = (0.4, 1.0)
    """Smallest and largest share of the picture's area that a random crop takes."""
    ratio: tuple[float, float] = (0.75, 1.3333)
    """Smallest and largest width by height of a random crop."""
    horizontal_flip: bool = True
    """Mirror half of the clips; set false where left and right tell classes apart."""
    color_jitter: float = 0.3
    """Strength of changes to brightness, contrast and saturation, 0 to 1."""
    hue: float = 0.0
    """Largest turn of the hue, as a share of the colour circle, 0 to 0.5."""
    grayscale_probability: float = 0.0
    """Chance that a clip loses its colours, 0 to 1."""
    randaugment_ops: int = 0
    """Operations of RandAugment drawn for a clip (4 is usual for video); 0 = none."""
    randaugment_magnitude: float = 7.0
    """Strength of these operations, 0 to 10."""
    randaugment_probability: float = 0.5
    """Chance that a drawn operation is done, 0 to 1."""
    erase_probability: float = 0.0
    """Chance that a box of the clip is replaced by noise (random erasing), 0 to 1."""
    runs_on: Literal["workers", "device"] = "workers"
    """Who changes colours, does RandAugment and erases: the processes that read video, or the
    training device in batches, where cores are scarcer than its time. Crops are cut by the former
    in any case."""
    repeats: int = 1
    """Differently changed clips made of each video that is read; one forward pass then takes
    train.batch_size × repeats clips."""
    mixup_alpha: float = 0.0
    """Add pairs of clips and their labels (MixUp), with shares from Beta(α, α); 0 = do not."""
    cutmix_alpha: float = 0.0
    """Put a box of one clip into another (CutMix), of a size from Beta(α, α); 0 = do not. Beside a
    mixup_alpha above 0 each is done to half of the mixed batches."""
    cutmix_kind: Literal["spatial", "temporal", "spatiotemporal"] = "spatial"
    """What the box spans: a part of the picture in all frames, whole frames of a part of the time,
    or a part of both."""
    mix_probability: float = 1.0
    """Chance that a batch is mixed, where mixup_alpha or cutmix_alpha is above 0; 0 to 1."""

    def __post_init__(self) -> None:
        low, high = self.scale
        require(self, "augment", "scale", 0 < low <= high <= 1, "two rising numbers in (0, 1]")
        low, high = self.ratio
        ok = 0 < low <= high < math.inf
        require(self, "augment", "ratio", ok, "two rising numbers above 0")
        shares = ("color_jitter", "grayscale_probability", "randaugment_probability")
        for name in (*shares, "erase_probability", "mix_probability"):
            require(self, "augment", name, 0 <= getattr(self, name) <= 1, "0 to 1")
        require(self, "augment", "hue", 0 <= self.hue <= 0.5, "0 to 0.5")
        require(self, "augment", "randaugment_ops", self.randaugment_ops >= 0, "at least 0")
        ok = 0 <= self.randaugment_magnitude <= 10
        require(self, "augment", "randaugment_magnitude", ok, "0 to 10")
        require(self, "augment", "repeats", self.repeats >= 1, "at least 1")
        for name in ("mixup_alpha", "cutmix_alpha"):
            ok = 0 <= getattr(self, name) < math.inf
            require(self, "augment", name, ok, "at least 0")

"""Transforms of uint8 clips in plain torch, the same for all frames.

No global random state is used: random transforms take a generator.
"""

from .augmentation import Augmentation, augment
from .color import apply_color, color_matrix, normalize
from .geometry import random_crop, resize
from .parameters import AugmentParameters, stack_parameters
from .pipeline import EvalTransform, TrainTransform, Transform

__all__ = [
    "AugmentParameters",
    "Augmentation",
    "EvalTransform",
    "TrainTransform",
    "Transform",
    "apply_color",
    "augment",
    "color_matrix",
    "normalize",
    "random_crop",
    "resize",
    "stack_parameters",
]

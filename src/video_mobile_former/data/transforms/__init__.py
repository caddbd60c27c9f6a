"""Changing clips in plain torch on uint8, the same for all frames.

Nothing draws from a global random state: what is random takes its generator.
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

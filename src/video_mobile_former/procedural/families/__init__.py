"""Families of classes: what actors, bodies and the camera do."""

from . import background, camera, interaction, limbs, long_range, motion, order, periodic, recall
from .kinds import EVENTS, Act, Classes

TABLE: dict[str, Classes] = {
    "motion": motion.CLASSES,
    "camera": camera.CLASSES,
    "periodic": periodic.CLASSES,
    "order": order.CLASSES,
    "interaction": interaction.CLASSES,
    "limbs": limbs.CLASSES,
    "long_range": long_range.CLASSES,
    "recall": recall.CLASSES,
    "background": background.CLASSES,
}
"""The classes of each family, in the order of :data:`..spec.ALL_FAMILIES`."""

__all__ = ["EVENTS", "TABLE", "Act", "Classes"]

"""Procedural video: clips made on the device, batch by batch, whose class is in their motion."""

from .spec import FAMILIES, GENERATOR, ProceduralSpec, Target
from .stream import ProceduralBatch, ProceduralVideo
from .write import write_procedural

__all__ = [
    "FAMILIES",
    "GENERATOR",
    "ProceduralBatch",
    "ProceduralSpec",
    "ProceduralVideo",
    "Target",
    "write_procedural",
]

"""Procedural video: clips rendered on the device, batch by batch; the class is in the motion."""

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

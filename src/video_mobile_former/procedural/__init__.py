"""Procedural video: clips rendered on the device, batch by batch; the class is in the motion."""

from .spec import ALL_FAMILIES, FAMILIES, GENERATOR, STREAM_FAMILIES, ProceduralSpec, Target
from .stream import ProceduralBatch, ProceduralVideo
from .write import write_procedural

__all__ = [
    "ALL_FAMILIES",
    "FAMILIES",
    "GENERATOR",
    "STREAM_FAMILIES",
    "ProceduralBatch",
    "ProceduralSpec",
    "ProceduralVideo",
    "Target",
    "write_procedural",
]

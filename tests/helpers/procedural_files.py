"""Procedural clips as files: eight classes of motion, one scene in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from video_mobile_former.procedural import ProceduralSpec, write_procedural

CLASSES = (
    "grow",
    "move_down",
    "move_left",
    "move_right",
    "move_up",
    "shrink",
    "slow_down",
    "speed_up",
)
"""In the order of an index."""


def write_clips(
    folder: Path, counts: Mapping[str, int], *, size: int = 40, num_frames: int = 6
) -> Path:
    """Write clips of :data:`CLASSES`.

    Args:
        folder: Where to write; created.
        counts: Clips of each class by split.
        size: Height and width in pixels.
        num_frames: Frames of a clip.

    Returns:
        Path of ``clips.csv``.
    """
    spec = ProceduralSpec(
        families=("motion",), classes=CLASSES, size=size, num_frames=num_frames, motion_blur=0.0
    )
    return write_procedural(folder, spec, counts)

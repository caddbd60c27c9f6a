"""The tables of MoViNet-A0, A1 and A2 base, as the authors' release has them.

Source: arXiv 2103.11511, appendix; tensorflow/models, ``official/projects/movinet``. Exact counts
are tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from .movinet import BottleneckRow


class Kernel(NamedTuple):
    """A depthwise kernel: frames, then height and width."""

    temporal: int
    size: int


K13, K15, K33, K53 = Kernel(1, 3), Kernel(1, 5), Kernel(3, 3), Kernel(5, 3)


class Place(NamedTuple):
    """Where a block stands in the table."""

    stage: int
    """Stage, from 0."""
    layer: int
    """Place in its stage, from 0."""
    strided: bool
    """Whether its stride is 2."""


Stage = tuple[BottleneckRow, ...]


@dataclass(frozen=True)
class MoViNetVariant:
    """One member of the family."""

    stages: tuple[Stage, ...]
    stem_channels: int
    head_channels: int
    crop_size: int
    resize_size: int
    """Short side of a frame before the crop."""

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments of :class:`MoViNet`."""
        return {
            "blocks": [row for stage in self.stages for row in stage],
            "stem_channels": self.stem_channels,
            "head_channels": self.head_channels,
            "num_frames": 50,
            "crop_size": self.crop_size,
            "resize_ratio": self.resize_size / self.crop_size,
        }

    def places(self) -> list[Place]:
        """The place of each block in turn."""
        return [
            Place(i, j, row.stride > 1)
            for i, stage in enumerate(self.stages)
            for j, row in enumerate(stage)
        ]


def stage(channels: int, *layers: tuple[int, Kernel], stride: int = 2) -> Stage:
    """Bottlenecks of one width; the first of them has the stride.

    Args:
        channels: Output channels.
        layers: Hidden channels and kernel of each.
        stride: Spatial stride of the first.
    """
    return tuple(
        BottleneckRow(channels, expand, kernel.temporal, kernel.size, stride if i == 0 else 1)
        for i, (expand, kernel) in enumerate(layers)
    )


# fmt: off
_STAGES_A0 = (
    stage(8, (24, K15)),
    stage(32, (80, K33), (80, K33), (80, K33)),
    stage(56, (184, K53), (112, K33), (184, K33)),
    stage(56, (184, K53), (184, K33), (184, K33), (184, K33), stride=1),
    stage(104, (384, K53), (280, K15), (280, K15), (344, K15)),
)
_STAGES_A1 = (
    stage(16, (40, K15), (40, K33)),
    stage(40, (96, K33), (120, K33), (96, K33), (96, K33)),
    stage(64, (216, K53), (128, K33), (216, K33), (168, K33), (216, K33)),
    stage(64, (216, K53), (216, K33), (216, K33), (128, K33), (128, K15), (216, K33), stride=1),
    stage(136, (456, K53), (360, K15), (360, K15), (360, K15), (456, K15), (456, K33),
           (544, K13)),
)
_STAGES_A2 = (
    stage(16, (40, K15), (40, K33), (64, K33)),
    stage(40, (96, K33), (120, K33), (96, K33), (96, K33), (120, K33)),
    stage(72, (240, K53), (160, K33), (240, K33), (192, K33), (240, K33)),
    stage(72, (240, K53), (240, K33), (240, K33), (240, K33), (144, K15), (240, K33), stride=1),
    stage(144, (480, K53), (384, K15), (384, K15), (480, K15), (480, K15), (480, K33),
           (576, K13)),
)
# fmt: on


MOVINETS: dict[str, MoViNetVariant] = {
    #                                    stem head size short side
    "movinet_a0": MoViNetVariant(_STAGES_A0, 8, 480, 172, 192),
    "movinet_a1": MoViNetVariant(_STAGES_A1, 16, 600, 172, 192),
    "movinet_a2": MoViNetVariant(_STAGES_A2, 16, 640, 224, 256),
}

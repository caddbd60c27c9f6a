"""The family: seven variants as visible tables, and the 2-D parent each of them extends.

A name is a budget of multiply-accumulates for one view at its native clip, never exceeded. Rows
follow the 2-D parent's tables (Mobile-Former, arXiv 2108.05895, appendix) as its public release
has them; exact counts are tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from .video_mobile_former import BlockRow


def lite(expand: int, channels: int, stride: int = 1) -> BlockRow:
    """``L{expand}-{channels}``, without tokens."""
    return BlockRow("lite", expand, channels, stride)


def mobile(expand: int, channels: int) -> BlockRow:
    """``M{expand}-{channels}``, stride 1."""
    return BlockRow("mobile", expand, channels)


def down(expand: int, channels: int, expand2: int = 4) -> BlockRow:
    """``D{expand}-{channels}-e{expand2}``, stride 2."""
    return BlockRow("down", expand, channels, 2, expand2)


@dataclass(frozen=True)
class Variant:
    """One row of the family's table."""

    parent: str
    """The 2-D Mobile-Former it extends."""
    num_frames: int
    stem_channels: int
    num_tokens: int
    token_dim: int
    groups: int
    head_dim: int
    blocks: tuple[BlockRow, ...]

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments of ``VideoMobileFormer``."""
        return {
            "blocks": self.blocks,
            "stem_channels": self.stem_channels,
            "num_tokens": self.num_tokens,
            "token_dim": self.token_dim,
            "groups": self.groups,
            "head_dim": self.head_dim,
            "num_frames": self.num_frames,
        }


# fmt: off
_BLOCKS_26M = (
    lite(3, 12, stride=2), mobile(3, 12),
    down(6, 24), mobile(3, 24),
    down(6, 48), mobile(4, 48), mobile(6, 64),
    down(6, 96), mobile(6, 96),
)
_BLOCKS_96M = (
    lite(2, 12),
    down(6, 16),
    down(6, 32), mobile(3, 32),
    down(6, 64), mobile(4, 64), mobile(6, 88),
    down(6, 128), mobile(6, 128),
)
_BLOCKS_151M = (
    lite(2, 12),
    down(6, 16), mobile(3, 16),
    down(6, 32), mobile(3, 32),
    down(6, 64), mobile(4, 64), mobile(6, 88), mobile(6, 88),
    down(6, 128), mobile(6, 128), mobile(6, 128),
)
_BLOCKS_214M = (
    lite(2, 12),
    down(6, 20), mobile(3, 20),
    down(6, 40), mobile(4, 40),
    down(6, 80), mobile(4, 80), mobile(6, 112), mobile(6, 112),
    down(6, 160), mobile(6, 160), mobile(6, 160),
)
_BLOCKS_294M = (
    lite(2, 16),
    down(6, 24), mobile(4, 24),
    down(6, 48), mobile(4, 48),
    down(6, 96), mobile(4, 96), mobile(6, 128), mobile(6, 128),
    down(6, 192), mobile(6, 192), mobile(6, 192),
)
_BLOCKS_508M = (
    lite(2, 24),
    down(6, 40), mobile(3, 40),
    down(6, 72), mobile(3, 72),
    down(6, 128), mobile(4, 128), mobile(6, 176), mobile(6, 176),
    down(6, 240), mobile(6, 240), mobile(6, 240),
)

VariantName = Literal[
    "vmf_500m", "vmf_1g", "vmf_2g", "vmf_3g", "vmf_4g", "vmf_6g", "vmf_9g"
]
"""The names below, for type checkers: what they build is a ``VideoMobileFormer``."""

VARIANTS: dict[str, Variant] = {
    #                 parent  frames stem  M    D  groups  F
    "vmf_500m": Variant("26m",  16,  8,  3, 128, 4, 1024, _BLOCKS_26M),
    "vmf_1g":   Variant("52m",  16,  8,  3, 128, 1, 1024, _BLOCKS_26M),
    "vmf_2g":   Variant("96m",  16, 12,  4, 128, 1, 1280, _BLOCKS_96M),
    "vmf_3g":   Variant("151m", 16, 12,  6, 192, 1, 1280, _BLOCKS_151M),
    "vmf_4g":   Variant("214m", 16, 12,  6, 192, 1, 1600, _BLOCKS_214M),
    "vmf_6g":   Variant("294m", 20, 16,  6, 192, 1, 1920, _BLOCKS_294M),
    "vmf_9g":   Variant("508m", 16, 24,  6, 192, 1, 1920, _BLOCKS_508M),
}
# fmt: on

StreamName = Literal[
    "vmf_500m_stream",
    "vmf_1g_stream",
    "vmf_2g_stream",
    "vmf_3g_stream",
    "vmf_4g_stream",
    "vmf_6g_stream",
]
"""The names below, for type checkers: what they build is a ``StreamingVideoMobileFormer``."""

STREAMS: dict[str, str] = {name: name.removesuffix("_stream") for name in get_args(StreamName)}
"""Streaming models, and the variant that each is the step-by-step form of."""

"""Which networks are compared, and on clips of which size: MACs are matched at these clips.

On two cores native clips are out of reach, so every budget is scaled down: the Video Mobile-Former
of a budget takes 16 frames of 48², its native number, or 8 frames of 64² or 112², and every other
network takes the frames and size at which it costs as much, as its paper would scale it. Sizes at
which a network wastes much on padding (just above a multiple of 32) are avoided. More frames are an
advantage of their own where events are short, so at 48² the light CNN also takes the very clip of
the Video Mobile-Former, with as many more channels as the tokens would cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from video_mobile_former import create_model
from video_mobile_former.profiling.cost import count_macs, count_parameters


@dataclass(frozen=True)
class Entry:
    """One row of a comparison: a network and the clip it sees."""

    row: str
    """Name in tables."""
    model: str
    """Name for ``create_model``."""
    num_frames: int
    size: int
    """Height and width in pixels."""
    options: dict[str, Any] = field(default_factory=dict)
    """Constructor arguments."""

    def build(self, num_classes: int) -> torch.nn.Module:
        """The network with weights from torch's random state."""
        return create_model(
            self.model,
            num_classes,
            num_frames=self.num_frames,
            crop_size=self.size,
            **self.options,
        )

    def cost(self, num_classes: int) -> dict[str, int]:
        """Parameters and MACs of one view of this clip."""
        with torch.device("meta"):
            model = self.build(num_classes)
        shape = (1, 3, self.num_frames, self.size, self.size)
        return {"parameters": count_parameters(model), "macs_per_view": count_macs(model, shape)}


def matched(budget: str, rows: dict[str, tuple[str, int, int]]) -> tuple[Entry, ...]:
    return tuple(Entry(f"{row} ({budget})", *clip) for row, clip in rows.items())


_WIDER = (12, 12, 26, 26, 52, 52, 68, 102, 102)
"""Channels at which ``vmf_1g_cnn`` costs on the same clip what ``vmf_1g`` costs with its tokens."""


def wider(model: str, channels: Sequence[int]) -> dict[str, Any]:
    """The argument that gives the blocks of a model other output channels."""
    with torch.device("meta"):
        rows = create_model(model, 2).architecture["blocks"]
    return {"blocks": [[*r[:2], c, *r[3:]] for r, c in zip(rows, channels, strict=True)]}


BUDGETS: dict[int, dict[str, tuple[Entry, ...]]] = {
    48: {
        "0.5g": matched(
            "0.5g",
            {
                "vmf": ("vmf_500m", 16, 48),
                "light CNN": ("vmf_500m_cnn", 20, 48),
                "X3D": ("x3d_xs", 4, 32),
                "MoViNet": ("movinet_a0", 6, 48),
            },
        ),
        "1g": (
            *matched(
                "1g",
                {
                    "vmf": ("vmf_1g", 16, 48),
                    "light CNN": ("vmf_1g_cnn", 18, 48),
                    "X3D": ("x3d_xs", 8, 32),
                    "MoViNet": ("movinet_a0", 11, 48),
                },
            ),
            Entry("wider light CNN (1g)", "vmf_1g_cnn", 16, 48, wider("vmf_1g_cnn", _WIDER)),
        ),
        "2g": matched(
            "2g",
            {
                "vmf": ("vmf_2g", 16, 48),
                "light CNN": ("vmf_2g_cnn", 18, 48),
                "X3D": ("x3d_xs", 14, 32),
                "MoViNet": ("movinet_a0", 20, 48),
            },
        ),
    },
    64: {
        "0.5g": matched(
            "0.5g",
            {
                "vmf": ("vmf_500m", 8, 64),
                "light CNN": ("vmf_500m_cnn", 10, 64),
                "X3D": ("x3d_xs", 4, 32),
                "MoViNet": ("movinet_a0", 5, 40),
            },
        ),
        "1g": matched(
            "1g",
            {
                "vmf": ("vmf_1g", 8, 64),
                "light CNN": ("vmf_1g_cnn", 9, 64),
                "X3D": ("x3d_xs", 6, 32),
                "MoViNet": ("movinet_a0", 8, 48),
            },
        ),
        "2g": matched(
            "2g",
            {
                "vmf": ("vmf_2g", 8, 64),
                "light CNN": ("vmf_2g_cnn", 9, 64),
                "X3D": ("x3d_xs", 4, 48),
                "MoViNet": ("movinet_a0", 10, 64),
            },
        ),
    },
    112: {
        "0.5g": matched(
            "0.5g",
            {
                "vmf": ("vmf_500m", 8, 112),
                "light CNN": ("vmf_500m_cnn", 9, 112),
                "X3D": ("x3d_xs", 4, 48),
                "MoViNet": ("movinet_a0", 9, 64),
            },
        ),
        "1g": matched(
            "1g",
            {
                "vmf": ("vmf_1g", 8, 112),
                "light CNN": ("vmf_1g_cnn", 9, 112),
                "X3D": ("x3d_xs", 5, 64),
                "MoViNet": ("movinet_a0", 8, 96),
            },
        ),
        "2g": matched(
            "2g",
            {
                "vmf": ("vmf_2g", 8, 112),
                "light CNN": ("vmf_2g_cnn", 9, 112),
                "X3D": ("x3d_xs", 8, 64),
                "MoViNet": ("movinet_a0", 10, 112),
            },
        ),
    },
}
"""By the size that the family sees, then by the budget of the variant at its native clip."""

ABLATED = "vmf_1g"

_CHANGES: dict[str, dict[str, Any]] = {
    "as it is (3 tokens)": {},
    "0 tokens": {"num_tokens": 0},
    "1 token": {"num_tokens": 1},
    "6 tokens": {"num_tokens": 6},
    "12 tokens": {"num_tokens": 12},
    "bridges to tokens only": {"bridges": "to_tokens"},
    "bridges to features only": {"bridges": "to_features"},
    "ReLU6": {"activation": "relu6"},
    "to tokens only, ReLU6": {"bridges": "to_tokens", "activation": "relu6"},
    "tokens per frame": {"tokens_per": "frame"},
    "2plus1d": {"temporal_conv": "2plus1d"},
    "2-D only": {"temporal_kernel": 1, "stem_temporal_kernel": 1},
    "temporal kernel 5": {"temporal_kernel": 5},
}


def ablations(size: int) -> tuple[Entry, ...]:
    """One change at a time to the ablated variant, all on the clip that it is compared on."""
    frames = BUDGETS[size]["1g"][0].num_frames
    return tuple(Entry(row, ABLATED, frames, size, options) for row, options in _CHANGES.items())

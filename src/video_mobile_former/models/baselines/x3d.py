"""X3D: a small 2-D network expanded step by step in time, space, width and depth.

Paper: *X3D: Expanding Architectures for Efficient Video Recognition* (arXiv 2004.04730). XS, S and
M are one network on clips of other lengths and sizes.

What is whose:

- From the paper and the authors' release (SlowFast): stem of a spatial and a depthwise temporal
  convolution, bottlenecks with a 3×3×3 depthwise convolution and swish, squeeze-and-excitation in
  every other one, no temporal stride, a head that widens after pooling, the initial weights.
- The release comes twice, and they differ in one place: where the first stage halves the picture,
  the shortcut has a norm in SlowFast and none in pytorchvideo. Here it has none, which gives the
  3,794,274 parameters. Weights of both load, see ``x3d_release.py``.
- Decided here: clips of other than the native size are pooled over all places. The release slides
  its pooling window over larger pictures and averages the probabilities.

Axes: B clips, T frames, C channels, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ...clip_spec import ClipSpec
from ...errors import UserError
from ...layers.conv import BatchNorm, ConvNorm
from ...layers.forms import drop_path
from ..video_model import Form, check_arguments, check_counts
from .parts import SqueezeExcitation, StackedModel, mean_over_clip, multiple_of_eight

STEM_TEMPORAL_KERNEL, TEMPORAL_KERNEL = 5, 3


class X3D(StackedModel):
    """X3D classifier.

    Args:
        stages: Channels and number of blocks of each stage; the first block halves height and
            width.
        stem_channels: Output channels of the stem.
        expansion: Hidden channels of a block as a multiple of its output channels.
        squeeze_ratio: Hidden width of squeeze-and-excitation as a part of the hidden channels,
            brought to a multiple of 8.
        head_dim: Width of the last hidden layer.
        num_classes: Number of logits.
        num_frames: T of the native clip. Any T runs.
        frame_stride: Step between the frames of the native clip, in frames of a video of 30 frames
            per second.
        crop_size: Height and width in pixels of the native clip. Any H, W of at least 32 run.
        form: Graph form, see :class:`VideoMobileFormer`.
        drop_rate: Dropout before the last linear layer, in [0, 1); the authors trained with 0.5.
        drop_path_rate: Stochastic depth of the last block, in [0, 1), rising linearly from 0.

    Raises:
        UserError: If an argument is out of range; the message names it.
    """

    method = "Expanded 3-D bottlenecks: X3D (arXiv 2004.04730)."

    def __init__(
        self,
        *,
        stages: Sequence[Sequence[int]] = ((24, 3), (48, 5), (96, 11), (192, 7)),
        stem_channels: int = 24,
        expansion: float = 2.25,
        squeeze_ratio: float = 1 / 16,
        head_dim: int = 2048,
        num_classes: int = 400,
        num_frames: int = 16,
        frame_stride: int = 5,
        crop_size: int = 224,
        form: Form = "auto",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        architecture = {name: value for name, value in locals().items() if name != "self"}
        nn.Module.__init__(self)
        architecture["stages"] = [list(stage) for stage in stages]
        _check_arguments(architecture)
        clip = ClipSpec(
            num_frames=num_frames,
            sampling="dense",
            stride=frame_stride,
            stride_fps=30.0,
            resize_size=crop_size * 8 // 7,
            crop_size=crop_size,
            mean=(0.45, 0.45, 0.45),
            std=(0.225, 0.225, 0.225),
        )
        self._describe(architecture, clip, form=form, drop_rate=drop_rate)

        self.stem = ConvNorm(
            3,
            stem_channels,
            3,
            stride=2,
            temporal_kernel=STEM_TEMPORAL_KERNEL,
            temporal_conv="2plus1d",
        )
        self.blocks = nn.ModuleList()
        channels, hidden = stem_channels, stem_channels
        count = sum(blocks for _, blocks in stages)
        for out_channels, blocks in stages:
            hidden = int(expansion * out_channels)
            for i in range(blocks):
                squeezed = multiple_of_eight(squeeze_ratio * hidden) if i % 2 == 0 else None
                rate = drop_path_rate * len(self.blocks) / max(count - 1, 1)
                self.blocks.append(
                    Bottleneck(
                        channels,
                        hidden,
                        out_channels,
                        stride=2 if i == 0 else 1,
                        squeezed=squeezed,
                        drop_path_rate=rate,
                    )
                )
                channels = out_channels
        self.head_conv = ConvNorm(channels, hidden)
        self.head_linear = nn.Linear(hidden, head_dim, bias=False)
        self.classifier = nn.Linear(head_dim, num_classes)
        self._reset_parameters()

    def _activate(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def _hidden(self, x: Tensor, num_frames: int) -> Tensor:
        pooled = mean_over_clip(F.relu(self.head_conv(x, num_frames)), num_frames)
        return F.relu(self.head_linear(pooled))

    def _rows(self) -> Iterator[Bottleneck]:
        for block in self.blocks:
            assert isinstance(block, Bottleneck)
            yield block

    def _reset_parameters(self) -> None:
        """As the authors do: He for what is a convolution there, residuals that start at 0."""
        for name, parameter in self.named_parameters():
            if name.endswith(("conv.weight", "temporal.weight")) or parameter.dim() == 2:
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")
            elif name.endswith(("reduce.bias", "expand.bias")):
                nn.init.zeros_(parameter)
        for block in self._rows():
            norm = block.project.norm
            assert isinstance(norm, BatchNorm)
            nn.init.zeros_(norm.weight)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)


class Bottleneck(nn.Module):
    """Pointwise expand, depthwise in space and time, pointwise project, added to the shortcut.

    Where the shape changes the shortcut is a pointwise convolution, with a norm where the width
    changes.

    Args:
        in_channels: Input channels.
        hidden: Hidden channels.
        out_channels: Output channels.
        stride: Spatial stride, 1 or 2.
        squeezed: Hidden width of squeeze-and-excitation, None where there is none.
        drop_path_rate: Stochastic depth on the residual.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        out_channels: int,
        *,
        stride: int,
        squeezed: int | None,
        drop_path_rate: float = 0.0,
    ):
        super().__init__()
        self.drop_path_rate = drop_path_rate
        self.expand = ConvNorm(in_channels, hidden)
        self.depthwise = ConvNorm(
            hidden, hidden, 3, stride=stride, groups=hidden, temporal_kernel=TEMPORAL_KERNEL
        )
        self.squeeze = None if squeezed is None else SqueezeExcitation(hidden, squeezed)
        self.project = ConvNorm(hidden, out_channels)
        self.shortcut: ConvNorm | None = None
        if stride > 1 or in_channels != out_channels:
            self.shortcut = ConvNorm(in_channels, out_channels, stride=stride)
            if in_channels == out_channels:
                self.shortcut.norm = nn.Identity()

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Map (…, C, …, H, W) to (…, C_out, …, ⌈H/stride⌉, ⌈W/stride⌉)."""
        y = F.relu(self.expand(x, num_frames))
        y = self.depthwise(y, num_frames)
        if self.squeeze is not None:
            y = self.squeeze(y, num_frames)
        y = self.project(F.silu(y), num_frames)
        if self.shortcut is not None:
            x = self.shortcut(x, num_frames)
        return F.relu(x + drop_path(y, self.drop_path_rate, self.training, num_frames))


def _check_arguments(values: dict[str, Any]) -> None:
    """Name the first argument that is out of range."""
    check_counts(values, "stem_channels", "head_dim", "frame_stride")
    for i, stage in enumerate(values["stages"]):
        if len(stage) != 2 or not all(isinstance(v, int) and v > 0 for v in stage):
            raise UserError(f"stages[{i}] must be channels and blocks, both above 0, not {stage}")
    if not values["expansion"] >= 1:
        raise UserError(f"expansion must be at least 1, not {values['expansion']!r}")
    if not 0 < values["squeeze_ratio"] <= 1:
        raise UserError(f"squeeze_ratio must lie in (0, 1], not {values['squeeze_ratio']!r}")
    check_arguments(values)


X3DS: dict[str, dict[str, Any]] = {
    "x3d_xs": {"num_frames": 4, "frame_stride": 12, "crop_size": 160},
    "x3d_s": {"num_frames": 13, "frame_stride": 6, "crop_size": 160},
    "x3d_m": {"num_frames": 16, "frame_stride": 5, "crop_size": 224},
}
"""The members: one network, its native clips."""

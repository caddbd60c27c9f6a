"""TSM-MobileNetV2: a network of single frames whose channels move in time.

Papers: *TSM: Temporal Shift Module for Efficient Video Understanding* (arXiv 1811.08383);
*MobileNetV2: Inverted Residuals and Linear Bottlenecks* (arXiv 1801.04381).

What is whose:

- From the papers and the authors' release (mit-han-lab/temporal-shift-module): in every inverted
  residual that has an identity, an eighth of the channels shows the next frame and an eighth the
  frame before to the first convolution, zeros beyond both ends; the identity is not shifted. Logits
  of the frames are averaged.
- Decided here: convolutions start as they do in all of this package, the classifier as in the
  release. The release starts from ImageNet.

Axes: B clips, T frames, C channels, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...clip_spec import ClipSpec
from ...errors import UserError
from ...layers.conv import ConvNorm
from ...layers.forms import drop_path
from ..video_model import Form, check_arguments, check_choice, check_counts
from .parts import StackedModel, mean_over_clip


class StageRow(NamedTuple):
    """One row of MobileNetV2's table; plain data so that it can be stored as JSON."""

    expand: int
    """Hidden channels as a multiple of the input's; 1 leaves the first convolution out."""
    channels: int
    """Output channels."""
    blocks: int
    """Number of blocks."""
    stride: int
    """Spatial stride of the first block."""


MOBILENET_V2 = (
    StageRow(1, 16, 1, 1),
    StageRow(6, 24, 2, 2),
    StageRow(6, 32, 3, 2),
    StageRow(6, 64, 4, 2),
    StageRow(6, 96, 3, 1),
    StageRow(6, 160, 3, 2),
    StageRow(6, 320, 1, 1),
)


class TSMMobileNetV2(StackedModel):
    """TSM-MobileNetV2 classifier.

    Args:
        stages: Rows of the table, see :class:`StageRow`; sequences of four values will do.
        stem_channels: Output channels of the stem.
        head_channels: Channels of the convolution before the pooling.
        shift_divisor: One part in so many of the channels moves each way.
        num_classes: Number of logits.
        num_frames: T of the native clip. Any T runs.
        sampling: ``"uniform"``, one frame of each of T parts of a video, or ``"dense"``, frames in
            a row that are 64/T apart at 30 a second, as the release has it.
        crop_size: Height and width in pixels of the native clip. Any H, W of at least 32 run.
        form: Graph form, see :class:`VideoMobileFormer`.
        drop_rate: Dropout before the last linear layer, in [0, 1); the authors trained with 0.5.
        drop_path_rate: Stochastic depth of the last block, in [0, 1), rising linearly from 0.

    Raises:
        UserError: If an argument is out of range; the message names it.
    """

    classifier_std = 0.001
    method = "2-D bottlenecks with channels that move in time: TSM-MobileNetV2 (arXiv 1811.08383)."

    def __init__(
        self,
        *,
        stages: Sequence[Sequence[int]] = MOBILENET_V2,
        stem_channels: int = 32,
        head_channels: int = 1280,
        shift_divisor: int = 8,
        num_classes: int = 400,
        num_frames: int = 8,
        sampling: str = "uniform",
        crop_size: int = 224,
        form: Form = "auto",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        architecture = {name: value for name, value in locals().items() if name != "self"}
        nn.Module.__init__(self)
        rows = tuple(StageRow(*row) for row in stages)
        architecture["stages"] = [list(row) for row in rows]
        _check_arguments(architecture)
        clip = ClipSpec(
            num_frames=num_frames,
            sampling="dense" if sampling == "dense" else "uniform",
            stride=max(64 // num_frames, 1),
            stride_fps=30.0,
            resize_size=crop_size * 8 // 7,
            crop_size=crop_size,
        )
        self._describe(architecture, clip, form=form, drop_rate=drop_rate)

        self.stem = ConvNorm(3, stem_channels, 3, stride=2)
        self.blocks = nn.ModuleList()
        channels, count = stem_channels, sum(row.blocks for row in rows)
        for row in rows:
            for i in range(row.blocks):
                self.blocks.append(
                    ShiftBlock(
                        channels,
                        row.expand,
                        row.channels,
                        stride=row.stride if i == 0 else 1,
                        shift_divisor=shift_divisor,
                        drop_path_rate=drop_path_rate * len(self.blocks) / max(count - 1, 1),
                    )
                )
                channels = row.channels
        self.head_conv = ConvNorm(channels, head_channels)
        self.classifier = nn.Linear(head_channels, num_classes)
        nn.init.normal_(self.classifier.weight, std=self.classifier_std)
        nn.init.zeros_(self.classifier.bias)

    def _activate(self, x: Tensor) -> Tensor:
        return F.relu6(x)

    def _hidden(self, x: Tensor, num_frames: int) -> Tensor:
        # The classifier is linear: the mean of the frames' logits is the logits of their mean.
        return mean_over_clip(F.relu6(self.head_conv(x, num_frames)), num_frames)


class ShiftBlock(nn.Module):
    """Inverted residual; where it has an identity, its first convolution sees shifted channels.

    Args:
        in_channels: Input channels.
        expand: Hidden channels as a multiple; 1 leaves the first convolution out.
        out_channels: Output channels.
        stride: Spatial stride, 1 or 2.
        shift_divisor: One part in so many of the channels moves each way.
        drop_path_rate: Stochastic depth on the residual.
    """

    def __init__(
        self,
        in_channels: int,
        expand: int,
        out_channels: int,
        *,
        stride: int,
        shift_divisor: int,
        drop_path_rate: float = 0.0,
    ):
        super().__init__()
        self.drop_path_rate = drop_path_rate
        self.has_identity = stride == 1 and in_channels == out_channels
        hidden = in_channels * expand
        # As in the release, a block without the first convolution is not shifted.
        self.shifted = in_channels // shift_divisor if self.has_identity and expand > 1 else 0
        self.expand = ConvNorm(in_channels, hidden) if expand > 1 else None
        self.depthwise = ConvNorm(hidden, hidden, 3, stride=stride, groups=hidden)
        self.project = ConvNorm(hidden, out_channels)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Map (…, C, …, H, W) to (…, C_out, …, ⌈H/stride⌉, ⌈W/stride⌉)."""
        y = shift_in_time(x, self.shifted, num_frames) if self.shifted else x
        if self.expand is not None:
            y = F.relu6(self.expand(y, num_frames))
        y = F.relu6(self.depthwise(y, num_frames))
        y = self.project(y, num_frames)
        if not self.has_identity:
            return y
        return x + drop_path(y, self.drop_path_rate, self.training, num_frames)


def shift_in_time(x: Tensor, count: int, num_frames: int) -> Tensor:
    """Show each frame the first channels of the next one and the second ones of the one before.

    Args:
        x: (B, C, T, H, W) or (B·T, C, H, W).
        count: Channels that move each way.
        num_frames: T.

    Returns:
        As ``x``; zeros beyond both ends of a clip.
    """
    if x.dim() == 5:
        after, before = x[:, :count], x[:, count : 2 * count]
        after = F.pad(after[:, :, 1:], (0, 0, 0, 0, 0, 1))
        before = F.pad(before[:, :, :-1], (0, 0, 0, 0, 1, 0))
        return torch.cat([after, before, x[:, 2 * count :]], dim=1)
    n, _, h, w = x.shape
    # Pixels are folded so that no tensor has more than four axes.
    rows = x.reshape(n // num_frames, num_frames, -1, h * w)
    after, before = rows[:, 1:, :count], rows[:, :-1, count : 2 * count]
    moved = [
        F.pad(after, (0, 0, 0, 0, 0, 1)).reshape(n, count, h, w),
        F.pad(before, (0, 0, 0, 0, 1, 0)).reshape(n, count, h, w),
    ]
    return torch.cat([*moved, x[:, 2 * count :]], dim=1)


def _check_arguments(values: dict[str, Any]) -> None:
    """Name the first argument that is out of range."""
    check_counts(values, "stem_channels", "head_channels")
    if not isinstance(values["shift_divisor"], int) or values["shift_divisor"] < 2:
        raise UserError(f"shift_divisor must be at least 2, not {values['shift_divisor']!r}")
    for i, row in enumerate(values["stages"]):
        for name, value in zip(StageRow._fields, row, strict=True):
            if not isinstance(value, int) or value < 1 or (name == "stride" and value > 2):
                raise UserError(f"stages[{i}].{name} is out of range: {value!r}")
    check_choice(values, "sampling", ("uniform", "dense"))
    check_arguments(values)


TSMS: dict[str, dict[str, Any]] = {"tsm_mobilenetv2": {}}
"""The member that the release has."""

"""MoViNet base: inverted bottlenecks in space and time, found by architecture search.

Paper: *MoViNets: Mobile Video Networks for Efficient Video Recognition* (arXiv 2103.11511). These
are its base models, which see a whole clip at once; the streaming ones with causal convolutions are
other networks.

What is whose:

- From the paper: stem, bottlenecks with squeeze-and-excitation, head, swish, ReZero (arXiv
  2003.04887) on every residual.
- From the authors' release, where it departs from the paper's table: block 2 of A0 has 24 hidden
  channels instead of 40; strided blocks and those that change their width pool and project the
  shortcut; squeezed widths are multiples of 8; a strided kernel is padded as TensorFlow's SAME
  does, the odd pixel at the bottom and right, and averages leave the padding out. Weights of the
  release therefore give its logits, see ``movinet_release.py``.
- Decided here: running averages of BatchNorm move by 0.1 a step, torch's default and that of all
  models here (the release has 0.01, for very long runs); its epsilon is the release's 1e-3.

Axes: B clips, T frames, C channels, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...clip_spec import ClipSpec
from ...errors import UserError
from ...layers.conv import ConvNorm
from ...layers.forms import drop_path
from ..video_model import Form, check_arguments, check_counts
from .parts import SqueezeExcitation, StackedModel, mean_over_clip, multiple_of_eight

EPS = 1e-3


class BottleneckRow(NamedTuple):
    """One bottleneck of the table; rows are plain data so that they can be stored as JSON."""

    channels: int
    """Output channels."""
    expand: int
    """Hidden channels."""
    temporal_kernel: int
    """Length of the depthwise kernel in time, odd."""
    kernel_size: int
    """Its height and width, odd."""
    stride: int = 1
    """Spatial stride."""


class MoViNet(StackedModel):
    """MoViNet base classifier.

    Args:
        blocks: Rows of the table, see :class:`BottleneckRow`; sequences of five values will do.
        stem_channels: Output channels of the stem.
        head_channels: Channels of the convolution before the pooling.
        hidden_dim: Width of the last hidden layer.
        num_classes: Number of logits.
        num_frames: T of the native clip. Any T runs.
        crop_size: Height and width in pixels of the native clip. Any H, W of at least 32 run.
        resize_ratio: Short side of the frame before the test-time crop, as a multiple of
            ``crop_size``, at least 1.
        form: Graph form, see :class:`VideoMobileFormer`.
        drop_rate: Dropout before the last linear layer, in [0, 1).
        drop_path_rate: Stochastic depth of the last block, in [0, 1), rising linearly from the
            first.

    Raises:
        UserError: If an argument is out of range; the message names it.
    """

    method = "Searched 3-D bottlenecks: MoViNet base (arXiv 2103.11511)."

    def __init__(
        self,
        *,
        blocks: Sequence[Sequence[int]],
        stem_channels: int,
        head_channels: int,
        hidden_dim: int = 2048,
        num_classes: int = 400,
        num_frames: int = 50,
        crop_size: int = 172,
        resize_ratio: float = 256 / 224,
        form: Form = "auto",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        architecture = {name: value for name, value in locals().items() if name != "self"}
        nn.Module.__init__(self)
        rows = tuple(BottleneckRow(*row) for row in blocks)
        architecture["blocks"] = [list(row) for row in rows]
        _check_arguments(architecture)
        clip = ClipSpec(
            num_frames=num_frames,
            sampling="dense",
            stride=6,  # 5 frames a second
            stride_fps=30.0,
            resize_size=round(crop_size * resize_ratio),
            crop_size=crop_size,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
        )
        self._describe(architecture, clip, form=form, drop_rate=drop_rate)

        self.stem = ConvNorm(3, stem_channels, 3, stride=2, padding_kind="same", eps=EPS)
        self.blocks = nn.ModuleList()
        channels = stem_channels
        for i, row in enumerate(rows):
            rate = drop_path_rate * (i + 1) / len(rows)
            self.blocks.append(Bottleneck(channels, row, drop_path_rate=rate))
            channels = row.channels
        self.head_conv = ConvNorm(channels, head_channels, eps=EPS)
        self.head_linear = nn.Linear(head_channels, hidden_dim)
        self.classifier = nn.Linear(hidden_dim, num_classes)
        self._reset_parameters()

    def _activate(self, x: Tensor) -> Tensor:
        return F.silu(x)

    def _hidden(self, x: Tensor, num_frames: int) -> Tensor:
        pooled = mean_over_clip(F.silu(self.head_conv(x, num_frames)), num_frames)
        return F.silu(self.head_linear(pooled))

    def _rows(self) -> Iterator[Bottleneck]:
        for block in self.blocks:
            assert isinstance(block, Bottleneck)
            yield block

    @torch.no_grad()
    def _fold_rest(self) -> None:
        for block in self._rows():
            block.fold_scale()

    def _reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.classifier.weight, std=0.01)


class Bottleneck(nn.Module):
    """Pointwise expand, depthwise in space and time, squeeze-and-excitation, pointwise project.

    ``y = shortcut(x) + scale · residual(x)`` with a trained scale that starts at 0 (ReZero, arXiv
    2003.04887). The shortcut is the identity, or an average over 3×3 pixels where the stride is 2
    and a pointwise projection where the shape changes.

    Args:
        in_channels: Input channels.
        row: The row of the table.
        drop_path_rate: Stochastic depth on the residual.
    """

    def __init__(self, in_channels: int, row: BottleneckRow, *, drop_path_rate: float = 0.0):
        super().__init__()
        self.stride, self.drop_path_rate = row.stride, drop_path_rate
        self.expand = ConvNorm(in_channels, row.expand, eps=EPS)
        self.depthwise = ConvNorm(
            row.expand,
            row.expand,
            row.kernel_size,
            stride=row.stride,
            groups=row.expand,
            temporal_kernel=row.temporal_kernel,
            padding_kind="same",
            eps=EPS,
        )
        self.squeeze = SqueezeExcitation(row.expand, multiple_of_eight(row.expand / 4), F.silu)
        self.project = ConvNorm(row.expand, row.channels, eps=EPS)
        self.scale: nn.Parameter | None = nn.Parameter(torch.zeros(()))
        self.shortcut: ConvNorm | None = None
        if row.stride > 1 or in_channels != row.channels:
            self.shortcut = ConvNorm(in_channels, row.channels, eps=EPS)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Map (…, C, …, H, W) to (…, C_out, …, ⌈H/stride⌉, ⌈W/stride⌉)."""
        y = F.silu(self.expand(x, num_frames))
        y = F.silu(self.depthwise(y, num_frames))
        y = self.project(self.squeeze(y, num_frames), num_frames)
        if self.scale is not None:
            y = y * self.scale
        if self.shortcut is not None:
            x = halve_by_average(x) if self.stride > 1 else x
            x = self.shortcut(x, num_frames)
        return x + drop_path(y, self.drop_path_rate, self.training, num_frames)

    @torch.no_grad()
    def fold_scale(self) -> None:
        """Multiply the scale into a projection whose norm is folded already."""
        last = self.project.conv
        if self.scale is None or last.bias is None:
            return
        for parameter in (last.weight, last.bias):
            parameter.copy_(parameter.double() * self.scale.double())
        self.scale = None


def halve_by_average(x: Tensor) -> Tensor:
    """Average over 3×3 pixels with stride 2, not counting what lies beyond the picture.

    Windows lie as those of a ``same`` convolution: from the first pixel on where the size is even,
    one earlier where it is odd.
    """
    pads = [size % 2 for size in x.shape[-2:]]
    if x.dim() == 5:
        return F.avg_pool3d(
            x, (1, 3, 3), (1, 2, 2), (0, *pads), ceil_mode=True, count_include_pad=False
        )
    return F.avg_pool2d(x, 3, 2, pads, ceil_mode=True, count_include_pad=False)


def _check_arguments(values: dict[str, Any]) -> None:
    """Name the first argument that is out of range."""
    check_counts(values, "stem_channels", "head_channels", "hidden_dim")
    for i, row in enumerate(values["blocks"]):
        for name, value in zip(BottleneckRow._fields, row, strict=True):
            odd = not name.endswith(("kernel", "kernel_size")) or value % 2 == 1
            if not isinstance(value, int) or value < 1 or not odd:
                raise UserError(f"blocks[{i}].{name} is out of range: {value!r}")
        if row[-1] > 2:
            raise UserError(f"blocks[{i}].stride must be 1 or 2, not {row[-1]!r}")
    if not values["resize_ratio"] >= 1:
        raise UserError(f"resize_ratio must be at least 1, not {values['resize_ratio']!r}")
    check_arguments(values)

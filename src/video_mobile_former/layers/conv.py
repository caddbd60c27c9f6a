"""Convolutions whose parameters have one shape and whose graph has two forms.

The rank of the input decides which form runs:

- ``volume``: x is (B, C, T, H, W) and convolutions are ``conv3d``;
- ``frames``: x is (B·T, C, H, W), time folded into the batch, nothing above rank 4. A temporal
  kernel becomes one 2-D convolution per time step of the kernel and a sum of shifted results,
  because mobile runtimes (ExecuTorch/XNNPACK, LiteRT) have no depthwise ``conv3d``.

Temporal kernels look as far back as ahead, with zeros beyond both ends of the clip. Given the
:class:`~.past.Past` of a stream they look back only: the last tap reads the newest frame, and what
stood before the first frame comes from there.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .forms import (
    frames_to_volume,
    is_channels_last,
    may_overwrite,
    repeat_channels,
    sum_shifted,
    volume_to_frames,
)
from .padding import PaddingKind, pad_same
from .past import Past

TemporalConvKind = Literal["3d", "2plus1d"]


class BatchNorm(_BatchNorm):
    """Batch normalisation over all but the channel axis, for rank 4 and 5 alike."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (4, 5):
            raise ValueError(f"expected a tensor of rank 4 or 5, got shape {tuple(input.shape)}")


class SpatialConv(nn.Module):
    """``1×k×k`` convolution without bias (a bias appears when BatchNorm is folded in).

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Height and width k of the kernel, odd.
        stride: Spatial stride.
        groups: Groups; ``in_channels`` groups make it depthwise.
        padding_kind: Where the zeros around a picture go.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        groups: int,
        padding_kind: PaddingKind = "centred",
    ):
        super().__init__()
        self.stride, self.groups, self.padding = stride, groups, kernel_size // 2
        self.padding_kind: PaddingKind = padding_kind
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels // groups, kernel_size, kernel_size)
        )
        self.bias: nn.Parameter | None = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise weights so that they keep the variance of the input."""
        lecun_normal_(self.weight)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Convolve each frame independently."""
        s, pads = self.stride, (self.padding, self.padding)
        if self.padding_kind == "same":
            x, pads = pad_same(x, self.weight.shape[-1], s)
        if x.dim() == 5:
            weight = self.weight.unsqueeze(2)
            return F.conv3d(x, weight, self.bias, (1, s, s), (0, *pads), groups=self.groups)
        return F.conv2d(x, self.weight, self.bias, s, pads, groups=self.groups)


class SpatiotemporalConv(nn.Module):
    """``kt×k×k`` convolution of stride 1 in time, with the parameters of a ``Conv3d``.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Height and width k of the kernel, odd.
        temporal_kernel: Length kt of the kernel in time, odd.
        groups: Groups; ``in_channels`` groups make it depthwise.
        stride: Spatial stride.
        padding_kind: Where the zeros around a picture go.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        temporal_kernel: int,
        groups: int,
        stride: int = 1,
        padding_kind: PaddingKind = "centred",
    ):
        super().__init__()
        self.groups, self.padding = groups, (temporal_kernel // 2, kernel_size // 2)
        self.stride = stride
        self.padding_kind: PaddingKind = padding_kind
        self.name = ""
        self.weight = nn.Parameter(
            torch.empty(
                out_channels, in_channels // groups, temporal_kernel, kernel_size, kernel_size
            )
        )
        self.bias: nn.Parameter | None = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise weights so that they keep the variance of the input."""
        lecun_normal_(self.weight)

    def forward(self, x: Tensor, num_frames: int, past: Past | None = None) -> Tensor:
        """Convolve in space and time, zeros beyond both ends of the clip; with a past, causally."""
        time, space = self.padding
        s, pads = self.stride, (space, space)
        length, as_volume = self.weight.shape[2], may_overwrite() and x.dim() == 4
        as_volume = as_volume and is_channels_last(x)
        reads: list[Tensor] = []
        if past is not None:
            time = 0
            if x.dim() == 5 or as_volume:
                x = past.join(self.name, x, num_frames, length)
                num_frames += length - 1
            else:
                reads = past.taps(self.name, x, num_frames, length)
        if self.padding_kind == "same":
            x, pads = pad_same(x, self.weight.shape[-1], s)
            reads = [pad_same(read, self.weight.shape[-1], s)[0] for read in reads]
        if x.dim() == 5:
            return F.conv3d(x, self.weight, self.bias, (1, s, s), (time, *pads), groups=self.groups)
        if as_volume:
            # Without gradients, one pass over the same memory viewed as (B, C, T, H, W) is faster.
            channels = self.weight.shape[0]
            groups = channels if self.groups == x.shape[1] else self.groups
            # A depthwise multiplier has no fast kernel; repeated channels avoid the multiplier.
            x = frames_to_volume(repeat_channels(x, groups // self.groups), num_frames)
            x = F.conv3d(x, self.weight, self.bias, (1, s, s), (time, *pads), groups=groups)
            return volume_to_frames(x)
        added_by = time if past is None else length - 1  # the one step that adds the bias
        steps = [
            F.conv2d(
                reads[k] if reads else x,
                w,
                self.bias if k == added_by else None,
                s,
                pads,
                groups=self.groups,
            )
            for k, w in enumerate(self.weight.unbind(dim=2))
        ]
        return sum_shifted(steps, num_frames) if past is None else sum_all(steps)


class TemporalConv(nn.Module):
    """Depthwise ``kt×1×1`` convolution of stride 1, parameters (C, 1, kt, 1, 1).

    Args:
        channels: Channels C.
        temporal_kernel: Length kt of the kernel in time, odd.
    """

    def __init__(self, channels: int, temporal_kernel: int):
        super().__init__()
        self.padding = temporal_kernel // 2
        self.name = ""
        self.weight = nn.Parameter(torch.empty(channels, 1, temporal_kernel, 1, 1))
        self.bias: nn.Parameter | None = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise weights so that they keep the variance of the input."""
        lecun_normal_(self.weight)

    def forward(self, x: Tensor, num_frames: int, past: Past | None = None) -> Tensor:
        """Convolve in time, zeros beyond both ends of the clip; with a past, causally."""
        time, length, groups = self.padding, self.weight.shape[2], self.weight.shape[0]
        as_image = x.dim() == 4 and not torch.compiler.is_compiling() and is_channels_last(x)
        if past is not None and (x.dim() == 5 or as_image):
            x, time = past.join(self.name, x, num_frames, length), 0
            num_frames += length - 1
        if x.dim() == 5:
            return F.conv3d(x, self.weight, self.bias, 1, (time, 0, 0), groups=groups)
        if as_image:
            # The same memory viewed as T × H·W images: a fast 2-D depthwise convolution.
            n, c, h, w = x.shape
            x = x.permute(0, 2, 3, 1).reshape(n // num_frames, num_frames, h * w, c)
            weight = self.weight.squeeze(-1)
            x = F.conv2d(x.permute(0, 3, 1, 2), weight, self.bias, 1, (time, 0), groups=c)
            return x.permute(0, 2, 3, 1).reshape(-1, h, w, c).permute(0, 3, 1, 2)
        reads = [x] * length
        if past is not None:
            reads = past.taps(self.name, x, num_frames, length)
        taps = self.weight.unbind(dim=2)
        steps = [read * w.view(1, -1, 1, 1) for read, w in zip(reads, taps, strict=True)]
        if self.bias is not None:
            steps[time] = steps[time] + self.bias.view(1, -1, 1, 1)
        return sum_shifted(steps, num_frames) if past is None else sum_all(steps)


class ConvNorm(nn.Module):
    """A convolution, in space or in space and time, and its BatchNorm.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Height and width of the kernel, odd.
        stride: Spatial stride.
        groups: Groups.
        temporal_kernel: Length in time, odd; 1 leaves the convolution 2-D.
        temporal_conv: ``"3d"`` is the full kernel, ``"2plus1d"`` the spatial kernel followed by a
            depthwise temporal one with nothing in between.
        padding_kind: Where the zeros around a picture go.
        eps: Added to the variance by BatchNorm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        temporal_kernel: int = 1,
        temporal_conv: TemporalConvKind = "3d",
        padding_kind: PaddingKind = "centred",
        eps: float = 1e-5,
    ):
        super().__init__()
        self.temporal: TemporalConv | None = None
        self.conv: SpatialConv | SpatiotemporalConv
        if temporal_kernel > 1 and temporal_conv == "3d":
            self.conv = SpatiotemporalConv(
                in_channels,
                out_channels,
                kernel_size,
                temporal_kernel,
                groups,
                stride,
                padding_kind,
            )
        else:
            self.conv = SpatialConv(
                in_channels, out_channels, kernel_size, stride, groups, padding_kind
            )
            if temporal_kernel > 1:
                self.temporal = TemporalConv(out_channels, temporal_kernel)
        self.norm: nn.Module = BatchNorm(out_channels, eps=eps)

    def forward(self, x: Tensor, num_frames: int, past: Past | None = None) -> Tensor:
        """Apply to (B, C, T, H, W) or (B·T, C, H, W); with a past, causally."""
        # Graphs for export put parts of their own here, which take no past.
        given = () if past is None else (past,)
        in_time = given if isinstance(self.conv, SpatiotemporalConv) else ()
        x = self.conv(x, num_frames, *in_time)
        if self.temporal is not None:
            x = self.temporal(x, num_frames, *given)
        return self.norm(x)

    def in_time(self) -> TemporalConv | SpatiotemporalConv | None:
        """The convolution that reads several frames, None where each is seen alone."""
        if self.temporal is not None:
            return self.temporal
        return self.conv if isinstance(self.conv, SpatiotemporalConv) else None

    def start_temporal_delta(self, *, newest: bool = False) -> None:
        """Zero each temporal kernel except one tap, so that frames start out independent.

        Args:
            newest: The tap is the last one, of causal kernels, and not the centre.
        """
        if self.temporal is not None:
            fresh = torch.ones_like(self.temporal.weight[:, :, 0])
            put_delta(self.temporal.weight, fresh, newest=newest)
        elif isinstance(self.conv, SpatiotemporalConv):
            fresh = torch.empty_like(self.conv.weight[:, :, 0])
            lecun_normal_(fresh)
            put_delta(self.conv.weight, fresh, newest=newest)

    @torch.no_grad()
    def fold_norm(self) -> None:
        """Fold the inference-mode BatchNorm into the last convolution before it."""
        norm = self.norm
        if not isinstance(norm, BatchNorm):
            return
        last = self.temporal or self.conv
        scale, shift = norm_as_affine(norm)
        weight = last.weight.double() * scale.view(-1, *[1] * (last.weight.dim() - 1))
        last.weight.copy_(weight)
        last.bias = nn.Parameter(shift.to(last.weight.dtype), requires_grad=False)
        self.norm = nn.Identity()


def norm_as_affine(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift, float64 of shape (C,), that a BatchNorm applies in inference mode."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale


@torch.no_grad()
def lecun_normal_(weight: Tensor) -> None:
    """Initialise from a normal distribution of variance 1 / fan-in, which keeps the variance.

    BatchNorm removes the scale in training; this scale also gives moderate logits from an
    untrained network in eval mode, in every variant.
    """
    weight.normal_(std=math.prod(weight.shape[1:]) ** -0.5)


@torch.no_grad()
def put_delta(weight: Tensor, tap: Tensor, *, newest: bool = False) -> None:
    """Zero a kernel (O, I, kt, k, k) but for one tap in time.

    Args:
        weight: The kernel, changed in place.
        tap: (O, I, k, k).
        newest: Put it at the last tap, not at the centre.
    """
    weight.zero_()
    weight[:, :, -1 if newest else weight.shape[2] // 2] = tap


def sum_all(steps: list[Tensor]) -> Tensor:
    """Sum of tensors of one shape."""
    total = steps[0]
    for step in steps[1:]:
        total = total + step
    return total

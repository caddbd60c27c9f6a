"""Convolutions whose parameters have one shape and whose graph has two forms.

The rank of the input decides which form runs:

- ``volume``: x is (B, C, T, H, W) and convolutions are ``conv3d``;
- ``frames``: x is (B·T, C, H, W), time folded into the batch, nothing above rank 4. A temporal
  kernel becomes one 2-D convolution per time step of the kernel and a sum of shifted results,
  because mobile runtimes (ExecuTorch/XNNPACK, LiteRT) have no depthwise ``conv3d``.
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

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Convolve in space and time, zeros beyond both ends of the clip."""
        time, space = self.padding
        s, pads = self.stride, (space, space)
        if self.padding_kind == "same":
            x, pads = pad_same(x, self.weight.shape[-1], s)
        if x.dim() == 5:
            return F.conv3d(x, self.weight, self.bias, (1, s, s), (time, *pads), groups=self.groups)
        if may_overwrite() and is_channels_last(x):
            # Without gradients, one pass over the same memory viewed as (B, C, T, H, W) is faster.
            channels = self.weight.shape[0]
            groups = channels if self.groups == x.shape[1] else self.groups
            # A depthwise multiplier has no fast kernel; repeated channels avoid the multiplier.
            x = frames_to_volume(repeat_channels(x, groups // self.groups), num_frames)
            x = F.conv3d(x, self.weight, self.bias, (1, s, s), (time, *pads), groups=groups)
            return volume_to_frames(x)
        steps = [
            # The bias is added once, by the centre step.
            F.conv2d(x, w, self.bias if k == time else None, s, pads, groups=self.groups)
            for k, w in enumerate(self.weight.unbind(dim=2))
        ]
        return sum_shifted(steps, num_frames)


class TemporalConv(nn.Module):
    """Depthwise ``kt×1×1`` convolution of stride 1, parameters (C, 1, kt, 1, 1).

    Args:
        channels: Channels C.
        temporal_kernel: Length kt of the kernel in time, odd.
    """

    def __init__(self, channels: int, temporal_kernel: int):
        super().__init__()
        self.padding = temporal_kernel // 2
        self.weight = nn.Parameter(torch.empty(channels, 1, temporal_kernel, 1, 1))
        self.bias: nn.Parameter | None = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise weights so that they keep the variance of the input."""
        lecun_normal_(self.weight)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Convolve in time, zeros beyond both ends of the clip."""
        if x.dim() == 5:
            groups = self.weight.shape[0]
            return F.conv3d(x, self.weight, self.bias, 1, (self.padding, 0, 0), groups=groups)
        if not torch.compiler.is_compiling() and is_channels_last(x):
            # The same memory viewed as T × H·W images: a fast 2-D depthwise convolution.
            n, c, h, w = x.shape
            x = x.permute(0, 2, 3, 1).reshape(n // num_frames, num_frames, h * w, c)
            weight = self.weight.squeeze(-1)
            x = F.conv2d(x.permute(0, 3, 1, 2), weight, self.bias, 1, (self.padding, 0), groups=c)
            return x.permute(0, 2, 3, 1).reshape(n, h, w, c).permute(0, 3, 1, 2)
        steps = [x * w.view(1, -1, 1, 1) for w in self.weight.unbind(dim=2)]
        if self.bias is not None:
            steps[self.padding] = steps[self.padding] + self.bias.view(1, -1, 1, 1)
        return sum_shifted(steps, num_frames)


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

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Apply to (B, C, T, H, W) or (B·T, C, H, W)."""
        x = self.conv(x, num_frames)
        if self.temporal is not None:
            x = self.temporal(x, num_frames)
        return self.norm(x)

    def start_temporal_delta(self) -> None:
        """Zero each temporal kernel except its centre, so that frames start out independent."""
        if self.temporal is not None:
            _delta_(self.temporal.weight, torch.ones_like(self.temporal.weight[:, :, 0]))
        elif isinstance(self.conv, SpatiotemporalConv):
            fresh = torch.empty_like(self.conv.weight[:, :, 0])
            lecun_normal_(fresh)
            _delta_(self.conv.weight, fresh)

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
def _delta_(weight: Tensor, centre: Tensor) -> None:
    weight.zero_()
    weight[:, :, weight.shape[2] // 2] = centre

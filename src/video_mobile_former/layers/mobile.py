"""The Mobile path: inverted-residual blocks of a light 3-D CNN.

Source: Mobile-Former (arXiv 2108.05895), after MobileNetV2/V3. Each stride-1 depthwise convolution
of :class:`MobileBlock` and :class:`DownsampleBlock` may have a temporal kernel; strided depthwise
convolutions and :class:`LiteBlock` process each frame independently. Given the past of a stream,
temporal kernels look back only, see :mod:`.conv`.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .activation import DynamicReLU, StaticReLU6
from .conv import ConvNorm, TemporalConvKind
from .forms import channel_shuffle, drop_path
from .past import Past


def make_activation(
    token_dim: int | None, channels: int, *, per_frame: bool = False
) -> StaticReLU6 | DynamicReLU:
    """Dynamic ReLU steered by tokens of width ``token_dim``, or ReLU6 where it is None."""
    if token_dim is None:
        return StaticReLU6()
    return DynamicReLU(token_dim, channels, per_frame=per_frame)


class LiteBlock(nn.Module):
    """Depthwise with multiplier, ReLU6, pointwise; the first block, without tokens.

    Args:
        in_channels: Input channels.
        expand: Channel multiplier of the depthwise convolution.
        out_channels: Output channels.
        stride: Spatial stride, 1 or 2.
        groups: Groups of the pointwise convolution.
    """

    def __init__(self, in_channels: int, expand: int, out_channels: int, stride: int, groups: int):
        super().__init__()
        hidden = in_channels * expand
        self.depthwise = ConvNorm(in_channels, hidden, 3, stride=stride, groups=in_channels)
        self.project = ConvNorm(hidden, out_channels, groups=groups)
        self.shuffle_groups = in_channels if groups > 1 else 1
        self.has_identity = stride == 1 and in_channels == out_channels

    def forward(
        self, x: Tensor, tokens: Tensor | None, num_frames: int, past: Past | None = None
    ) -> Tensor:
        """Map (…, C, …, H, W) to (…, C_out, …, H/stride, W/stride); tokens are not used."""
        y = F.relu6(self.depthwise(x, num_frames))
        y = self.project(channel_shuffle(y, self.shuffle_groups), num_frames)
        return x + y if self.has_identity else y


class MobileBlock(nn.Module):
    """Pointwise expand, depthwise in space and time, pointwise project; stride 1.

    The identity is added where input and output channels agree.

    Args:
        in_channels: Input channels C.
        expand: Expansion of the hidden channels.
        out_channels: Output channels.
        groups: Groups of both pointwise convolutions, whose outputs are shuffled over them.
        token_dim: Token width, or None for ReLU6 in place of dynamic ReLU.
        temporal_kernel: Length of the depthwise kernel in time.
        temporal_conv: ``"3d"`` or ``"2plus1d"``.
        per_frame: Each frame has tokens of its own.
        drop_path_rate: Stochastic depth on the residual.
    """

    def __init__(
        self,
        in_channels: int,
        expand: int,
        out_channels: int,
        *,
        groups: int,
        token_dim: int | None,
        temporal_kernel: int,
        temporal_conv: TemporalConvKind,
        per_frame: bool = False,
        drop_path_rate: float = 0.0,
    ):
        super().__init__()
        self.drop_path_rate = drop_path_rate
        hidden = in_channels * expand
        self.groups = groups
        self.expand = ConvNorm(in_channels, hidden, groups=groups)
        self.expand_act = make_activation(token_dim, hidden, per_frame=per_frame)
        self.depthwise = ConvNorm(
            hidden,
            hidden,
            3,
            groups=hidden,
            temporal_kernel=temporal_kernel,
            temporal_conv=temporal_conv,
        )
        self.depthwise_act = make_activation(token_dim, hidden, per_frame=per_frame)
        self.project = ConvNorm(hidden, out_channels, groups=groups)
        self.has_identity = in_channels == out_channels

    def forward(
        self, x: Tensor, tokens: Tensor | None, num_frames: int, past: Past | None = None
    ) -> Tensor:
        """Map (…, C, …, H, W) to (…, C_out, …, H, W), steered by tokens (B, M, D)."""
        y = channel_shuffle(self.expand(x, num_frames), self.groups)
        y = self.expand_act(y, tokens, num_frames)
        y = self.depthwise_act(self.depthwise(y, num_frames, past), tokens, num_frames)
        y = channel_shuffle(self.project(y, num_frames), self.groups)
        if not self.has_identity:
            return y
        return x + drop_path(y, self.drop_path_rate, self.training, num_frames)


class DownsampleBlock(nn.Module):
    """Halve height and width, then a residual depthwise and pointwise pair.

    Args:
        in_channels: Input channels C.
        expand: Channel multiplier e1 of the strided depthwise convolution.
        out_channels: Output channels.
        expand2: Channel multiplier e2 of the second depthwise convolution.
        groups: Groups of both pointwise convolutions.
        token_dim: Token width, or None for ReLU6 in place of dynamic ReLU.
        temporal_kernel: Length of the second depthwise kernel in time.
        temporal_conv: ``"3d"`` or ``"2plus1d"``.
        per_frame: Each frame has tokens of its own.
        drop_path_rate: Stochastic depth on the residual pair.
    """

    def __init__(
        self,
        in_channels: int,
        expand: int,
        out_channels: int,
        expand2: int,
        *,
        groups: int,
        token_dim: int | None,
        temporal_kernel: int,
        temporal_conv: TemporalConvKind,
        per_frame: bool = False,
        drop_path_rate: float = 0.0,
    ):
        super().__init__()
        self.drop_path_rate = drop_path_rate
        hidden, hidden2 = in_channels * expand, out_channels * expand2
        # After a depthwise convolution with multiplier the shuffle runs over its input channels.
        self.shuffles = (in_channels, out_channels) if groups > 1 else (1, 1)
        self.down = ConvNorm(in_channels, hidden, 3, stride=2, groups=in_channels)
        self.down_act = make_activation(token_dim, hidden, per_frame=per_frame)
        self.reduce = ConvNorm(hidden, out_channels, groups=groups)
        self.depthwise = ConvNorm(
            out_channels,
            hidden2,
            3,
            groups=out_channels,
            temporal_kernel=temporal_kernel,
            temporal_conv=temporal_conv,
        )
        self.depthwise_act = make_activation(token_dim, hidden2, per_frame=per_frame)
        self.project = ConvNorm(hidden2, out_channels, groups=groups)

    def forward(
        self, x: Tensor, tokens: Tensor | None, num_frames: int, past: Past | None = None
    ) -> Tensor:
        """Map (…, C, …, H, W) to (…, C_out, …, ⌈H/2⌉, ⌈W/2⌉), steered by tokens (B, M, D)."""
        y = channel_shuffle(self.down(x, num_frames), self.shuffles[0])
        short = self.reduce(self.down_act(y, tokens, num_frames), num_frames)
        y = channel_shuffle(self.depthwise(short, num_frames, past), self.shuffles[1])
        y = self.depthwise_act(y, tokens, num_frames)
        y = self.project(y, num_frames)
        return short + drop_path(y, self.drop_path_rate, self.training, num_frames)

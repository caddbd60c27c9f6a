"""Convolutions of the ``frames`` form for runtimes that keep channels innermost and know rank 4.

Every weight is a constant of its own: XNNPACK leaves a convolution alone whose weight is cut from
another tensor while it runs. Orders of channels are as in ``convolution.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.conv import ConvNorm, SpatiotemporalConv, sum_all
from ...layers.past import Past
from .convolution import shuffled, ungrouped


def make_conv(
    weight: Tensor, bias: Tensor | None, *, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution with these weights (C_out, C_in/groups, k, k) and padding ``k // 2``."""
    size = weight.shape[-1]
    conv = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        size,
        stride,
        size // 2,
        groups=groups,
        bias=bias is not None,
    )
    with torch.no_grad():
        conv.weight.copy_(weight)
        if conv.bias is not None and bias is not None:
            conv.bias.copy_(bias)
    return conv.eval().requires_grad_(False)


class Pointwise(nn.Module):
    """A 1×1 convolution whose channels may be put in another order on both sides.

    Args:
        source: With its BatchNorm folded.
        inputs: Channel of ``source`` that stands at each place of the input; None: as they are.
        outputs: The same of the output.
    """

    def __init__(
        self, source: ConvNorm, inputs: Tensor | None = None, outputs: Tensor | None = None
    ):
        super().__init__()
        weight, bias = source.conv.weight, source.conv.bias
        assert bias is not None, "fuse the model first"
        groups = source.conv.groups
        if groups > 1 and (inputs is not None or outputs is not None):
            # Groups whose channels are not neighbours are zeros of a full product.
            weight, groups = ungrouped(weight.flatten(1), groups)[:, :, None, None], 1
        if inputs is not None:
            weight = weight[:, inputs]
        if outputs is not None:
            weight, bias = weight[outputs], bias[outputs]
        self.conv = make_conv(weight, bias, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B·T, C, H, W) to (B·T, C_out, H, W)."""
        return self.conv(x)


class SpaceTimeConv(nn.Module):
    """A convolution in space and, where its source has a kernel there, in time.

    A temporal kernel becomes one convolution per step and a sum over time. A channel multiplier e
    becomes e true depthwise convolutions of the same input, since runtimes have a kernel for those
    and fall back to one product a channel otherwise. Output channels then stand in the order
    ``self.outputs`` of the source's: e blocks of all input channels.

    Given the past of a stream, kernels in time look back only. The frames it holds have their
    channels in the order of the input.

    Args:
        source: With its BatchNorm folded.
        order: Channel of a depthwise source at each place; None: as they are.
    """

    def __init__(self, source: ConvNorm, order: Tensor | None = None):
        super().__init__()
        conv, temporal = source.conv, source.temporal
        found = source.in_time()
        self.name = "" if found is None else found.name
        out, depthwise = conv.weight.shape[0], conv.weight.shape[1] == 1
        multiplier = out // conv.groups if depthwise else 1
        self.outputs = shuffled(out, conv.groups) if multiplier > 1 else order
        places = slice(None) if self.outputs is None else self.outputs
        weight = conv.weight[places]
        bias = conv.bias if temporal is None else temporal.bias
        assert bias is not None, "fuse the model first"
        bias = bias[places]
        self.in_space = nn.ModuleList()
        for part, shift in zip(weight.chunk(multiplier), bias.chunk(multiplier), strict=True):
            steps = list(part.unbind(2)) if isinstance(conv, SpatiotemporalConv) else [part]
            shift = shift if temporal is None else None
            self.in_space.append(_steps(steps, shift, getattr(conv, "stride", 1), conv.groups))
        self.in_time: nn.ModuleList | None = None
        if temporal is not None:
            steps = list(temporal.weight[places].unbind(2))  # each (C, 1, 1, 1)
            self.in_time = _steps(steps, bias, 1, out)

    def forward(self, x: Tensor, num_frames: int, past: Past | None = None) -> Tensor:
        """Map (B·T, C, H, W) to (B·T, C_out, …)."""
        parts = self._over_time(list(self.in_space), x, num_frames, past)
        x = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        if self.in_time is None:
            return x
        return self._over_time([self.in_time], x, num_frames, past)[0]

    def _over_time(
        self, kernels: Sequence[nn.Module], x: Tensor, num_frames: int, past: Past | None
    ) -> list[Tensor]:
        """One result of ``x`` for each kernel, which is a list of steps."""
        found = []
        reads: list[Tensor] | None = None
        for steps in kernels:
            assert isinstance(steps, nn.ModuleList)
            if past is None or len(steps) == 1:
                found.append(sum_over_time([conv(x) for conv in steps], num_frames))
                continue
            if reads is None:
                reads = past.taps(self.name, x, num_frames, len(steps))
            found.append(sum_all([conv(read) for conv, read in zip(steps, reads, strict=True)]))
        return found


def _steps(
    weights: Sequence[Tensor], bias: Tensor | None, stride: int, groups: int
) -> nn.ModuleList:
    centre = len(weights) // 2
    return nn.ModuleList(
        # The bias belongs to the sum over time, so only the centre step carries it.
        make_conv(weight, bias if k == centre else None, stride=stride, groups=groups)
        for k, weight in enumerate(weights)
    )


def sum_over_time(steps: Sequence[Tensor], num_frames: int) -> Tensor:
    """Add up ``steps[k]``, each (B·T, C, H, W), step k taken from ``k − centre`` frames later.

    Frames beyond either end of a clip count as zero. A single clip stays of rank 4 all the way,
    in whatever layout the runtime keeps it.
    """
    centre = len(steps) // 2
    total = steps[centre]
    shape = total.shape
    one_clip = shape[0] == num_frames
    if not one_clip:
        total = total.reshape(-1, num_frames, shape[1] * shape[2] * shape[3])
    for k, step in enumerate(steps):
        shift = k - centre
        if shift == 0 or abs(shift) >= num_frames:
            continue
        before, after = max(-shift, 0), max(shift, 0)
        if one_clip:
            kept = step[after : num_frames - before]
            total = total + F.pad(kept, (0, 0, 0, 0, 0, 0, before, after))
        else:
            kept = step.reshape(total.shape)[:, after : num_frames - before]
            total = total + F.pad(kept, (0, 0, before, after))
    return total if one_clip else total.reshape(shape)

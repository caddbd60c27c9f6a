"""Convolutions of the ``volume`` form as runtimes run them fastest; see ``docs/lab-notes.md``.

Two rewrites change the order in which channels stand between layers. Whoever consumes them gets
the order and arranges its weights, so no channel is ever moved:

- A depthwise convolution with a multiplier falls off the fast depthwise kernel. It is run as one
  true depthwise convolution per multiple, whose results are joined.
- A channel shuffle after a grouped pointwise convolution is not computed.

An *order* is a 1-D tensor: ``order[k]`` says which channel of the model stands at place ``k``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.conv import ConvNorm, SpatiotemporalConv, TemporalConv
from ...layers.past import Past

FEWEST_OUTPUTS_PER_GROUP = 6
"""Below that a grouped pointwise convolution is slower than a dense one (OpenVINO, AVX-512)."""


class Depthwise(nn.Module):
    """A depthwise convolution of any multiplier, on (B, C, T, H, W).

    Args:
        source: With its BatchNorm folded.
        order: Order in which the inputs stand; None for the model's own.
    """

    order: Tensor
    """Order of the output."""

    def __init__(self, source: ConvNorm, order: Tensor | None = None):
        super().__init__()
        weight = source.conv.weight
        if weight.dim() == 4:
            weight = weight.unsqueeze(2)
        self.channels = source.conv.groups
        places = torch.arange(weight.shape[0]).view(self.channels, -1)
        places = places if order is None else places[order]
        self.register_buffer("order", places.t().flatten(), persistent=False)
        self.stride = (1, source.conv.stride, source.conv.stride)
        self.padding = tuple(size // 2 for size in weight.shape[2:])
        self.name = source.conv.name if isinstance(source.conv, SpatiotemporalConv) else ""
        bias = source.conv.bias
        self.weights = constants([weight[part] for part in places.t()])
        self.biases = None if bias is None else constants([bias[part] for part in places.t()])
        self.temporal = None if source.temporal is None else Temporal(source.temporal, self.order)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Convolve; with the past of a stream, its kernels in time look back only."""
        parts = self.parts(x, past)
        x = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return x if self.temporal is None else self.temporal(x, past)

    def parts(self, x: Tensor, past: Past | None = None) -> list[Tensor]:
        """What is joined, before the convolution in time: one result per multiple."""
        length, padding = self.weights[0].shape[2], self.padding
        if past is not None and length > 1:
            x, padding = past.join(self.name, x, x.shape[2], length), (0, *self.padding[1:])
        biases = [None] * len(self.weights) if self.biases is None else self.biases
        return [
            F.conv3d(x, weight, bias, self.stride, padding, groups=self.channels)
            for weight, bias in zip(self.weights, biases, strict=True)
        ]


class Temporal(nn.Module):
    """A depthwise convolution in time, for channels that stand in ``order``."""

    def __init__(self, source: TemporalConv, order: Tensor):
        super().__init__()
        self.name = source.name
        self.weight = constant(source.weight[order])
        self.bias = None if source.bias is None else constant(source.bias[order])

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Convolve (B, C, T, H, W)."""
        length = self.weight.shape[2]
        padding = (length // 2, 0, 0)
        if past is not None:
            x, padding = past.join(self.name, x, x.shape[2], length), (0, 0, 0)
        return F.conv3d(x, self.weight, self.bias, 1, padding, groups=self.weight.shape[0])


class Stem(nn.Module):
    """The first convolution and its ReLU6: dense in space, depthwise in time."""

    def __init__(self, source: ConvNorm):
        super().__init__()
        assert not isinstance(source.conv, SpatiotemporalConv)
        weight = source.conv.weight
        self.weight = constant(weight.unsqueeze(2))
        self.bias = None if source.conv.bias is None else constant(source.conv.bias)
        self.stride, self.padding = source.conv.stride, weight.shape[-1] // 2
        every = torch.arange(weight.shape[0])
        self.temporal = None if source.temporal is None else Temporal(source.temporal, every)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Map clips (B, 3, T, H, W) to features (B, C, T, ⌈H/2⌉, ⌈W/2⌉)."""
        s, p = self.stride, self.padding
        x = F.conv3d(x, self.weight, self.bias, (1, s, s), (0, p, p))
        return F.relu6(x if self.temporal is None else self.temporal(x, past))


class Pointwise(nn.Module):
    """A 1×1×1 convolution.

    Args:
        weight: (C_out, C_in / groups).
        bias: (C_out,) or None.
        groups: Groups.
        order: Order in which the outputs stand, in the numbers of the model's shuffled channels.
    """

    order: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, groups: int, order: Tensor):
        super().__init__()
        self.groups = groups
        self.weight = constant(weight[:, :, None, None, None])
        self.bias = None if bias is None else constant(bias)
        self.register_buffer("order", order, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T, H, W) to (B, C_out, T, H, W)."""
        return F.conv3d(x, self.weight, self.bias, groups=self.groups)

    def sliced(self, count: int) -> list[Pointwise]:
        """Convolutions of ``count`` equal slices of the inputs, which add up to this one."""
        parts = ungrouped(self.weight.flatten(1), self.groups).chunk(count, dim=1)
        biases = [self.bias, *[None] * (count - 1)]
        return [
            Pointwise(part, bias, 1, self.order) for part, bias in zip(parts, biases, strict=True)
        ]


def lower_pointwise(
    source: ConvNorm,
    *,
    order: Tensor | None = None,
    shuffle_before: int = 1,
    shuffle_after: int = 1,
    leave_shuffle: bool = False,
) -> Pointwise:
    """A pointwise convolution that takes channels in any order, shuffled by the model or not.

    Args:
        source: With its BatchNorm folded; may be grouped.
        order: Order in which the inputs stand; None for the model's own.
        shuffle_before: Groups over which the model shuffles the inputs; 1 for none.
        shuffle_after: Groups over which the model shuffles the outputs; 1 for none.
        leave_shuffle: Leave the outputs unshuffled. Without it they stand as the model has them.
    """
    weight, bias, groups = source.conv.weight.flatten(1), source.conv.bias, source.conv.groups
    outputs, inputs = weight.shape[0], weight.shape[1] * groups
    taken = after_shuffle(torch.arange(inputs) if order is None else order, shuffle_before)
    rows = torch.arange(outputs) if leave_shuffle else shuffled(outputs, shuffle_after)
    in_place = taken.equal(torch.arange(inputs)) and rows.equal(torch.arange(outputs))
    if not in_place or outputs // groups < FEWEST_OUTPUTS_PER_GROUP:
        weight, groups = ungrouped(weight, groups)[rows][:, taken], 1
        bias = None if bias is None else bias[rows]
    return Pointwise(weight, bias, groups, after_shuffle(rows, shuffle_after))


def after_shuffle(order: Tensor, groups: int) -> Tensor:
    """An order in the numbers that channels have once the model has shuffled them."""
    return inverse(shuffled(len(order), groups))[order]


def constant(value: Tensor) -> nn.Parameter:
    """A copy that no optimiser changes."""
    return nn.Parameter(value.detach().clone().contiguous(), requires_grad=False)


def constants(values: list[Tensor]) -> nn.ParameterList:
    """Several of :func:`constant`."""
    return nn.ParameterList([constant(value) for value in values])


def shuffled(channels: int, groups: int) -> Tensor:
    """Which channel the model's shuffle over ``groups`` puts at each place."""
    return torch.arange(channels).view(groups, -1).t().flatten()


def inverse(permutation: Tensor) -> Tensor:
    """The permutation that undoes another."""
    return permutation.argsort()


def ungrouped(weight: Tensor, groups: int) -> Tensor:
    """The dense matrix (C_out, C_in) of a grouped one (C_out, C_in / groups)."""
    return torch.block_diag(*weight.chunk(groups)) if groups > 1 else weight

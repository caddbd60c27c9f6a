"""Channels that stand in another order: the same values, found where the order says."""

import pytest
import torch
import torch.nn.functional as F

from video_mobile_former.export.lowering.convolution import (
    Depthwise,
    lower_pointwise,
    shuffled,
    ungrouped,
)
from video_mobile_former.layers.conv import ConvNorm
from video_mobile_former.layers.forms import channel_shuffle

X = torch.randn(2, 8, 3, 6, 5, generator=torch.Generator().manual_seed(0))


def folded(*args, **kwargs) -> ConvNorm:
    conv = ConvNorm(*args, **kwargs)
    with torch.no_grad():
        conv(X, 3)
    conv.eval().fold_norm()
    return conv.requires_grad_(False)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("temporal", [{}, {"temporal_kernel": 3, "temporal_conv": "2plus1d"}])
def test_a_depthwise_convolution_of_any_multiplier_is_joined_from_true_ones(stride, temporal):
    conv = folded(8, 24, 3, stride=stride, groups=8, **temporal)
    lowered = Depthwise(conv)
    assert torch.equal(lowered.order.sort().values, torch.arange(24))
    torch.testing.assert_close(lowered(X), conv(X, 3)[:, lowered.order])


def test_a_depthwise_convolution_takes_its_input_in_any_order():
    conv, order = folded(8, 8, 3, groups=8, temporal_kernel=3), torch.randperm(8)
    lowered = Depthwise(conv, order)
    torch.testing.assert_close(lowered(X[:, order]), conv(X, 3)[:, lowered.order])


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("outputs", [6, 24])
def test_a_pointwise_convolution_takes_and_leaves_channels_in_any_order(groups, outputs):
    conv, order = folded(8, outputs, groups=groups), torch.randperm(8)
    expected = channel_shuffle(conv(channel_shuffle(X, groups), 3), groups)
    in_place = lower_pointwise(conv, order=order, shuffle_before=groups, shuffle_after=groups)
    torch.testing.assert_close(in_place(X[:, order]), expected)
    left = lower_pointwise(
        conv, order=order, shuffle_before=groups, shuffle_after=groups, leave_shuffle=True
    )
    torch.testing.assert_close(left(X[:, order]), expected[:, left.order])


def test_groups_stay_where_no_channel_has_to_move():
    conv = folded(8, 24, groups=2)
    assert lower_pointwise(conv, shuffle_after=2, leave_shuffle=True).groups == 2
    assert lower_pointwise(conv, shuffle_after=2).groups == 1


def test_shuffle_and_dense_matrix_are_those_of_the_layers():
    values = torch.arange(12.0).view(1, 12, 1, 1, 1)
    assert torch.equal(channel_shuffle(values, 3).flatten().long(), shuffled(12, 3))
    weight = torch.randn(6, 4)
    x = torch.randn(2, 8, 1)
    grouped = F.conv1d(x, weight.unsqueeze(-1), groups=2)
    torch.testing.assert_close(F.conv1d(x, ungrouped(weight, 2).unsqueeze(-1)), grouped)


def test_slices_of_a_pointwise_convolution_add_up_to_it():
    whole = lower_pointwise(folded(8, 6, groups=2))
    parts = zip(whole.sliced(4), X.chunk(4, dim=1), strict=True)
    torch.testing.assert_close(sum(part(x) for part, x in parts), whole(X))

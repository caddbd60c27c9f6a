"""Each layer against its equation written out plainly, in both graph forms."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from video_mobile_former.layers.activation import DynamicReLU
from video_mobile_former.layers.bridge import FormerToMobile, MobileToFormer
from video_mobile_former.layers.conv import ConvNorm, SpatialConv, SpatiotemporalConv, TemporalConv
from video_mobile_former.layers.former import Former
from video_mobile_former.layers.forms import channel_shuffle, drop_path
from video_mobile_former.layers.padding import PaddingKind

B, T, C, H, W, M, D = 2, 5, 12, 6, 7, 3, 16


def fold(x: Tensor, channels_last: bool) -> Tensor:
    """(B, C, T, H, W) to (B·T, C, H, W)."""
    x = x.transpose(1, 2).flatten(0, 1)
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x.contiguous()


def unfold(x: Tensor) -> Tensor:
    return x.unflatten(0, (B, -1)).transpose(1, 2)


@pytest.fixture
def clip() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(B, C, T, H, W)


@pytest.fixture
def tokens() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(B, M, D)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_temporal_kernels_equal_conv3d(kernel: int, num_frames: int, channels_last: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(B, C, num_frames, H, W)
    conv = SpatiotemporalConv(C, 2 * C, 3, kernel, groups=C)
    conv.bias = torch.nn.Parameter(torch.randn(2 * C))
    expected = F.conv3d(x, conv.weight, conv.bias, padding=(kernel // 2, 1, 1), groups=C)
    found = unfold(conv(fold(x, channels_last), num_frames))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    temporal = TemporalConv(C, kernel)
    temporal.bias = torch.nn.Parameter(torch.randn(C))
    expected = F.conv3d(x, temporal.weight, temporal.bias, padding=(kernel // 2, 0, 0), groups=C)
    found = unfold(temporal(fold(x, channels_last), num_frames))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (8, 5)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("temporal_kernel", [1, 3])
@pytest.mark.parametrize("kind", ["centred", "same"])
def test_padding_of_strided_convolutions(
    kind: PaddingKind, temporal_kernel: int, kernel: int, stride: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    x = torch.randn(B, C, T, *size)
    if temporal_kernel > 1:
        conv = SpatiotemporalConv(C, C, kernel, temporal_kernel, C, stride, kind)
        weight = conv.weight
    else:
        conv = SpatialConv(C, C, kernel, stride, C, kind)
        weight = conv.weight.unsqueeze(2)
    before, after = (kernel // 2,) * 2, (kernel // 2,) * 2
    if kind == "same":
        outputs = [math.ceil(n / stride) for n in size]
        totals = [(m - 1) * stride + kernel - n for m, n in zip(outputs, size, strict=True)]
        before = tuple(t // 2 for t in totals)
        after = tuple(t - t // 2 for t in totals)
    time = temporal_kernel // 2
    padded = F.pad(x, (before[1], after[1], before[0], after[0], time, time))
    expected = F.conv3d(padded, weight, stride=(1, stride, stride), groups=C)
    torch.testing.assert_close(conv(x, T), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(unfold(conv(fold(x, True), T)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("form", ["volume", "plain frames", "channels-last frames"])
def test_bridges_follow_their_equations(clip: Tensor, tokens: Tensor, form: str) -> None:
    h = 2
    x = clip if form == "volume" else fold(clip, form.startswith("channels"))
    places = clip.flatten(2).transpose(1, 2)  # (B, L, C)
    heads = places.unflatten(-1, (h, -1)).transpose(1, 2)  # (B, h, L, C/h)

    gather = MobileToFormer(D, C, num_heads=h)
    query = gather.query(tokens).unflatten(-1, (h, -1)).transpose(1, 2)
    weights = torch.softmax(query @ heads.transpose(2, 3) * (C / h) ** -0.5, dim=-1)
    mixed = (weights @ heads).transpose(1, 2).flatten(2)
    expected = gather.output(mixed * 2 * F.hardsigmoid(gather.gate(tokens)))
    found, attention = gather(tokens, x, T)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(attention, weights, atol=1e-5, rtol=0)

    read = FormerToMobile(D, C, num_heads=h)
    key = read.key(tokens).unflatten(-1, (h, -1)).transpose(1, 2)
    value = read.value(tokens).unflatten(-1, (h, -1)).transpose(1, 2)
    weights = torch.softmax(heads @ key.transpose(2, 3) * (C / h) ** -0.5, dim=-1)  # (B, h, L, M)
    expected = (weights @ value).transpose(1, 2).flatten(2).transpose(1, 2).view_as(clip)
    found, attention = read(x, tokens, T)
    found = found if form == "volume" else unfold(found)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(attention, weights.transpose(2, 3), atol=1e-5, rtol=0)


def test_former_follows_its_equations(tokens: Tensor) -> None:
    former = Former(D, num_heads=4)
    query, keys = (t.unflatten(-1, (4, -1)).transpose(1, 2) for t in (former.query(tokens), tokens))
    weights = torch.softmax(query @ keys.transpose(2, 3) * (D / 4) ** -0.5, dim=-1)
    z = former.norm(tokens + former.output((weights @ keys).transpose(1, 2).flatten(2)))
    expected = former.ffn_norm(z + former.ffn_project(F.gelu(former.ffn_expand(z))))
    torch.testing.assert_close(former(tokens), expected, atol=1e-5, rtol=0)


def test_dynamic_relu_is_the_greater_of_two_lines(clip: Tensor, tokens: Tensor) -> None:
    act = DynamicReLU(D, C)
    torch.nn.init.normal_(act.slopes.weight, std=3)  # both saturated and crossing slopes
    theta = F.hardsigmoid(act.slopes(F.relu(act.reduce(tokens[:, 0]))))
    a, b = 2 * theta[:, :C], 2 * theta[:, C:] - 1
    assert (a < b).any(), "slopes that cross must be among the cases"
    a, b = (v[:, :, None, None, None] for v in (a, b))
    expected = torch.maximum(a * clip, b * clip)
    torch.testing.assert_close(act(clip, tokens, T), expected, atol=1e-5, rtol=0)
    found = unfold(act(fold(clip, True), tokens, T))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_channel_shuffle_deals_groups_in_turn() -> None:
    x = torch.arange(6.0).view(1, 6, 1, 1, 1)
    assert channel_shuffle(x, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    folded = torch.randn(2, 6, 4, 4).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(channel_shuffle(folded, 3)[:, 1], folded[:, 2])


def test_drop_path_spares_or_drops_whole_clips() -> None:
    torch.manual_seed(0)
    x = torch.ones(64 * T, 3, 2, 2)
    y = drop_path(x, 0.25, True, T).unflatten(0, (64, T)).flatten(1)
    assert ((y == 0).all(1) | torch.isclose(y, torch.tensor(1 / 0.75)).all(1)).all()
    assert 0.05 < (y[:, 0] == 0).float().mean() < 0.5
    assert drop_path(x, 0.25, False, T) is x


def test_delta_start_sees_each_frame_alone(clip: Tensor) -> None:
    for kind in ("3d", "2plus1d"):
        layer = ConvNorm(
            C,
            C,
            3,
            groups=C,
            temporal_kernel=3,
            temporal_conv=kind,  # pyright: ignore[reportArgumentType] - from a list
        ).eval()
        layer.start_temporal_delta()
        alone = torch.cat([layer(clip[:, :, t : t + 1], 1) for t in range(T)], dim=2)
        torch.testing.assert_close(layer(clip, T), alone, atol=1e-6, rtol=0)

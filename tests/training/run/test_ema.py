from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch

from video_mobile_former.training.run.ema import WeightAverage, average_decay


class _Net(torch.nn.Sequential):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 4)
        self.norm = torch.nn.BatchNorm1d(4)


def test_decay_rises_to_its_value() -> None:
    assert average_decay(1, 0.999) == pytest.approx(2 / 11)
    assert average_decay(90, 0.999) == pytest.approx(0.91)
    assert average_decay(10**6, 0.999) == 0.999
    assert average_decay(1, 0.0) == 0.0


def test_average_follows_its_definition() -> None:
    torch.manual_seed(0)
    net = _Net()
    average = WeightAverage(net, 0.5)
    expected = {k: v.clone() for k, v in net.state_dict().items()}
    for step in range(1, 6):
        with torch.no_grad():
            net.linear.weight.normal_()
        net(torch.randn(8, 3))  # moves the running statistics and their counter
        average.update(net)
        decay = average_decay(step, 0.5)
        for key, value in net.state_dict().items():
            if value.is_floating_point():
                expected[key] = decay * expected[key] + (1 - decay) * value
            else:
                expected[key] = value.clone()
    got = average.model.state_dict()
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(got[key], value)
    assert got["norm.num_batches_tracked"] == 5


def test_a_network_that_stands_still_is_approached_geometrically() -> None:
    """θ_s + Π mᵢ · (θ_0 − θ_s), the decays mᵢ rising to m; a teacher gets no gradient."""
    net = _Net()
    average = WeightAverage(net, 0.6)
    linear: Any = average.model.linear
    start = linear.weight.clone()
    with torch.no_grad():
        net.linear.weight.normal_()
    for _ in range(30):
        average.update(net)
    rising = [(1 + step) / (10 + step) for step in range(1, 13)]  # 14 / 23 is above 0.6
    assert rising[-1] < 0.6 < 14 / 23
    factor = math.prod(rising) * 0.6 ** (30 - len(rising))
    expected = net.linear.weight + factor * (start - net.linear.weight)
    torch.testing.assert_close(linear.weight, expected.detach())
    assert average.model(torch.randn(2, 3)).requires_grad is False


def test_average_stays_apart_from_the_model() -> None:
    net = _Net()
    average = WeightAverage(net, 0.9)
    assert not average.model.training
    assert not any(p.requires_grad for p in average.model.parameters())
    before = copy.deepcopy(average.model.state_dict())
    with torch.no_grad():
        net.linear.weight.add_(1)
    torch.testing.assert_close(average.model.state_dict(), before)
    assert net.training


def test_a_restored_average_goes_on_alike() -> None:
    torch.manual_seed(0)
    net = _Net()
    one = WeightAverage(net, 0.9)
    one.update(net)
    state = copy.deepcopy(one.state_dict())
    two = WeightAverage(_Net(), 0.9)
    two.load_state_dict(state)
    with torch.no_grad():
        net.linear.weight.normal_()
    for average in (one, two):
        average.update(net)
    assert one.steps == two.steps == 2
    for a, b in zip(one.model.state_dict().values(), two.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)

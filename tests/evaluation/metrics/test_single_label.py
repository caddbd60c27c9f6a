from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.errors import DataError
from video_mobile_former.evaluation.metrics.single_label import (
    compute_single_label_metrics as compute,
)
from video_mobile_former.evaluation.metrics.single_label import (
    wilson_interval,
)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E,
        # table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval(correct: int, total: int, low: float, high: float) -> None:
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**4).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_wilson_bounds_are_the_shares_from_which_the_data_is_just_not_surprising(
    counts: tuple[int, int],
) -> None:
    correct, total = counts
    for bound in wilson_interval(correct, total):
        if 0 < bound < 1:
            surprise = abs(correct / total - bound) / math.sqrt(bound * (1 - bound) / total)
            assert surprise == pytest.approx(1.959963984540054, rel=1e-6)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_wilson_interval_holds_the_share_and_is_symmetric(counts: tuple[int, int]) -> None:
    correct, total = counts
    low, high = wilson_interval(correct, total)
    assert 0 <= low <= correct / total <= high <= 1
    assert low < high
    mirrored = wilson_interval(total - correct, total)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_a_share_of_nothing_is_refused() -> None:
    for correct, total in [(0, 0), (3, 2), (-1, 2)]:
        with pytest.raises(ValueError, match="is no share"):
            wilson_interval(correct, total)


def scores(predicted: list[int], num_classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(predicted), num_classes).float()


def test_by_hand() -> None:
    found = compute(scores([0, 0, 1, 2, 1], 4), torch.tensor([0, 0, 0, 1, 1]), "abcd")
    assert found.num_correct == 3
    assert found.top1 == 3 / 5
    assert found.top1_interval == wilson_interval(3, 5)
    assert found.top5 is None
    # a: 2 of 3, b: 1 of 2; c and d have no clips and do not count.
    assert found.mean_class_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found.majority_share == 3 / 5
    assert found.confusion_matrix == ((2, 1, 0, 0), (0, 1, 1, 0), (0, 0, 0, 0), (0, 0, 0, 0))
    a, b, c, d = found.per_class
    assert (a.clips, a.correct, a.predicted) == (3, 2, 2)
    assert (a.accuracy, a.precision) == (2 / 3, 1.0)
    assert (b.accuracy, b.precision) == (0.5, 0.5)
    assert (c.accuracy, c.precision) == (None, 0.0)
    assert (d.accuracy, d.precision) == (None, None)
    # Two clips of a before all others, the third among three equal ones.
    assert a.average_precision == pytest.approx((1 + 1 + 3 / 5) / 3)
    assert b.average_precision == pytest.approx((1 / 2 + 2 / 5) / 2)
    assert c.average_precision is d.average_precision is None
    assert [(p.true, p.predicted, p.clips, p.share) for p in found.worst_confusions()] == [
        ("b", "c", 1, 0.5),
        ("a", "b", 1, 1 / 3),
    ]
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["top5"] is None


def test_top5_is_given_from_six_classes_on() -> None:
    ranked = torch.arange(6, 0, -1).float().expand(4, 6)
    found = compute(ranked, torch.tensor([0, 1, 4, 5]), "abcdef")
    assert found.top1 == 0.25
    assert found.top5 == 0.75
    assert compute(ranked[:, :5], torch.tensor([0, 1, 4, 3]), "abcde").top5 is None


def test_equal_scores_go_to_the_first_class() -> None:
    found = compute(torch.full((4, 3), 1 / 3), torch.tensor([0, 1, 2, 2]), "abc")
    assert found.confusion_matrix == ((1, 0, 0), (1, 0, 0), (2, 0, 0))
    assert found.worst_confusions(1)[0].clips == 2


def test_one_class_alone() -> None:
    found = compute(torch.ones(3, 1), torch.zeros(3, dtype=torch.int64), ["all"])
    assert (found.top1, found.mean_class_accuracy) == (1.0, 1.0)


@pytest.mark.slow
@given(st.integers(2, 9), st.integers(1, 60), st.integers(0, 2**31))
@settings(deadline=None, max_examples=40)
def test_against_counting_clip_by_clip(num_classes: int, num_clips: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((num_clips, num_classes)).astype(np.float32)
    labels = rng.integers(0, num_classes, num_clips)
    found = compute(
        torch.from_numpy(values), torch.from_numpy(labels), [f"c{i}" for i in range(num_classes)]
    )
    predicted = values.argmax(1)
    assert found.top1 == pytest.approx((predicted == labels).mean())
    ranks = (values > values[np.arange(num_clips), labels][:, None]).sum(1)
    if num_classes > 5:
        assert found.top5 == pytest.approx((ranks < 5).mean())
    accuracies = [(predicted[labels == c] == c).mean() for c in np.unique(labels)]
    assert found.mean_class_accuracy == pytest.approx(np.mean(accuracies))
    for i in range(num_classes):
        for j in range(num_classes):
            assert found.confusion_matrix[i][j] == ((labels == i) & (predicted == j)).sum()
    wrong = sum(pair.clips for pair in found.worst_confusions(1000))
    assert wrong == num_clips - found.num_correct


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="no clips to evaluate"):
        compute(torch.empty(0, 2), torch.empty(0, dtype=torch.int64), "ab")
    with pytest.raises(ValueError, match="3 names"):
        compute(torch.ones(1, 2), torch.tensor([0]), "abc")

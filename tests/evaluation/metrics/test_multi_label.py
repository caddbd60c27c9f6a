from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.errors import DataError
from video_mobile_former.evaluation.metrics.multi_label import compute_multi_label_metrics

SCORES = torch.tensor([[0.9, 0.2, 0.1], [0.8, 0.7, 0.6], [0.4, 0.6, 0.3], [0.1, 0.1, 0.2]])
TARGETS = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]])


def test_by_hand() -> None:
    found = compute_multi_label_metrics(SCORES, TARGETS, "abc")
    assert (found.num_clips, found.num_labels, found.num_without) == (4, 4, 1)
    a, b, c = found.per_class
    # a: ranks 1 and 3; b: ranks 1 and 3; nothing has c.
    assert a.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert b.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert c.average_precision is None
    assert found.map == pytest.approx(5 / 6)
    assert found.map_classes == 2
    assert found.chance_map == 2 / 4
    # All twelve pairs: .9 yes, .8 no, .7 yes, .6 no twice, .4 yes, .3 no, then .2 with one of two.
    assert found.micro_ap == pytest.approx((1 + 2 / 3 + 3 / 6 + 4 / 9) / 4)
    assert [(r.clips, r.found, r.correct) for r in (a, b, c)] == [(2, 2, 1), (2, 2, 1), (0, 1, 0)]
    assert (a.precision, a.recall) == (0.5, 0.5)
    assert (c.precision, c.recall) == (0.0, None)
    assert found.f1 == pytest.approx(2 * 2 / (5 + 4))
    assert found.mean_class_f1 == 0.5
    assert found.num_exact == 1  # the last clip
    value = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert value["per_class"][0]["recall"] == 0.5


def test_the_interval_is_that_of_the_draws() -> None:
    rng = np.random.default_rng(5)
    targets = torch.from_numpy(rng.random((300, 4)) < [0.5, 0.3, 0.2, 0.1])
    scores = torch.from_numpy(rng.random((300, 4))) + 0.4 * targets
    found = compute_multi_label_metrics(scores, targets, "abcd")
    assert found.map_interval is not None
    low, high = found.map_interval
    assert low < found.map < high
    assert 0.03 < high - low < 0.25
    assert (found.map_resamples, found.map_by_group) == (500, False)
    assert found == compute_multi_label_metrics(scores, targets, "abcd")
    # Ten copies of each clip know no more than one; as groups they are drawn together.
    scores, targets = scores[:60].repeat(10, 1), targets[:60].repeat(10, 1)
    alone = compute_multi_label_metrics(scores, targets, "abcd")
    groups = [str(i % 60) for i in range(600)]
    grouped = compute_multi_label_metrics(scores, targets, "abcd", groups)
    assert grouped.map_by_group
    assert grouped.map == alone.map
    assert grouped.map_interval is not None
    assert alone.map_interval is not None
    widths = [high - low for low, high in (grouped.map_interval, alone.map_interval)]
    assert widths[0] > 2 * widths[1]


def test_draws_that_all_say_the_same_make_no_interval() -> None:
    targets = torch.eye(2)[[0, 1] * 5]
    found = compute_multi_label_metrics(0.8 * targets + 0.1, targets, "ab")
    assert (found.map, found.map_interval) == (1, None)
    assert found.map_resamples > 100


def test_one_clip_has_no_interval() -> None:
    found = compute_multi_label_metrics(SCORES[:1], TARGETS[:1], "abc")
    assert found.map_interval is None
    assert found.map == 1.0
    assert compute_multi_label_metrics(SCORES, TARGETS, "abc", ["g"] * 4).map_interval is None


@pytest.mark.slow
@given(st.integers(1, 25), st.integers(1, 5), st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_against_counting_pair_by_pair(num_clips: int, num_classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 8, (num_clips, num_classes)) / 7
    targets = rng.random((num_clips, num_classes)) < 0.4
    if not targets.any():
        return
    names = [f"c{k}" for k in range(num_classes)]
    groups = [f"g{i % 3}" if i % 2 else None for i in range(num_clips)]
    found = compute_multi_label_metrics(
        torch.from_numpy(scores), torch.from_numpy(targets), names, groups
    )
    taken = scores >= 0.5
    right = (taken & targets).sum()
    assert found.f1 == pytest.approx(2 * right / (taken.sum() + targets.sum()))
    assert found.num_exact == (taken == targets).all(1).sum()
    shares = [targets[:, k].mean() for k in range(num_classes) if targets[:, k].any()]
    assert found.chance_map == pytest.approx(np.mean(shares))
    if found.map_interval is not None:
        assert 0 <= found.map_interval[0] <= found.map_interval[1] <= 1


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="no clip to evaluate has any of the classes"):
        compute_multi_label_metrics(SCORES, torch.zeros(4, 3), "abc")
    with pytest.raises(ValueError, match="2 names"):
        compute_multi_label_metrics(SCORES, TARGETS, "ab")

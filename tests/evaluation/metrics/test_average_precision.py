from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_average_precision

from video_mobile_former.evaluation.metrics.average_precision import (
    average_precisions,
    counted_average_precisions,
)


def one(scores: list[float], positives: list[int]) -> float:
    return float(
        average_precisions(torch.tensor(scores)[:, None], torch.tensor(positives)[:, None] > 0)
    )


def test_by_hand() -> None:
    # Positives at ranks 1, 3 and 4: precisions 1/1, 2/3 and 3/4.
    assert one([0.9, 0.8, 0.7, 0.6, 0.1], [1, 0, 1, 1, 0]) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert one([0.1, 0.2], [1, 0]) == 0.5
    assert one([0.2, 0.1], [1, 0]) == 1.0


def test_equal_scores_are_taken_together() -> None:
    # The first step takes one clip (precision 1), the second the three of 0.5, of which two are
    # positive (precision 3/4), whatever their order.
    for positives in ([1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [1, 1, 0, 1, 0]):
        assert one([0.9, 0.5, 0.5, 0.5, 0.1], positives) == pytest.approx((1 + 3 / 4 + 3 / 4) / 3)
    # A model that knows nothing is as good as the share of the positives.
    assert one([0.5] * 8, [1, 0, 0, 0, 0, 0, 1, 0]) == pytest.approx(2 / 8)


def test_a_class_without_positives_has_none() -> None:
    scores = torch.rand(4, 3)
    positives = torch.tensor([[1, 0, 0], [1, 0, 1], [1, 0, 0], [1, 0, 0]]) > 0
    found = average_precisions(scores, positives)
    assert found[0] == 1
    assert found[1].isnan()
    assert 0 < found[2] <= 1
    assert average_precisions(torch.zeros(0, 2), torch.zeros(0, 2) > 0).isnan().all()


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_against_torchmetrics_with_many_ties(rows: list[tuple[int, bool]], random) -> None:
    scores = torch.tensor([[level / 4] for level, _ in rows])
    positives = torch.tensor([[positive] for _, positive in rows])
    if not positives.any():
        return
    found = float(average_precisions(scores, positives))
    reference = binary_average_precision(scores[:, 0], positives[:, 0].long())
    assert found == pytest.approx(float(reference), abs=1e-5)
    order = list(range(len(rows)))
    random.shuffle(order)
    assert float(average_precisions(scores[order], positives[order])) == pytest.approx(found)


@pytest.mark.slow
@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=60)
def test_counting_a_clip_twice_is_having_it_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.integers(0, 6, (12, 3)) / 5.0)
    positives = torch.from_numpy(rng.random((12, 3)) < 0.4)
    times = rng.integers(0, 4, (12, 5), dtype=np.int32)
    found = counted_average_precisions(scores, positives, times)
    assert found.shape == (3, 5)
    for way in range(5):
        repeated = np.repeat(np.arange(12), times[:, way])
        expected = average_precisions(scores[repeated], positives[repeated])
        np.testing.assert_allclose(found[:, way], expected.numpy(), rtol=1e-12)

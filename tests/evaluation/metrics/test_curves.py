from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.evaluation.metrics.average_precision import average_precisions
from video_mobile_former.evaluation.metrics.curves import class_curves, precision_over_recall


def test_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.3, 0.1])
    positives = np.array([True, False, True, False, True])
    recall, precision = precision_over_recall(scores, positives)
    assert recall.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert precision.tolist() == pytest.approx([1, 2 / 3, 3 / 5])


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_the_area_under_the_steps_is_average_precision(rows: list[tuple[int, bool]]) -> None:
    scores, positives = (np.array(column) for column in zip(*rows, strict=True))
    if not positives.any():
        return
    recall, precision = precision_over_recall(scores / 6, positives)
    area = float((np.diff(recall, prepend=0) * precision).sum())
    columns = torch.from_numpy(scores / 6)[:, None], torch.from_numpy(positives)[:, None]
    assert area == pytest.approx(float(average_precisions(*columns)))


def test_the_weakest_and_the_best_are_shown() -> None:
    rng = np.random.default_rng(0)
    targets = torch.eye(20)[torch.arange(200) % 20]
    # Class k is the better told the larger k is; class 19 has no clips.
    targets[:, 19] = 0
    noise = torch.from_numpy(rng.random((200, 20))).float()
    scores = noise + targets * torch.linspace(0, 2, 20)
    curves = class_curves(scores, targets > 0)
    assert len({one.label for one in curves}) == 12
    assert 19 not in {one.label for one in curves}
    assert curves[-1].label > 12
    areas = [one.average_precision for one in curves]
    assert areas == sorted(areas)
    assert areas[0] < 0.2
    assert areas[-1] == pytest.approx(1)
    assert curves[-1].precision.tolist() == [1.0] * 10
    assert curves[0].chance == pytest.approx(0.05)

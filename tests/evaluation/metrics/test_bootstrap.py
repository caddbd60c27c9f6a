from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.evaluation.metrics.bootstrap import middle, resampled_accuracies, units_of


@pytest.mark.slow
@given(seed=st.integers(0, 1000), copies=st.integers(4, 8))
@settings(max_examples=6, deadline=None)
def test_groups_of_identical_clips_widen_the_interval(seed: int, copies: int) -> None:
    rng = np.random.default_rng(seed)
    right = np.repeat(np.arange(40) < 20, copies)
    labels = np.repeat(rng.integers(0, 3, 40), copies)
    names = [f"scene {i}" for i in np.repeat(np.arange(40), copies)]

    def width(groups: list[str] | None) -> np.ndarray:
        found = resampled_accuracies(right[None], labels, 3, units_of(len(right), groups))
        return np.array([np.diff(middle(draws[:, 0]))[0] for draws in found])

    # Copies tell nothing new: the interval is that of 40 clips, the root of `copies` wider.
    ratio = width(names) / width(None)
    assert (ratio > 0.75 * np.sqrt(copies)).all()
    assert (ratio < 1.3 * np.sqrt(copies)).all()


def test_clips_without_a_group_are_drawn_alone() -> None:
    assert len(set(units_of(4, ["a", None, "a", None]).tolist())) == 3
    assert units_of(3, None).tolist() == [0, 1, 2]


def test_the_same_draws_for_all() -> None:
    hits = np.array([[1, 0, 1, 1], [1, 0, 1, 1]], bool)
    shares, means = resampled_accuracies(hits, np.array([0, 0, 1, 1]), 2, units_of(4, None))
    assert (shares[:, 0] == shares[:, 1]).all()
    assert (means[:, 0] == means[:, 1]).all()
    assert shares.std() > 0.1

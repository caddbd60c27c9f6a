from __future__ import annotations

import numpy as np
import pytest

from video_mobile_former.evaluation.metrics.calibration import calibration, equal_mass, equal_width


def test_by_hand() -> None:
    # Two bins of equal width: 3 clips around 0.9 of which 1 is right, 1 at 0.5 that is right.
    found = calibration(np.array([0.9, 0.88, 0.92, 0.5]), np.array([True, False, False, True]))
    assert found.ece_equal_width == pytest.approx((abs(1 - 2.7) + abs(1 - 0.5)) / 4)
    # Four clips make four bins of one clip each.
    assert found.ece_equal_mass == pytest.approx((0.1 + 0.88 + 0.92 + 0.5) / 4)
    assert [bin.count for bin in found.bins] == [1, 1, 1, 1]
    assert found.bins[0].confidence == 0.5
    assert found.mean_confidence == pytest.approx(0.8)
    assert found.accuracy == 0.5


def test_bins() -> None:
    scores = np.array([0.0, 1 / 15, 0.0667, 1.0, 0.9334])
    assert equal_width(scores).tolist() == [0, 0, 1, 14, 14]
    assert np.bincount(equal_mass(np.linspace(0, 1, 32))).tolist() == [3, 3] + [2] * 13


def test_many_scores_need_few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    scores = rng.random(2000)
    right = rng.random(2000) < scores
    usual = calibration(scores, right).ece_by_chance
    monkeypatch.setattr("video_mobile_former.evaluation.metrics.calibration._MOST_DRAWN", 1)
    few = calibration(scores, right).ece_by_chance
    assert few != usual
    assert few == pytest.approx(usual, rel=0.15)


def test_right_scores_show_what_chance_shows() -> None:
    rng = np.random.default_rng(3)
    scores = rng.random(3000)
    honest = calibration(scores, rng.random(3000) < scores)
    assert honest.ece_equal_width == pytest.approx(honest.ece_by_chance, abs=0.012)
    assert calibration(scores, np.ones(3000, bool)).ece_equal_width == pytest.approx(0.5, abs=0.02)

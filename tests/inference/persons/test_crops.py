"""Crops of persons: steady, centred, of one size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from video_mobile_former.errors import UserError
from video_mobile_former.inference.persons.boxes import Boxes
from video_mobile_former.inference.persons.crops import cut_out, steady_squares


def walker(frames: int = 30, jitter: float = 0.0, track: int = 1) -> Boxes:
    """24 × 40 pixels, 2 pixels a frame to the right, 10 frames a second."""
    random = np.random.default_rng(0)
    left = 10 + 2.0 * np.arange(frames)
    corners = np.stack([left, 0 * left + 20, left + 24, 0 * left + 60], axis=1)
    corners += random.normal(0, jitter, corners.shape)
    return Boxes(np.arange(frames) / 10, corners, np.ones(frames), np.full(frames, track))


def test_the_square_follows_the_person_with_one_size() -> None:
    boxes = walker()
    times = boxes.seconds[5:25]
    squares = steady_squares(boxes, times, margin=0.25)
    assert squares[:, 0] == pytest.approx(22 + 20 * times, abs=0.1)
    assert squares[:, 1] == pytest.approx(40)
    assert squares[:, 2] == pytest.approx(60)  # 40 and a quarter on each side


def test_jitter_is_smoothed() -> None:
    boxes = walker(jitter=3.0)
    times = boxes.seconds[5:25]
    squares = steady_squares(boxes, times)
    before = (boxes.corners[5:25, 0] + boxes.corners[5:25, 2]) / 2
    path = 22 + 20 * times
    assert np.std(squares[:, 0] - path) < 0.7 * np.std(before - path)
    assert np.ptp(squares[:, 2]) == 0


def test_gaps_are_bridged() -> None:
    whole = walker()
    kept = np.r_[0:10, 20:30]
    boxes = Boxes(*(getattr(whole, n)[kept] for n in ("seconds", "corners", "scores", "tracks")))
    squares = steady_squares(boxes, np.array([1.5]))
    assert squares[0, 0] == pytest.approx(22 + 30, abs=1.5)


def test_what_is_cut_is_the_square_and_its_edge() -> None:
    frames = torch.zeros(1, 3, 40, 60, dtype=torch.uint8)
    frames[..., 10:20, 20:30] = 200
    out = cut_out(frames, np.array([[25.0, 15.0, 20.0]]), 20)
    assert out.shape == (1, 3, 20, 20)
    assert (out[0, 0, 5:15, 5:15] == 200).all()
    assert int(out[0, 0].count_nonzero()) == 100
    frames[..., :, :2] = 90  # the left edge goes on beyond the picture
    out = cut_out(frames, np.array([[0.0, 20.0, 20.0]]), 20)
    assert (out[0, 0, :, :12] == 90).all()


def test_wrong_arguments() -> None:
    with pytest.raises(UserError, match="margin"):
        steady_squares(walker(), np.zeros(1), margin=-1)
    nobody = Boxes(np.zeros(0), np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    with pytest.raises(UserError, match="without boxes"):
        steady_squares(nobody, np.zeros(1))

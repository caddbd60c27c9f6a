"""Tracks of squares whose paths are known."""

from __future__ import annotations

import numpy as np
import pytest

from video_mobile_former.errors import UserError
from video_mobile_former.inference.persons.boxes import UNTRACKED, Boxes
from video_mobile_former.inference.persons.tracking import Tracker, track_boxes

pytest.importorskip("trackforge")


def two_walkers(frames: int, hidden: range = range(0)) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes and walkers of each frame: one to the right, one down, the second hidden at times."""
    random, found = np.random.default_rng(0), []
    for f in range(frames):
        boxes = np.array([[10 + 3 * f, 20, 50 + 3 * f, 100], [250, 10 + 2 * f, 290, 90 + 2 * f]])
        who = np.array([0] if f in hidden else [0, 1])
        order = random.permutation(len(who))
        found.append((boxes[who][order] + random.normal(0, 1, (len(who), 4)), who[order]))
    return found


def test_a_person_keeps_the_number_while_hidden() -> None:
    tracker, names = Tracker(30), dict[int, set[int]]()
    for boxes, who in two_walkers(60, hidden=range(25, 40)):
        for walker, number in zip(who, tracker.update(boxes, np.full(len(who), 0.9)), strict=True):
            names.setdefault(int(walker), set()).add(int(number))
    assert sorted(map(sorted, names.values())) == [[1], [2]]


def test_an_unsure_box_continues_a_track_but_begins_none() -> None:
    tracker = Tracker(10)
    box = np.array([[10.0, 10.0, 40.0, 80.0]])
    assert tracker.update(box, np.array([0.3])).tolist() == [UNTRACKED]
    assert tracker.update(box, np.array([0.9])).tolist() == [1]
    assert tracker.update(box + 1, np.array([0.3])).tolist() == [1]
    assert tracker.update(np.zeros((0, 4)), np.zeros(0)).tolist() == []


def test_a_person_lost_for_long_is_a_new_one() -> None:
    tracker = Tracker(10)
    box, sure = np.array([[10.0, 10.0, 40.0, 80.0]]), np.array([0.9])
    assert tracker.update(box, sure).tolist() == [1]
    for _ in range(15):
        tracker.update(np.zeros((0, 4)), np.zeros(0))
    assert tracker.update(box, sure).tolist() != [1]


def test_a_list_of_boxes_is_tracked_frame_by_frame() -> None:
    times = np.arange(40) / 20
    frames = two_walkers(40, hidden=range(10, 15))
    count = [len(who) for _, who in frames]
    boxes = Boxes(
        np.repeat(times, count),
        np.concatenate([one for one, _ in frames]),
        np.full(sum(count), 0.8),
        np.full(sum(count), UNTRACKED),
    )
    found = track_boxes(boxes, times)
    walkers = np.concatenate([who for _, who in frames])
    assert len(found) == sum(count)
    assert len(set(zip(found.tracks.tolist(), walkers.tolist(), strict=True))) == 2
    assert track_boxes(found, times) is found  # tracks that are known stay


@pytest.mark.parametrize(("rate", "sure", "words"), [(0, 0.5, "rate"), (10, 1.5, "sure")])
def test_numbers_out_of_range(rate: float, sure: float, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Tracker(rate, sure=sure)

"""Windows to train on, from files with events."""

import numpy as np
import pytest
import torch

from video_mobile_former.data.index.clip import Clip, Event
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.index.windows import event_windows
from video_mobile_former.data.loading.sampling import window
from video_mobile_former.errors import DataError

EVENTS = (Event(5.0, 6.0, 0), Event(6.5, 7.0, 1), Event(20.0, 24.0, 0))
INDEX = ClipIndex(
    [Clip("/a.mp4", (0, 1), "a.mp4", events=EVENTS), Clip("/b.mp4", (), "b.mp4")],
    ("run", "sit"),
    "list",
    multi_label=True,
    intervals=True,
)


def parts(index):
    return [
        (index.class_names[clip.label], clip.start_seconds, clip.end_seconds)
        for clip in index.clips
    ]


def test_random_windows_have_their_middle_in_the_event():
    index = event_windows(INDEX, 2.0)
    assert parts(index) == [("run", 4, 7), ("sit", 5.5, 8), ("run", 19, 25)]
    assert not index.multi_label
    assert index.window_seconds == 2


def test_centred_windows_and_background_between():
    index = event_windows(INDEX, 2.0, place="centre", background="background")
    assert parts(index) == [
        ("run", 4.5, 6.5),
        ("sit", 5.75, 7.75),
        ("run", 21, 23),
        ("background", 1.5, 3.5),
        ("background", 12.5, 14.5),
        ("background", None, None),
    ]
    assert event_windows(INDEX, 2.0, background="sit").class_names == ("run", "sit")


def test_no_events_are_refused():
    with pytest.raises(DataError, match="no events"):
        event_windows(ClipIndex(INDEX.clips[1:], ("run",), "list", multi_label=True), 2.0)


def test_a_window_of_time_stamps():
    times = np.arange(100) / 10
    assert window(times, 2.0).tolist() == times[40:60].tolist()
    starts = set()
    for seed in range(50):
        found = window(times, 2.0, torch.Generator().manual_seed(seed))
        assert len(found) == 20
        starts.add(found[0])
    assert min(starts) < 1
    assert max(starts) > 7
    assert window(times, 60.0).tolist() == times.tolist()
    assert len(window(np.array([0.0, 100.0]), 0.1)) == 1

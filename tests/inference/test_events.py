"""Events from scores over time."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_mobile_former.errors import UserError
from video_mobile_former.inference.events import (
    EventDetector,
    EventSettings,
    check_thresholds,
    whole_events,
)

PLAIN = EventSettings(smoothing="none", merge_seconds=0, off=0.5)
quarters = st.integers(0, 12).map(lambda number: number / 4)


@st.composite
def streams(draw):
    """Times, scores of two classes, and settings."""
    steps = draw(st.lists(st.integers(1, 8), min_size=1, max_size=40))
    times = np.cumsum(steps) / 4
    numbers = st.integers(0, 10).map(lambda number: number / 10)
    scores = draw(st.lists(st.tuples(numbers, numbers), min_size=len(steps), max_size=len(steps)))
    on = draw(st.sampled_from([0.33, 0.52, 0.81]))
    settings = EventSettings(
        on=on,
        off=draw(st.sampled_from([0.12, 0.31, on])),
        smoothing=draw(st.sampled_from(["none", "exponential", "median"])),
        smooth_seconds=draw(quarters),
        min_seconds=draw(quarters),
        merge_seconds=draw(quarters),
        cooldown_seconds=draw(quarters),
    )
    return times, np.array(scores), settings


def found(times, scores, settings, width=0.25):
    detector = EventDetector(scores.shape[1], settings)
    events = []
    for time, row in zip(times, scores, strict=True):
        events += detector.update(time - width, time + width, row)
    return events, detector.finish()


def plainly(times, scores, settings, width=0.25):
    """The same events of a whole recording, by rules on whole arrays."""
    half, constant = settings.smooth_seconds / 2, settings.smooth_seconds
    if settings.smoothing == "median" and half:
        near = np.abs(times[:, None] - times) <= half
        scores = np.stack([np.median(scores[row], axis=0) for row in near])
    elif settings.smoothing == "exponential" and constant:
        rows = [scores[0]]
        for i in range(1, len(times)):
            keep = np.exp(-(times[i] - times[i - 1]) / constant)
            rows.append(keep * rows[-1] + (1 - keep) * scores[i])
        scores = np.stack(rows)
    edges = np.concatenate([[times[0] - width], (times[1:] + times[:-1]) / 2, [times[-1] + width]])
    kept = []
    for k in range(scores.shape[1]):
        state, runs = False, []
        for i, score in enumerate(scores[:, k]):
            was, state = (
                state,
                score >= (settings.on * settings.off_share if state else settings.on),
            )
            if state and not was:
                runs.append([i, i])
            if state:
                runs[-1][1] = i
        merged = []
        for first, last in runs:
            if merged and edges[first] - edges[merged[-1][-1][1] + 1] <= settings.merge_seconds:
                merged[-1].append((first, last))
            else:
                merged.append([(first, last)])
        rested = -np.inf
        for parts in merged:
            start, end = edges[parts[0][0]], edges[parts[-1][1] + 1]
            if end - start < settings.min_seconds or start - rested < settings.cooldown_seconds:
                continue
            rested = end
            values = np.concatenate([scores[first : last + 1, k] for first, last in parts])
            kept.append((start, k, end, values.mean()))
    return sorted(kept)


@pytest.mark.slow
@given(streams())
def test_online_equals_plain_rules_on_the_whole_recording(stream):
    events, rest = found(*stream)
    ends = whole_events(events + rest)
    rows = [(e.start_seconds, e.class_index, e.end_seconds, e.score) for e in ends]
    expected = plainly(*stream)
    assert np.array(rows).ravel().tolist() == pytest.approx(np.array(expected).ravel().tolist())


@pytest.mark.slow
@given(streams(), st.integers(0, 40))
def test_what_was_said_does_not_depend_on_what_comes_after(stream, cut):
    times, scores, settings = stream
    whole, _ = found(times, scores, settings)
    if not 0 < cut < len(times):
        return
    part, _ = found(times[:cut], scores[:cut], settings)
    assert whole[: len(part)] == part


@pytest.mark.slow
@given(streams())
def test_events_of_a_class_are_in_order_and_long_enough(stream):
    times, scores, settings = stream
    events, rest = found(times, scores, settings)
    for k in range(2):
        own = [event for event in events + rest if event.class_index == k]
        types = [event.type for event in own if event.type != "update"]
        assert types == ["start", "end"] * (len(types) // 2)
        ends = [event for event in own if event.type == "end"]
        for event in ends:
            length = event.end_seconds - event.start_seconds
            assert length > 0
            assert length >= settings.min_seconds
        for before, after in itertools.pairwise(ends):
            gap = after.start_seconds - before.end_seconds
            assert gap >= settings.cooldown_seconds
            assert gap > settings.merge_seconds


def test_a_window_stands_for_the_time_around_its_middle():
    events, rest = found(np.arange(1.0, 6), np.array([[0], [1], [1], [0], [0]]), PLAIN, width=1)
    (event,) = whole_events(events + rest)
    assert (event.start_seconds, event.end_seconds, event.score) == (1.5, 3.5, 1)
    assert rest == []


def test_what_is_open_is_closed_at_the_end_of_the_last_window():
    events, rest = found(np.arange(1.0, 4), np.array([[0], [1], [1]]), PLAIN, width=1)
    assert [event.type for event in events] == ["start", "update"]
    assert [(event.type, event.end_seconds) for event in rest] == [("update", 4.0), ("end", 4.0)]


def test_background_is_no_event_and_a_class_may_have_its_own_threshold():
    detector = EventDetector(
        3, PLAIN, class_names=("run", "background", "sit"), thresholds={"sit": (0.2, 0.1)}
    )
    events = [*detector.update(0, 1, [0.1, 0.7, 0.2]), *detector.finish()]
    assert {event.class_index for event in events} == {2}


def test_a_detector_takes_another_stream_after_the_first():
    detector = EventDetector(1, PLAIN)
    first = [*detector.update(5, 6, [0.9]), *detector.finish()]
    assert first == [*detector.update(5, 6, [0.9]), *detector.finish()]


@pytest.mark.parametrize(
    ("start", "end", "scores", "words"),
    [
        (0, 1, [0.5], "do not come after"),
        (4, 5, [float("nan")], "finite"),
        (4, 5, [0.1, 0.2], "1 finite"),
        (6, 5, [0.1], "finite"),
    ],
)
def test_wrong_input_is_refused(start, end, scores, words):
    detector = EventDetector(1)
    detector.update(2, 3, [0.1])
    with pytest.raises(UserError, match=words):
        detector.update(start, end, scores)


def test_wrong_settings_are_refused():
    with pytest.raises(UserError, match=r"off must be at most on \(0.5\)"):
        EventSettings(off=0.6)
    with pytest.raises(UserError, match="on must be"):
        EventSettings(on=1.5)
    with pytest.raises(UserError, match=r"model.json: .*'rum'.*did you mean 'run'"):
        check_thresholds({"rum": (0.5, 0.4)}, ("run", "sit"), "model.json")
    with pytest.raises(UserError, match="off <= on"):
        check_thresholds({"run": (0.5, 0.6)}, ("run", "sit"))

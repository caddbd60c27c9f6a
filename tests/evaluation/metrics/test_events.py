"""Event metrics against the protocol of ActivityNet, written out a second time."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_mobile_former.evaluation.metrics.events import (
    OVERLAPS,
    Span,
    average_precision,
    best_thresholds,
    compute_event_metrics,
    overlap_of,
    unmatched,
)


def activitynet_ap(true, found, thresholds):
    """Per eval_detection.py of ActivityNet: arrays over thresholds, a lock for each true event."""
    npos = float(len(true))
    lock = np.ones((len(thresholds), len(true))) * -1
    order = np.argsort(-np.array([p.score for p in found]), kind="stable")
    found = [found[i] for i in order]
    tp, fp = np.zeros((len(thresholds), len(found))), np.zeros((len(thresholds), len(found)))
    for number, prediction in enumerate(found):
        same = [j for j, t in enumerate(true) if t.file == prediction.file]
        if not same:
            fp[:, number] = 1
            continue
        starts = np.array([true[j].start_seconds for j in same])
        ends = np.array([true[j].end_seconds for j in same])
        inner = np.minimum(prediction.end_seconds, ends) - np.maximum(
            prediction.start_seconds, starts
        )
        inner = inner.clip(0)
        union = (ends - starts) + (prediction.end_seconds - prediction.start_seconds) - inner
        tiou = inner / union
        for t, threshold in enumerate(thresholds):
            for j in np.argsort(-tiou, kind="stable"):
                if tiou[j] < threshold:
                    fp[t, number] = 1
                    break
                if lock[t, same[j]] >= 0:
                    continue
                tp[t, number] = 1
                lock[t, same[j]] = number
                break
            if fp[t, number] == 0 and tp[t, number] == 0:
                fp[t, number] = 1
    out = np.zeros(len(thresholds))
    for t in range(len(thresholds)):
        rec = np.cumsum(tp[t]) / npos
        prec = np.cumsum(tp[t]) / (np.cumsum(tp[t]) + np.cumsum(fp[t]))
        mprec, mrec = np.hstack([[0], prec, [0]]), np.hstack([[0], rec, [1]])
        for i in range(len(mprec) - 1)[::-1]:
            mprec[i] = max(mprec[i], mprec[i + 1])
        idx = np.where(mrec[1:] != mrec[:-1])[0] + 1
        out[t] = np.sum((mrec[idx] - mrec[idx - 1]) * mprec[idx])
    return out


@st.composite
def spans(draw, label, least=0):
    count = draw(st.integers(least, 8))
    out = []
    for _ in range(count):
        start, length = draw(st.integers(0, 20)), draw(st.integers(1, 9))
        score = draw(st.integers(0, 9)) / 10
        out.append(Span(draw(st.sampled_from("xy")), label, start, start + length, score))
    return out


@pytest.mark.slow
@given(spans("a", 1), spans("a"))
def test_average_precision_is_that_of_activitynet(true, found):
    expected = activitynet_ap(true, found, OVERLAPS)
    assert [average_precision(true, found, t) for t in OVERLAPS] == pytest.approx(expected)


@pytest.mark.slow
@given(spans("a", 1), spans("b"), spans("a"), spans("b"))
def test_means_are_over_classes_with_events(true_a, true_b, found_a, found_b):
    metrics = compute_event_metrics(true_a + true_b, found_a + found_b, ("a", "b", "c"), 2)
    rows = [activitynet_ap(true_a, found_a, OVERLAPS)]
    if true_b:
        rows.append(activitynet_ap(true_b, found_b, OVERLAPS))
    mean = np.mean(rows, axis=0)
    assert list(metrics.map_by_overlap.values()) == pytest.approx(mean)
    assert metrics.mean_map == pytest.approx(mean.mean())


def test_f1_and_delay_of_a_plain_case():
    true = [Span("x", "a", 10, 20), Span("x", "a", 40, 50), Span("y", "b", 0, 4)]
    found = [
        Span("x", "a", 11.5, 20, 0.9),
        Span("x", "a", 30, 35, 0.8),
        Span("y", "b", 0.5, 4, 0.7),
        Span("y", "other", 0, 4, 0.7),
    ]
    metrics = compute_event_metrics(true, found, ("a", "b"), 2)
    assert (metrics.precision, metrics.recall) == pytest.approx((2 / 3, 2 / 3))
    assert metrics.f1 == pytest.approx(2 / 3)
    assert metrics.delay_seconds == pytest.approx(1.0)
    assert [row.delay_seconds for row in metrics.per_class] == pytest.approx([1.5, 0.5])
    assert [(row.count, row.found) for row in metrics.per_class] == [(2, 2), (1, 1)]


def test_nothing_found_is_nothing_right():
    metrics = compute_event_metrics([Span("x", "a", 0, 1)], [], ("a",), 1)
    assert (metrics.mean_map, metrics.f1, metrics.delay_seconds) == (0, 0, None)
    assert not any(itertools.chain(metrics.map_by_overlap.values()))


def test_the_best_threshold_is_the_lowest_of_the_best():
    true = [Span("x", "a", 0, 10), Span("x", "b", 0, 10)]
    good, bad = [Span("x", "a", 0, 9)], [Span("x", "a", 0, 9), Span("x", "a", 20, 30)]
    tried = {"a": [(0.1, bad), (0.5, good), (0.7, good), (0.9, [])], "c": [(0.5, [])]}
    assert best_thresholds(tried, true) == {"a": 0.5}


@pytest.mark.slow
@given(spans("a"), spans("b"), spans("a"), spans("b"))
def test_what_has_no_partner_is_missed_or_wrong(true_a, true_b, found_a, found_b):
    true, found = true_a + true_b, found_a + found_b
    missed, wrong = unmatched(true, found)
    metrics = compute_event_metrics(true, found, ("a", "b"), 2)
    hits = len(true) - len(missed)
    assert hits == len(found) - len(wrong)
    assert metrics.recall == pytest.approx(hits / max(1, len(true)))
    assert metrics.precision == pytest.approx(hits / max(1, len(found)))
    for one, other in itertools.product(missed, wrong):  # no pair was overlooked
        if (one.file, one.label) == (other.file, other.label):
            assert overlap_of(one, other) < 0.5


def test_missed_and_wrong_of_a_plain_case():
    true = [Span("x", "a", 10, 20), Span("x", "a", 40, 50), Span("y", "a", 0, 4)]
    found = [Span("x", "a", 11, 20, 0.9), Span("x", "a", 30, 35), Span("x", "other", 40, 50)]
    assert unmatched(true, found) == (true[1:], found[1:])

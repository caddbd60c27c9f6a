"""Ratios and goals of one run."""

from __future__ import annotations

import pytest
from latency_goals import (
    Goal,
    artefact_table,
    best_rows,
    efficiency_goals,
    latency_goal,
)

from made_up_rows import row


def test_the_best_row_is_of_one_thread_count_fused_and_fp32() -> None:
    rows = [
        row("b", 50.0),
        row("a", 30.0),
        row("a", 20.0, runtime="openvino", form="volume"),
        row("a", 10.0, precision="int8"),
        row("a", 9.0, fused=False),
        row("a", 8.0, threads=2),
        row("a", 7.0, batch=8),
    ]
    best = best_rows(rows, threads=1)
    assert list(best) == ["b", "a"]
    assert (best["a"]["runtime"], best["a"]["latency_ms"]) == ("openvino", 20.0)
    assert best_rows(rows, threads=2)["a"]["latency_ms"] == 8.0
    assert best_rows(rows, threads=1, batch=8)["a"]["latency_ms"] == 7.0


def test_a_goal_is_met_at_its_limit_and_not_above() -> None:
    best = best_rows([row("a", 30.0), row("b", 20.0)], threads=1)
    goal = latency_goal(best, "a", "b", 1.5)
    assert (goal.ratio, goal.met) == (pytest.approx(1.5), True)
    assert latency_goal(best, "a", "b", 1.49).met is False
    missing = latency_goal(best, "a", "c", 1.5)
    assert (missing.ratio, missing.met) == (None, None)
    assert "not measured" in missing.line()
    assert goal.line().endswith("≤ 1.50  met")
    assert Goal("a / b", 1.0, 1.2).line().endswith("1.20  ≤ 1.00  not met")


def test_time_per_multiply_accumulate_is_compared_with_the_best() -> None:
    best = best_rows([row("a", 30.0), row("b", 20.0, ms_per_gmac=10.0)], threads=1)
    goals = efficiency_goals(best, ["a", "b", "c"], 1.6)
    assert [goal.ratio for goal in goals] == [pytest.approx(3.0), pytest.approx(1.0), None]
    assert [goal.met for goal in goals] == [False, True, None]
    assert efficiency_goals({}, ["a"], 1.6)[0].ratio is None


def test_artefacts_as_markdown() -> None:
    ran = row("vmf_1g", 34.25, runtime="openvino", size_mb=13.84, max_difference=2.8e-7)
    only = {**row("vmf_1g", 1.0), "latency_ms": None, "ms_per_gmac": None, "runtime": "coreml"}
    head, rule, first, second = artefact_table([ran, only]).splitlines()
    assert head.count("|") == rule.count("|") == first.count("|") == second.count("|")
    assert first == "| vmf_1g | openvino | frames | 13.8 | 2.8e-07 | 34.2 | 34.2 |"
    assert second == "| vmf_1g | coreml | frames | – | – | not run | – |"

"""Timing in turn, with clocks that tests set."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable

import pytest

from video_mobile_former.errors import UserError
from video_mobile_former.profiling.latency import (
    Spread,
    Timing,
    clock_of,
    share_of_rounds,
    speed,
    time_in_turn,
    turns,
)


class Clocks:
    """A wall clock, and a processor clock that misses half of the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def run(self, name: str, *seconds: float) -> Callable[[], None]:
        """A contestant that takes the given times in turn."""
        number = 0

        def work() -> None:
            nonlocal number
            self.calls.append(name)
            self.now += seconds[number % len(seconds)]
            number += 1

        return work

    def wall(self) -> float:
        return self.now

    def processor(self) -> float:
        return self.now / 2


def timed(clocks: Clocks, runs: dict[str, Callable[[], None]], **options) -> dict[str, Timing]:
    return time_in_turn(runs, wall=clocks.wall, processor=clocks.processor, **options)


@pytest.mark.slow
def test_both_clocks_are_read_around_the_timed_calls_alone() -> None:
    clocks = Clocks()
    # One warm-up call, then calls off and on the clock by turns: the slow ones must not count.
    runs = {"a": clocks.run("a", 9.0, 7.0, 2.0, 7.0, 4.0, 7.0, 6.0)}
    found = timed(clocks, runs, rounds=3, min_rounds=3, warm_up=1, settle=1)
    assert found["a"].wall_seconds == pytest.approx((2.0, 4.0, 6.0))
    assert found["a"].processor_seconds == pytest.approx((1.0, 2.0, 3.0))
    assert found["a"].busy == pytest.approx(0.5)
    assert found["a"].seconds("wall") == Spread(4.0, 3.0, 5.0)


@pytest.mark.slow
def test_contestants_alternate_and_the_slow_one_sits_rounds_out() -> None:
    clocks = Clocks()
    runs = {"quick": clocks.run("quick", 0.01), "slow": clocks.run("slow", 1.0)}
    steps: list[tuple[int, int]] = []
    found = timed(
        clocks,
        runs,
        rounds=12,
        seconds=6.5,
        min_rounds=2,
        warm_up=1,
        settle=0,
        step=lambda done, total: steps.append((done, total)),
    )
    assert len(found["quick"].wall_seconds) == 12
    assert len(found["slow"].wall_seconds) == 6
    assert steps == [(i, 18) for i in range(1, 19)]
    in_turn = "".join(name[0] for name in clocks.calls[2:])
    assert in_turn == "qsqqsq" * 3
    assert gc.isenabled()


def test_turns_are_spread_evenly_and_the_order_changes() -> None:
    order = list(turns({"a": 5, "b": 5, "c": 2}, 5))
    assert Counter(order) == {"a": 5, "b": 5, "c": 2}
    assert order[:4] == ["a", "b", "b", "a"]
    assert [i for i, name in enumerate(order) if name == "c"] == [6, 11]


@pytest.mark.parametrize(
    ("cost", "expected"), [(0.0, 15), (0.1, 15), (1.0, 10), (4.0, 5), (100.0, 5)]
)
def test_share_of_rounds(cost: float, expected: int) -> None:
    assert share_of_rounds(cost, rounds=15, seconds=10.0, min_rounds=5) == expected


def test_fewest_rounds_never_exceed_the_rounds() -> None:
    assert share_of_rounds(100.0, rounds=3, seconds=1.0, min_rounds=5) == 3


@pytest.mark.slow
def test_collector_is_on_again_after_an_error() -> None:
    calls = Counter()

    def fails_on_the_clock() -> None:
        calls["n"] += 1
        if calls["n"] > 2:
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        time_in_turn({"a": fails_on_the_clock}, rounds=3, warm_up=2)
    assert gc.isenabled()


@pytest.mark.parametrize(
    "options", [{"rounds": 2}, {"min_rounds": 0}, {"warm_up": 0}, {"settle": -1}, {"seconds": -1}]
)
def test_numbers_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="at least"):
        time_in_turn({"a": lambda: None}, **options)  # pyright: ignore[reportArgumentType]


def test_one_thread_is_told_by_processor_time_and_several_by_the_wall() -> None:
    timing = Timing((0.2, 0.4, 0.3), (0.1, 0.2, 0.15))
    one = speed(timing, num_threads=1, batch=2, macs=500_000_000)
    assert one["latency_ms"] == pytest.approx(150.0)
    assert one["latency_ms_quartiles"] == pytest.approx([125.0, 175.0])
    assert (one["clock"], one["rounds"]) == ("processor", 3)
    assert (one["wall_ms"], one["processor_ms"]) == pytest.approx((300.0, 150.0))
    assert one["ms_per_clip"] == pytest.approx(75.0)
    assert one["clips_per_second"] == pytest.approx(13.333)
    assert one["ms_per_gmac"] == pytest.approx(150.0)
    two = speed(timing, num_threads=2)
    assert two["latency_ms"] == pytest.approx(300.0)
    assert two["clock"] == clock_of(2) == "wall"
    assert two["ms_per_gmac"] is None


def test_one_measurement_has_no_spread() -> None:
    assert Spread.of((2.0,)) == Spread(2.0, 2.0, 2.0)

"""Times of live sources, whatever their time stamps are."""

from __future__ import annotations

import pytest

from video_mobile_former.data.video.live.clock import FileClock, LiveClock


class Now:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 500.0

    def __call__(self) -> float:
        return self.seconds


def read(clock: LiveClock, now: Now, at: float, stamp: float | None) -> tuple[float, bool] | None:
    now.seconds = 500.0 + at
    found = clock.read(stamp)
    return None if found is None else (round(found.seconds, 6), found.restart)


def test_time_stamps_are_followed_whatever_the_network_does() -> None:
    now = Now()
    clock = LiveClock(now)
    clock.connected()
    arrivals = [(0.0, 90.0), (0.3, 90.1), (0.31, 90.2), (0.32, 90.3)]
    found = [read(clock, now, at, stamp) for at, stamp in arrivals]
    assert found == [(0.0, True), (0.1, False), (0.2, False), (0.3, False)]


def test_lag_grows_with_what_waits_on_the_way() -> None:
    now = Now()
    clock = LiveClock(now)
    clock.connected()
    read(clock, now, 0.0, 7.0)
    read(clock, now, 0.5, 7.5)
    assert clock.lag(0.5) == 0
    read(clock, now, 3.0, 8.0)  # two seconds late
    assert clock.lag(1.0) == pytest.approx(2.0, abs=1e-3)
    now.seconds += 1
    assert clock.lag(1.0) == pytest.approx(3.0, abs=1e-3)


def test_pictures_without_stamps_have_the_time_of_arrival() -> None:
    now = Now()
    clock = LiveClock(now)
    clock.connected()
    found = [read(clock, now, at, None) for at in (0.0, 0.2, 0.2, 1.0)]
    assert found == [(0.0, True), (0.2, False), (0.201, False), (1.0, False)]


def test_after_an_outage_time_has_gone_on() -> None:
    now = Now()
    clock = LiveClock(now)
    clock.connected()
    read(clock, now, 0.0, 100.0)
    read(clock, now, 1.0, 101.0)
    clock.connected()
    assert read(clock, now, 60.0, 3.0) == (60.0, True)
    assert read(clock, now, 60.5, 3.5) == (60.5, False)


@pytest.mark.parametrize("jump", [-1000.0, 1000.0])
def test_a_jump_of_stamps_is_a_new_clock(jump: float) -> None:
    now = Now()
    clock = LiveClock(now)
    clock.connected()
    read(clock, now, 0.0, 2000.0)
    assert read(clock, now, 0.1, 2000.1 + jump) == (0.1, True)
    assert read(clock, now, 0.2, 2000.2 + jump) == (0.2, False)


def test_a_long_pause_that_was_waited_for_is_no_jump() -> None:
    now = Now()
    clock = LiveClock(now)
    clock.connected()
    read(clock, now, 0.0, 0.0)
    assert read(clock, now, 30.0, 30.0) == (30.0, False)


def test_stamps_that_stand_still_are_given_up() -> None:
    now = Now()
    clock = LiveClock(now)
    clock.connected()
    found = [read(clock, now, i / 10, 5.0) for i in range(40)]
    assert found[0] == (0.0, True)
    assert found[1:26] == [None] * 25
    assert found[26:] == [(pytest.approx(i / 10), False) for i in range(26, 40)]


def test_a_file_begins_at_nought_and_goes_on_where_stamps_fail() -> None:
    clock = FileClock(origin=1.4, step=0.1)
    stamps = [1.4, 1.5, None, 1.7, 900.0, 900.1, 5.0]
    found = [clock.read(stamp) for stamp in stamps]
    assert [round(f.seconds, 6) for f in found if f] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert [f.restart for f in found if f] == [True] + [False] * 6

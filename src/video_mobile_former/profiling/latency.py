"""Latency of several callables, measured so that they can be compared.

The speed of a shared machine varies, so contestants run in turn, round by round, and load falls on
all alike; the figure is the median over rounds, its quartiles show the spread. Two clocks are read.
Wall-clock time is what a user waits. Processor time of the process excludes waiting for other
programs, so it is reported for one thread; with several threads it is the sum over threads, so
wall-clock time is reported. Both still grow when another program takes memory bandwidth and cache.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import UserError

Clock = Literal["processor", "wall"]
ReadClock = Callable[[], float]

MIN_ROUNDS = 3
"""Fewest rounds that give a spread."""


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of repeated measurements."""

    median: float
    lower: float
    """First quartile."""
    upper: float
    """Third quartile."""

    @classmethod
    def of(cls, values: tuple[float, ...]) -> Spread:
        """Summarise at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, lower, upper)

    def times(self, factor: float) -> Spread:
        """The same in another unit; ``factor`` is positive."""
        return Spread(self.median * factor, self.lower * factor, self.upper * factor)


@dataclass(frozen=True)
class Timing:
    """Seconds of each timed call of one contestant, on both clocks."""

    wall_seconds: tuple[float, ...]
    processor_seconds: tuple[float, ...]

    def seconds(self, clock: Clock) -> Spread:
        """Spread over the rounds on one clock."""
        return Spread.of(self.wall_seconds if clock == "wall" else self.processor_seconds)

    @property
    def busy(self) -> float:
        """Processor time over wall-clock time; with one thread well below 1 on a busy machine."""
        return sum(self.processor_seconds) / max(sum(self.wall_seconds), 1e-12)


def clock_of(num_threads: int) -> Clock:
    """The clock to report: processor time for one thread, wall-clock time for several."""
    return "processor" if num_threads == 1 else "wall"


def time_in_turn(
    runs: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 15,
    seconds: float = 10.0,
    min_rounds: int = 5,
    warm_up: int = 2,
    settle: int = 1,
    wall: ReadClock = time.perf_counter,
    processor: ReadClock = time.process_time,
    step: Callable[[int, int], None] | None = None,
) -> dict[str, Timing]:
    """Time callables in turn.

    A round times one call of each; the order alternates. Contestants too slow for all rounds
    within their share of time skip some, evenly spread, so that they meet the same load as the
    fast ones.

    Args:
        runs: Contestants by name. A callable returns when its work is done; one that uses another
            device waits for it.
        rounds: Most measurements of each, at least 3.
        seconds: Time each contestant may take for all its rounds; ``min_rounds`` come first.
        min_rounds: Fewest measurements of each, however slow, at least 1.
        warm_up: Calls before the first round, at least 1: allocations, choice of kernels, clocks
            of the processor. The last one estimates how slow a contestant is.
        settle: Untimed calls before each timed one, so that a contestant finds its own weights in
            the cache, as in use, and idle threads of the previous runtime have gone to sleep.
        wall: Wall clock in seconds.
        processor: Clock of this process's processor time in seconds.
        step: Called after each timed call with the calls done and the total.

    Returns:
        A :class:`Timing` for each name, in the order of ``runs``.

    Raises:
        UserError: If a number is out of range.
    """
    if rounds < MIN_ROUNDS:
        raise UserError(f"rounds must be at least {MIN_ROUNDS}, not {rounds}")
    if min_rounds < 1 or warm_up < 1 or settle < 0 or seconds < 0:
        raise UserError("min_rounds and warm_up must be at least 1, settle and seconds at least 0")
    costs = {name: _warm_up(run, warm_up, wall) for name, run in runs.items()}
    shares = {
        name: share_of_rounds(cost * (1 + settle), rounds, seconds, min_rounds)
        for name, cost in costs.items()
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    # Garbage collection would be charged to whichever contestant allocates next.
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for number, name in enumerate(turns(shares, rounds), start=1):
            run = runs[name]
            for _ in range(settle):
                run()
            at, used = wall(), processor()
            run()
            found[name].append((wall() - at, processor() - used))
            if step is not None:
                step(number, sum(shares.values()))
    finally:
        if collecting:
            gc.enable()
    return {
        name: Timing(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))
        for name, pairs in found.items()
    }


def share_of_rounds(cost: float, rounds: int, seconds: float, min_rounds: int) -> int:
    """Rounds for a contestant whose turn takes ``cost`` seconds."""
    affordable = int(seconds / cost) if cost > 0 else rounds
    return min(rounds, max(affordable, min_rounds))


def turns(shares: Mapping[str, int], rounds: int) -> Iterator[str]:
    """Names in the order of their turns, each as often as its share, evenly over the rounds."""
    for number in range(rounds):
        present = [
            name
            for name, share in shares.items()
            if (number + 1) * share // rounds > number * share // rounds
        ]
        yield from present if number % 2 == 0 else reversed(present)


def speed(
    timing: Timing, *, num_threads: int, batch: int = 1, macs: int | None = None
) -> dict[str, Any]:
    """Latency figures of a model, as plain data for a table or JSON.

    Args:
        timing: Of calls on ``batch`` clips.
        num_threads: Threads of the runtime; decides which clock is reported.
        batch: Clips per call.
        macs: Multiply-accumulates per clip, where known.

    Returns:
        ``latency_ms`` (median of a call by ``clock``), ``latency_ms_quartiles``, ``clock``, both
        clocks' medians, ``rounds``, ``ms_per_clip``, ``clips_per_second``, ``ms_per_gmac``.
    """
    clock = clock_of(num_threads)
    call = timing.seconds(clock).times(1e3)
    per_clip = call.median / batch
    return {
        "latency_ms": round(call.median, 4),
        "latency_ms_quartiles": [round(call.lower, 4), round(call.upper, 4)],
        "clock": clock,
        "wall_ms": round(timing.seconds("wall").median * 1e3, 4),
        "processor_ms": round(timing.seconds("processor").median * 1e3, 4),
        "rounds": len(timing.wall_seconds),
        "ms_per_clip": round(per_clip, 4),
        "clips_per_second": round(1e3 / per_clip, 3) if per_clip > 0 else None,
        "macs": macs,
        "ms_per_gmac": round(per_clip / (macs / 1e9), 4) if macs else None,
    }


def _warm_up(run: Callable[[], object], calls: int, wall: ReadClock) -> float:
    for _ in range(calls - 1):
        run()
    start = wall()
    run()
    return wall() - start

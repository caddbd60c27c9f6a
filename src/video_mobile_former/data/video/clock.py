"""When pictures appear, where the time stamps of a file cannot be taken as they are.

Known times are kept; what is missing, double or contradicts the order of the pictures is mended.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

_LARGEST_REORDER = 16
"""Pictures by which a codec may store one before its place; what is further off is an error."""
_GAP_SECONDS = 10.0
"""Longest step that is believed where clocks may start anew; as the ffmpeg command has it."""


def jumps(dts: np.ndarray, seconds_per_tick: float) -> np.ndarray:
    """Follow a clock that jumps, as it does where transport streams are joined.

    A step back, and a step of more than 10 s, is taken for a new clock that goes on where the one
    before ended, as the ffmpeg command does.

    Args:
        dts: ``(P,)`` ticks at which packets are decoded, in the order of the file.
        seconds_per_tick: Of the stream.

    Returns:
        ``(P,)`` int64, to be added to the time stamps of each packet; all 0 without a jump.
    """
    offsets = np.zeros(len(dts), np.int64)
    steps = np.diff(dts)
    forward = steps[steps > 0]
    if not len(forward):
        return offsets
    usual = max(1, round(float(np.median(forward))))
    wrong = (steps < -usual // 2) | (np.abs(steps) * seconds_per_tick > _GAP_SECONDS)
    offsets[1:] = np.cumsum(np.where(wrong, usual - steps, 0))
    return offsets


def mended(
    pts: Sequence[int | None], dts: Sequence[int | None], step: float | None
) -> tuple[np.ndarray, int]:
    """Times of pictures that stand in the order in which they are shown.

    Args:
        pts: ``(N,)`` ticks of presentation that the decoder gives, None where it knows none.
        dts: ``(N,)`` ticks of decoding, which serve where fewer of them are wrong.
        step: Ticks from picture to picture by the nominal rate; None where that is unknown.

    Returns:
        ``(N,)`` float64 ticks, strictly increasing, and how many of them had to be made up.
    """
    series = min((pts, dts), key=_faults)
    known = np.array([i for i, value in enumerate(series) if value is not None], dtype=np.int64)
    values = np.array([value for value in series if value is not None], dtype=np.float64)
    if len(values) and (np.diff(values) < 0).any():
        places = np.argsort(values, kind="stable")
        if np.abs(places - np.arange(len(values))).max() <= _LARGEST_REORDER:
            values = values[places]  # each picture was given the time of another one near it
        else:
            kept = _longest_rise(values)
            known, values = known[kept], values[kept]
    first = np.concatenate([[True], np.diff(values) > 0]) if len(values) else np.zeros(0, bool)
    doubles = known[~first]
    known, values = known[first], values[first]
    steps = np.diff(values) / np.diff(known)
    usual = float(np.median(steps)) if len(steps) else step or 1.0
    count = len(series)
    if not len(values):
        return np.arange(count) * usual, count
    times = np.interp(np.arange(count), known, values)
    # A double before a pause belongs to what was before it, not into the middle of the pause.
    owner = np.searchsorted(known, doubles, side="right") - 1
    times[doubles] = np.minimum(times[doubles], values[owner] + (doubles - known[owner]) * usual)
    before, after = np.arange(known[0]), np.arange(known[-1] + 1, count)
    times[before] = values[0] - (known[0] - before) * usual
    times[after] = values[-1] + (after - known[-1]) * usual
    return times, count - len(values)


def _faults(series: Sequence[int | None]) -> int:
    """Times that are missing, or not after the one before."""
    faults, last = 0, None
    for value in series:
        if value is None or (last is not None and value <= last):
            faults += 1
        if value is not None:
            last = value
    return faults


def _longest_rise(values: np.ndarray) -> np.ndarray:
    """Positions of the longest part of a series that never falls."""
    tails: list[float] = []
    ends: list[int] = []
    before = np.full(len(values), -1)
    for i, value in enumerate(values.tolist()):
        place = bisect_right(tails, value)
        before[i] = ends[place - 1] if place else -1
        tails[place : place + 1], ends[place : place + 1] = [value], [i]
    chain = [ends[-1]]
    while before[chain[-1]] >= 0:
        chain.append(int(before[chain[-1]]))
    return np.array(chain[::-1], dtype=np.int64)

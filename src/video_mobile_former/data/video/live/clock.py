"""Times of a live source, whatever its time stamps are, and how late its pictures are."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

_JUMP_SECONDS = 10.0
"""A step of time stamps that is so much longer than the wait for it is a new clock."""
_STUCK = 25
"""Pictures in a row whose time stamp does not rise, after which time stamps are not used."""
_DRIFT = 1e-4
"""By how much the clock of a camera may go slow: what looks like lag, but is not."""


class Reading(NamedTuple):
    """What the clock says of one picture."""

    seconds: float
    """Since the first picture of the source, outages included."""
    restart: bool
    """It does not follow on the one before."""


class LiveClock:
    """Time of the pictures of one source over all its connections.

    Within a connection, time stamps are followed; where a source begins anew, where its stamps
    jump or where it has none, the time of arrival counts.

    Args:
        now: Seconds of a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float]):
        self._now = now
        self._first: float | None = None
        self._last = -1.0
        self._last_arrival = 0.0
        self._stuck = 0
        self._least: float | None = None
        self.use_stamps = True
        self._anchor: tuple[float, float] | None = None
        self._is_new = True

    def connected(self, *, use_stamps: bool = True) -> None:
        """A connection begins; the next picture follows on nothing."""
        self.use_stamps, self._anchor, self._stuck, self._least = use_stamps, None, 0, None
        self._is_new = True

    def read(self, stamp: float | None) -> Reading | None:
        """The time of a picture that has arrived now.

        Args:
            stamp: Its time stamp in seconds, from any start; None where it has none.

        Returns:
            None for a picture whose time stamp does not rise.
        """
        arrival = self._now()
        if self._first is None:
            self._first = arrival
        since = arrival - self._first
        stamp = stamp if self.use_stamps else None
        if stamp is not None and self._anchor is not None:
            seconds = self._anchor[0] + stamp - self._anchor[1]
            waited = arrival - self._last_arrival
            if seconds <= self._last and self._last - seconds < _JUMP_SECONDS:
                self._stuck += 1
                self.use_stamps = self._stuck < _STUCK
                return None
            if not 0 < seconds - self._last < waited + _JUMP_SECONDS:
                self._anchor, self._is_new = None, True
        self._stuck = 0
        # Of two pictures that arrive at once, the second is shown a moment later.
        anchored = max(since, self._last + 1e-3)
        if stamp is None:
            seconds = anchored
        else:
            if self._anchor is None:
                self._anchor, self._least = (anchored, stamp), None
            seconds = self._anchor[0] + stamp - self._anchor[1]
        delay = since - seconds
        passed = arrival - self._last_arrival
        self._least = delay if self._least is None else min(delay, self._least + _DRIFT * passed)
        restart, self._is_new = self._is_new, False
        self._last, self._last_arrival = seconds, arrival
        return Reading(seconds, restart)

    def lag(self, seconds: float) -> float:
        """How late a picture of that time is now, against the earliest of its connection.

        What every picture takes on its way, in the camera and on the network, is not in it.
        """
        if self._first is None or self._least is None:
            return 0.0
        return max(0.0, self._now() - self._first - seconds - self._least)

    def due(self, seconds: float) -> float:
        """How long until a picture of that time is to be shown, if its source plays as it began."""
        return 0.0 if self._first is None else seconds - (self._now() - self._first)


class FileClock:
    """Time of the pictures of a file since its begin.

    Args:
        origin: Time stamp in seconds at which a player's clock shows 0.
        step: Seconds from picture to picture by the nominal rate.
    """

    def __init__(self, origin: float, step: float):
        self._origin, self._step = origin, step
        self._last = -step

    def read(self, stamp: float | None) -> Reading | None:
        """The time of the next picture; where stamps are missing or jump, the clock goes on."""
        seconds = self._last + self._step if stamp is None else stamp - self._origin
        first = self._last < 0
        if not first and not 0 < seconds - self._last < _JUMP_SECONDS:
            self._origin += seconds - self._last - self._step
            seconds = self._last + self._step
        self._last = seconds
        return Reading(seconds, first)

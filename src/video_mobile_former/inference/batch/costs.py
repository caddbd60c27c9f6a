"""How far a batch run is, how long it still takes and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from .rows import EncodedRow


@dataclass(frozen=True)
class Costs:
    """What was done up to some moment, and what all of it comes to at that rate."""

    files: int
    """Done in this run."""
    of_files: int
    """To be done in this run."""
    video_hours: float
    """Length of the videos that are done."""
    elapsed_seconds: float
    core_hours: float
    """Cores held times hours."""
    total_video_hours: float
    total_core_hours: float
    seconds_left: float
    dollars: float | None = None
    total_dollars: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }

    def line(self) -> str:
        """One line for people."""
        text = (
            f"after {duration(self.elapsed_seconds)}: {self.files:,} of {self.of_files:,} files, "
            f"{hours(self.video_hours)} of video; all {hours(self.total_video_hours)} of it will "
            f"take {amount(self.total_core_hours)} core-hours"
        )
        if self.total_dollars is not None:
            text += f", ${amount(self.total_dollars)}"
        return f"{text}; {duration(self.seconds_left)} left"


class Meter:
    """Counts rows as they come.

    Args:
        of_files: Videos to be done.
        cores: That the run holds.
        dollars_per_core_hour: Price of a core; None states none.
        clock: Seconds; a function for tests.
    """

    def __init__(
        self,
        of_files: int,
        cores: float,
        dollars_per_core_hour: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.of_files, self.cores, self.price = of_files, cores, dollars_per_core_hour
        self.files = self.failed = 0
        self.video_seconds = 0.0
        self._clock = clock
        self._begin = clock()
        self._first: tuple[float, int] | None = None
        """When the first rows came, by the clock, and how many: before that, workers started."""

    def add(self, rows: list[EncodedRow]) -> None:
        """Count rows."""
        self.files += len(rows)
        self.failed += sum(row.failed for row in rows)
        self.video_seconds += sum(row.duration_seconds for row in rows)
        if self._first is None:
            self._first = (self._clock(), self.files)

    @property
    def elapsed_seconds(self) -> float:
        """Since the meter was made."""
        return self._clock() - self._begin

    @property
    def working_seconds(self) -> float:
        """Since the first rows came."""
        return 0.0 if self._first is None else self._clock() - self._first[0]

    def costs(self) -> Costs:
        """What it comes to at the rate since the first rows came."""
        elapsed = self.elapsed_seconds
        left = max(0.0, self._seconds_a_file() * (self.of_files - self.files))
        core_hours = self.cores * elapsed / 3600
        total_core_hours = self.cores * (elapsed + left) / 3600
        video_hours = self.video_seconds / 3600
        price = self.price
        return Costs(
            files=self.files,
            of_files=self.of_files,
            video_hours=video_hours,
            elapsed_seconds=elapsed,
            core_hours=core_hours,
            total_video_hours=video_hours * self.of_files / self.files if self.files else 0.0,
            total_core_hours=total_core_hours,
            seconds_left=left,
            dollars=None if price is None else core_hours * price,
            total_dollars=None if price is None else total_core_hours * price,
        )

    def _seconds_a_file(self) -> float:
        if self._first is None:
            return 0.0
        since = self.files - self._first[1]
        return self.working_seconds / since if since else self.elapsed_seconds / self.files


def duration(seconds: float) -> str:
    """Seconds in the unit that people would take."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def hours(value: float) -> str:
    """Hours of video with their unit."""
    return f"{amount(value)} h"


def amount(value: float) -> str:
    """A number to three digits, whole from a hundred on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

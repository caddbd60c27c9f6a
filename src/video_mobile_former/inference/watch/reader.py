"""A thread that reads one source, so that neither a slow model nor a silent source holds it up."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, Protocol

import numpy as np

from ...data.video.live import LiveFrame, LiveSource
from ...errors import UserError
from ..stream import Picture, Slot
from .saved_video import SHORT_SIDES, SavedVideo

_MOST_WAITING = 64
"""Slots of a source that waits for the model."""


class Chooser(Protocol):
    """Picks the frames that the model sees; of each person by itself, where persons are followed.

    See :class:`~..stream.FrameChooser` and :class:`~..persons.follow.PersonChooser`.
    """

    def __call__(
        self, seconds: float, picture: np.ndarray | Picture, *, restart: bool = False
    ) -> list[Slot]:
        """The slots that are known now."""
        ...


class Arrival(NamedTuple):
    """Slots of the model's clock, and when their pictures came."""

    slots: list[Slot]
    seconds: float
    """Time of the picture that brought them."""
    arrived: float
    """Seconds of :func:`time.time`."""
    came: float
    """Seconds of :func:`time.monotonic`."""
    lag_seconds: float
    """How late it came from the decoder."""
    part: str
    """Of a watched folder, the name of the file."""


class SourceReader:
    """Reads a source, chooses frames and keeps them until they are taken.

    Of a live source at most ``keep_seconds`` are kept: the newest win, and what is passed over is
    counted. Other sources wait.

    Args:
        source: Opened or not.
        choose: Picks the frames that the model sees.
        keep_seconds: Length of the queue.
        wake: Called when there is something new.
        saved: Where all pictures go as well.
    """

    def __init__(
        self,
        source: LiveSource,
        choose: Chooser,
        *,
        keep_seconds: float,
        wake: Callable[[], None],
        saved: SavedVideo | None = None,
    ):
        self.source, self.saved = source, saved
        self.passed_over = 0
        """Frames for the model that were given up, as newer ones were there."""
        self.error: str | None = None
        """Why it was given up."""
        self.seen_seconds = 0.0
        """Time of the last picture."""
        self.rate = 0.0
        """Pictures per second of the last seconds."""
        self._choose, self._keep, self._wake = choose, keep_seconds, wake
        self._queue: deque[Arrival] = deque()
        self._gap = False
        self._change = threading.Condition()
        self._recent: deque[float] = deque(maxlen=60)
        self._thread = threading.Thread(
            target=self._run, name=f"read {source.address.name}", daemon=True
        )

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def take(self) -> list[Arrival]:
        """All that is kept, oldest first."""
        with self._change:
            found = list(self._queue)
            self._queue.clear()
            self._change.notify_all()
        now = time.monotonic()
        recent = [came for came in list(self._recent) if came > now - 5]
        self.rate = (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 2 else 0.0
        return found

    @property
    def is_waiting(self) -> bool:
        """Whether something is kept."""
        return bool(self._queue)

    @property
    def is_done(self) -> bool:
        """Whether nothing more will come."""
        return not self._thread.is_alive() and not self._queue

    def close(self, seconds: float = 1.0) -> None:
        """End the source; waits for its thread for so long."""
        self.source.close()
        with self._change:
            self._change.notify_all()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            for picture in self.source.pictures():
                self._recent.append(time.monotonic())
                self.seen_seconds = picture.seconds
                self._save(picture)
                slots = self._choose(picture.seconds, picture, restart=picture.restart)
                if slots:
                    self._put(picture, slots)
        except UserError as error:
            self.error = str(error)
        finally:
            self._wake()

    def _put(self, picture: LiveFrame, slots: list[Slot]) -> None:
        now = time.monotonic()
        arrival = Arrival(
            list(slots), picture.seconds, picture.arrived, now, picture.lag_seconds, picture.part
        )
        with self._change:
            if self.source.is_live:
                ended: list[Slot] = []
                while self._queue and self._queue[0].came < now - self._keep:
                    lost = self._queue.popleft().slots
                    ended += [slot for slot in lost if slot.is_last]
                    self.passed_over += sum(not slot.is_last for slot in lost)
                    self._gap = True
                if self._gap:
                    self._mark_gap()
                # That somebody is gone has to be known.
                (self._queue[0] if self._queue else arrival).slots[:0] = ended
            else:
                stop = self.source.stop
                self._change.wait_for(
                    lambda: sum(len(a.slots) for a in self._queue) < _MOST_WAITING or stop.is_set()
                )
            self._queue.append(arrival)
        self._wake()

    def _mark_gap(self) -> None:
        """Frames on both sides of a gap make no window together."""
        seen: set[int | None] = set()
        for arrival in self._queue:
            for place, slot in enumerate(arrival.slots):
                if slot.track not in seen and not slot.is_last:
                    seen.add(slot.track)
                    arrival.slots[place] = slot._replace(restart=True)
                    self._gap = False

    def _save(self, picture: LiveFrame) -> None:
        if self.saved is None or not self.saved.wants(picture.seconds):
            return
        least, most = SHORT_SIDES
        short = min(most, max(least, min(picture.size)))
        self.saved.add(picture.seconds, picture.rgb(short), clock_of(picture, self.source.is_live))


def clock_of(picture: LiveFrame, is_live: bool) -> str:
    """The time of a picture as people read it: of day for a live source, else of its file."""
    if is_live:
        return datetime.fromtimestamp(picture.arrived).strftime("%Y-%m-%d %H:%M:%S")
    minutes, seconds = divmod(picture.seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{seconds:04.1f}"

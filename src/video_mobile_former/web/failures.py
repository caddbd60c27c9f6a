"""What can go wrong between the parts of a service; no library of the web is needed to say it."""

from __future__ import annotations


class WorkerDiedError(Exception):
    """A worker ended in the middle of its work; the text says how.

    Args:
        text: In words.
        timed_out: It was ended, as its time was over.
    """

    def __init__(self, text: str, *, timed_out: bool = False):
        super().__init__(text)
        self.timed_out = timed_out


class CancelledError(Exception):
    """The caller no longer wants the answer."""


class StoppedError(Exception):
    """The service has ended or is about to."""


class GoneError(Exception):
    """The caller hung up."""

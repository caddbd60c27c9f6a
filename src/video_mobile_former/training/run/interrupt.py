"""Ctrl-C, SIGTERM and SIGUSR1 as a wish that the training loop sees at its next safe moment."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
"""SIGUSR1, which Windows lacks, commonly tells a job of SLURM that its time is nearly up."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was stopped by a signal; its state is saved and one line was said.

    A ``KeyboardInterrupt``, so that the command line ends with status 130 as for any Ctrl-C.
    """


class StopTraining(BaseException):
    """Unwinds Lightning's trainer after the state was saved.

    Not an ``Exception``, which a data loader might swallow, and not a ``KeyboardInterrupt``,
    which Lightning turns into exit status 1.
    """


class StopRequest:
    """While active, the first of the signals sets :attr:`requested`; the next one interrupts.

    Outside the main thread, where Python forbids signal handlers, it never asks for a stop.
    """

    def __init__(self) -> None:
        self.requested = False
        self._owner = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.getsignal(s) for s in _SIGNALS}
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def ask(self) -> None:
        """Ask for a stop, as the first signal does."""
        self.requested = True

    def listen(self) -> None:
        """Take the signals over, again if another library took them meanwhile."""
        for number in self._before:
            signal.signal(number, self._handle)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._owner:
            # A forked process inherited this handler. A terminal sends Ctrl-C to it too: it goes on
            # until the trainer, having saved, ends it. SIGTERM is meant for it alone.
            if number == signal.SIGTERM:
                os._exit(128 + number)
            return
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

"""What a script may do at the moments of a training run: ``fit(recipe, callbacks=[…])``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...errors import UserError
from ..recipe.fields import Recipe

Outcome = Literal["finished", "stopped", "failed"]


class CallbackError(UserError):
    """A callback raised something; its own error is the cause of this one."""


@dataclass(frozen=True)
class Moment:
    """Where a run is when a callback is called."""

    recipe: Recipe
    """What the run does."""
    out: Path
    """The folder of the run."""
    epoch: int
    """Epochs that are over."""
    step: int
    """Optimiser steps taken, over all starts."""
    lr: float
    """Learning rate of the last step; nan before the first of this start."""
    measured: Mapping[str, Any] | None
    """What validation said last (``top1``, ``loss``, ``epoch``, …); None before it has."""
    best: Mapping[str, Any] | None
    """The same of the best checkpoint."""
    model: Any
    """The network in training; leave its mode and weights as they are."""
    result: Any
    """The network that is validated and saved: the running average, if there is one."""
    stop: Callable[[], None]
    """Ask the run to save its state and stop, as Ctrl-C does; :func:`fit` then raises
    ``TrainingInterrupted``."""


class Callback:
    """Methods that :func:`fit` calls; all do nothing here, a subclass has those it wants.

    They are called in the first process only, in the order of the list, and training waits for
    them. Whatever is random in a batch is seeded anew by the place in the run, so random numbers
    that a callback takes change nothing. An exception ends the run with a :class:`CallbackError`
    that names callback, method and step; a ``UserError`` passes as it is.
    """

    def on_begin(self, moment: Moment) -> None:
        """Before the first batch of this start; ``moment.step`` is above 0 of a resumed run."""

    def on_step(self, moment: Moment) -> None:
        """After each optimiser step."""

    def on_log(self, moment: Moment, row: str, values: Mapping[str, Any]) -> None:
        """After a row of the logs, ``"step"``, ``"train"`` or ``"val"``, with its numbers."""

    def on_epoch(self, moment: Moment) -> None:
        """After an epoch, when it is validated and checkpoints and state are on the disk."""

    def on_end(self, moment: Moment, outcome: Outcome) -> None:
        """At the end of this start: ``"finished"``, ``"stopped"`` to go on later, or ``"failed"``.

        ``training.html`` is written later.
        """


class Callbacks:
    """Calls those of a run, in order.

    Args:
        callbacks: Of the caller; empty in all processes but the first.
        moment: Gives where the run is.
    """

    def __init__(self, callbacks: Sequence[Callback], moment: Callable[[], Moment]):
        self._callbacks, self._moment = callbacks, moment

    def call(self, name: str, *values: Any) -> None:
        """Call the method ``name`` of each.

        Raises:
            CallbackError: If one raises anything but a ``UserError``.
        """
        if not self._callbacks:
            return
        moment = self._moment()
        for callback in self._callbacks:
            try:
                getattr(callback, name)(moment, *values)
            except UserError:
                raise
            except Exception as error:
                raise CallbackError(
                    f"callback {type(callback).__name__}.{name} (epoch {moment.epoch}, step "
                    f"{moment.step}): {type(error).__name__}: {error}; the state saved last is "
                    "unchanged"
                ) from error


def check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Refuse what is no callback, before anything is written.

    Raises:
        UserError: It names the type.
    """
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise UserError(
                f"callbacks must be instances of video_mobile_former.Callback, not "
                f"{callback if isinstance(callback, type) else type(callback).__name__}"
            )

"""Running one function in a fresh process.

Thread counts are process-wide in every runtime, and a process never fully releases the memory of a
model, so each measurement gets its own process.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from ..errors import UserError

T = TypeVar("T")


def in_child(function: Callable[..., T], *args: Any, what: str) -> T:
    """Call ``function(*args)`` in a fresh process and return what it returns.

    Args:
        function: A function of a module, not a lambda: the process imports it by name.
        args: Plain data or other objects that can be pickled.
        what: Names the work in an error, such as ``"timing with 2 threads"``.

    Raises:
        UserError: If the function raised one, or the process died (out of memory, a crash of a
            runtime); the message starts with ``what``.
        RuntimeError: If the function raised anything else; with its traceback.
    """
    # Not a fork: it would copy the locks of this process's threads in an arbitrary state.
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(sending, function, args), daemon=True)
    process.start()
    sending.close()  # so that the end of the process is the end of the pipe
    try:
        outcome = receiving.recv()
        process.join(timeout=10)
    except EOFError:
        process.join()
        raise UserError(f"{what}: {_death(process.exitcode)}") from None
    finally:
        receiving.close()
        if process.is_alive():  # interrupted, or a runtime that does not end its threads
            process.kill()
            process.join()
    kind, value = outcome
    if kind == "result":
        return value
    if kind == "user":
        raise UserError(value)
    raise RuntimeError(f"{what} failed:\n{value}")


def _call(sending: Connection, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    # Ctrl-C reaches all processes of a terminal; the main one reports it and ends this one.
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        outcome = ("result", function(*args))
    except UserError as error:
        outcome = ("user", str(error))
    except Exception:  # noqa: BLE001 - reported in full by the main process
        import traceback

        outcome = ("error", traceback.format_exc())
    sending.send(outcome)
    sending.close()


def _end_with(parent: Any) -> None:
    """Exit when the main process ends, even if it was killed."""
    parent.join()
    os._exit(1)


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-exitcode).name
            hint = ", most likely out of memory" if name == "SIGKILL" else ""
            return f"the process was ended by {name}{hint}"
    return f"the process ended with status {exitcode}"

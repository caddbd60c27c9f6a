"""Messages and progress bars of a running command, all on stderr.

stdout is for results only, so that ``--json`` output can be piped.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def say(message: str) -> None:
    """Print one line on stderr."""
    print(message, file=sys.stderr, flush=True)


def track(items: Iterable[T], *, description: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` with a progress bar and the time left on stderr.

    No bar is shown where stderr is not a terminal, so logs stay readable.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    # Rich redirects prints to show them above its bar; where stdout is a file or pipe, they are
    # results and must go there.
    with Progress(
        console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()
    ) as progress:
        yield from progress.track(items, total=total, description=description)


@contextlib.contextmanager
def quiet(*, output: bool = False) -> Iterator[None]:
    """Keep remarks of libraries on their own insides from the terminal; errors come as exceptions.

    Args:
        output: Drop whatever is printed as well, by native code too. stdout is for results and
            stderr for what we say; converters and runtimes write to both, some past Python.
    """
    before = logging.root.manager.disable
    logging.disable(logging.ERROR if output else logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.ExitStack() as stack:
            warnings.simplefilter("ignore")
            if output:
                stack.enter_context(descriptors_dropped(1, 2))
                stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
                stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def descriptors_dropped(*descriptors: int) -> Iterator[None]:
    """Send file descriptors nowhere: C and C++ write to them directly.

    Args:
        descriptors: 1 for stdout, 2 for stderr; those that are closed are passed over.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in descriptors if _is_open(descriptor)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for descriptor in kept:
            os.dup2(nowhere, descriptor)
        yield
    finally:
        for descriptor, copy in kept.items():
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(nowhere)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on stderr for work whose total becomes known later.

    Yields:
        A function that takes the steps done and the total. It does nothing where stderr is not a
        terminal.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)

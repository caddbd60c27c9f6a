"""Keeping what libraries print of themselves from the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Drop remarks of libraries while they are imported and at work, those of native code as well.

    stdout is for results and stderr for what we say; mobile converters and runtimes write to both,
    some of them past Python. Errors still come as exceptions.
    """
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            _descriptors_dropped(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _descriptors_dropped() -> Iterator[None]:
    """Send file descriptors 1 and 2 nowhere: C and C++ write to them directly."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2) if _is_open(descriptor)}
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

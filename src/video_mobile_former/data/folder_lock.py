"""One writer at a time in a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same lock out of a folder.

    The lock ends with the process, however it ends. Where the system has no such locks (Windows,
    some network file systems) nothing is kept out.

    Args:
        folder: An existing folder; the file ``.lock`` in it is used.

    Raises:
        UserError: If another process holds it.
    """
    try:
        import fcntl  # not on Windows
    except ImportError:
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder}: another process is writing here") from error
        except OSError:
            pass
        yield

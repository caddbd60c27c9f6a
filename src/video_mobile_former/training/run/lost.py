"""What remains to be said when one of several processes has ended and the others notice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch.distributed as dist

from ...errors import DataError, UserError
from .run_folder import RunFolder

_SIGNS = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL")
"""In messages of exchanges that fail for want of a partner; gloo raises plain RuntimeErrors."""


class ProcessLostError(UserError):
    """Another process of the run has ended; whoever notices says so, as the first may be dead."""


class SharedError(UserError):
    """All processes of the run raise this alike, so that it is enough if the first one says it."""


class SharedDataError(SharedError, DataError):
    """One that is about the data."""


@contextlib.contextmanager
def watching_others(run: RunFolder, world_size: int) -> Iterator[None]:
    """Turn the failure of an exchange between processes into a sentence.

    The state on the disk is that of the last time the first process saved, whole; nothing is
    written once an exchange has failed.

    Args:
        run: Where the state is.
        world_size: Processes of the run; a single one has no others.

    Raises:
        ProcessLostError: If an exchange failed.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        lost = isinstance(error, dist.DistError) or any(sign in text for sign in _SIGNS)
        if world_size == 1 or not lost:
            raise
        saved = run.state.exists()
        what = "continues it from its saved state" if saved else "starts it anew"
        raise ProcessLostError(
            f"{run.path}: another process of this run has ended (what it said stands in its own "
            f"output; out of memory is a common reason); the same command {what}"
        ) from error

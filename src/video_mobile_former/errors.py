"""Errors that a user can act on.

The command line prints these as one line and exits with status 2; any other exception is a bug and
keeps its traceback. Each message names the file, key or value and says what to do.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path


class UserError(ValueError):
    """A wrong input; the message says what to change."""


class DataError(UserError):
    """An index, label list or folder of clips is wrong."""


class VideoError(UserError):
    """One video file cannot be read.

    Args:
        path: The file.
        reason: One phrase, for example ``"no video stream"``.
    """

    def __init__(self, path: str | Path, reason: str):
        self.path = str(path)
        self.reason = reason
        super().__init__(f"{self.path}: {reason}")

    def __reduce__(self):
        # Exceptions are rebuilt from `args` when a worker process sends them; this one takes two.
        return (type(self), (self.path, self.reason))


class CheckpointError(UserError):
    """A checkpoint folder or weights file is missing, broken or does not fit the model."""


class RecipeError(UserError):
    """A recipe has an unknown key or a value of the wrong type or range."""


def known_names(
    name: str, known: Iterable[str], *, cutoff: float = 0.4, otherwise: str | None = None
) -> str:
    """The end of a message on an unknown name: the nearest known name, and all of them.

    More than forty are listed only where none is near.

    Args:
        name: The unknown name, in any case.
        known: The names.
        cutoff: Similarity from which a name is suggested, 0 to 1.
        otherwise: What is said where none is near, in place of the list.
    """
    folded = {other.casefold(): other for other in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=cutoff)
    meant = f"; did you mean {folded[near[0]]!r}?" if near else ""
    if otherwise is not None:
        return meant or f"; {otherwise}"
    if near and len(folded) > 40:
        return meant
    return (f"{meant} Known: " if near else "; known: ") + ", ".join(folded.values())


def nearest_key(key: str, known: Iterable[str]) -> str | None:
    """The known key or option that a misspelt one is nearest to, if any is near.

    A right name in a wrong section or in none, such as ``lr``, is nearer than any whole key.
    """
    key, known = key.replace("-", "_"), list(known)
    homes = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    return next(iter([*homes, *difflib.get_close_matches(key, known, n=1)]), None)


def check_path(name: str, value: object) -> None:
    """Refuse what is not a path, such as a number or a frame.

    Raises:
        UserError: If it is neither text nor a :class:`os.PathLike`.
    """
    if not isinstance(value, str | os.PathLike):
        raise UserError(f"{name} must be a path, not {type(value).__name__}")


def check_at_least(name: str, value: int, least: int) -> None:
    """Check that a named number is at least ``least``.

    Raises:
        UserError: If it is below.
    """
    if value < least:
        raise UserError(f"{name} must be at least {least}, not {value}")

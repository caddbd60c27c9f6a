"""Errors that a user can act on.

The command line prints these as one line and exits with status 2; everything else is a defect of
ours and keeps its traceback. Each message names the file, key or value and says what to do.
"""

from __future__ import annotations

from pathlib import Path


class UserError(ValueError):
    """Something the caller gave us is wrong, and the message says what to change."""


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
        # Exceptions are rebuilt from `args` when they cross a worker process; ours takes two.
        return (type(self), (self.path, self.reason))


class CheckpointError(UserError):
    """A checkpoint folder or weights file is missing, broken or does not fit the model."""


class RecipeError(UserError):
    """A recipe has an unknown key or a value of the wrong type or range."""

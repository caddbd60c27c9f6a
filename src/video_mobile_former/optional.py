"""Importing optional libraries, with a one-line error when they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import UserError


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional library where it is used.

    Args:
        module: Import name, for example ``"lightning"``.
        extra: The extra of this package that installs it.
        purpose: What needs it, the subject of the message: ``"training"``.

    Raises:
        UserError: If it is not installed; names the extra to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise UserError(
            f"{purpose} needs {module.split('.')[0]}: pip install 'video-mobile-former[{extra}]'"
        ) from error

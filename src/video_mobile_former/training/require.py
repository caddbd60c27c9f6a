"""Judging the values of recipe fields."""

from __future__ import annotations

from typing import Any

from ..errors import RecipeError


def require(section: Any, prefix: str, name: str, ok: Any, expected: str) -> None:
    """Refuse a value out of range, naming its key."""
    if not ok:
        key = f"{prefix}.{name}" if prefix else name
        raise RecipeError(f"{key} must be {expected}, not {getattr(section, name)!r}")

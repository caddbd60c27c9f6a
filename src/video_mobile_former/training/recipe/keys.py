"""The dotted keys of a recipe, and the nearest to a misspelt one.

All of it is read off the dataclasses of :mod:`.fields`, so that a new field needs one line there
and nothing here.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from typing import Any

from ...data.index.source import DataSource
from ...errors import RecipeError, nearest_key
from ...ranges import hints, in_words
from .fields import Recipe, Section

SHORT_FOR: Mapping[str, str] = {"data": "data.path", "model": "model.name"}
"""A section's name alone stands for its first field: ``--data X``, ``model: vmf_1g``."""

SHORT_OPTIONS: Mapping[str, str] = {
    "epochs": "train.epochs",
    "batch": "train.batch_size",
    "lr": "optim.lr",
    "device": "train.device",
    "frames": "clip.num_frames",
    "size": "clip.crop_size",
    "weights": "model.weights",
    "unlabelled": "data.unlabelled",
    **{name: f"data.{name}" for name in (*hints(DataSource), "quarantine") if name != "path"},
}
"""Options that are often wanted, or that other commands have too and that are called the same here:
``--format X``."""


RENAMED: Mapping[str, str] = {
    "pretrain.drawing": "pretrain.procedural",
    "train.accelerator": "train.device",
}
"""Keys of older recipes, which runs and files may still have, and what they are called now."""


@functools.cache
def sections() -> dict[str, type[Any]]:
    """The dataclass of every section under its name."""
    types = {name: hint for name, hint in hints(Recipe).items() if isinstance(hint, type)}
    return {name: hint for name, hint in types.items() if issubclass(hint, Section | DataSource)}


@functools.cache
def types_by_key() -> dict[str, Any]:
    """The type of every leaf field under its dotted key, those of the top level first."""
    top = {name: hint for name, hint in hints(Recipe).items() if name not in sections()}
    return top | {
        f"{name}.{leaf}": hint
        for name, section in sections().items()
        for leaf, hint in hints(section).items()
    }


def home(key: str) -> tuple[type[Any], str]:
    """The dataclass that a dotted key is a field of, and the field's name."""
    name, _, leaf = key.rpartition(".")
    return (sections()[name] if name else Recipe), leaf


def known_key(key: str, source: str) -> str:
    """Give the full key, or refuse an unknown one and suggest the nearest.

    Args:
        key: As written; a short form is expanded, an old name replaced.
        source: Where it was written, to begin the message.

    Raises:
        RecipeError: If no field has this name. Abbreviations are unknown names.
    """
    key = RENAMED.get(key, SHORT_FOR.get(key, key))
    if key in types_by_key():
        return key
    near = nearest_key(key, [*types_by_key(), *SHORT_FOR])
    hint = f"did you mean {near}?" if near else "vmf train --help lists all of them"
    raise RecipeError(f"{source}: unknown key {key}; {hint}")


def known_section(name: str, source: str) -> type[Any]:
    """Give the dataclass of a section, or refuse an unknown one and suggest the nearest."""
    if name in sections():
        return sections()[name]
    if name in types_by_key():
        wanted = in_words(types_by_key()[name])
        raise RecipeError(f"{source}: {name} must be {wanted}, not a section")
    near = difflib.get_close_matches(name, sections(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sections())}"
    raise RecipeError(f"{source}: unknown section {name}; {hint}")

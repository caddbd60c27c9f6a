"""Reading and writing recipes as YAML and plain values, with errors that help.

Keys are the dotted names of the fields in :mod:`.fields`.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import RecipeError
from ...files import write_text
from ...ranges import convert
from .fields import Recipe
from .keys import known_key, known_section, sections, types_by_key

_ABOUT_THE_CALL = ("resume", "overwrite")
"""Fields about one start of the command, not about the run: never written to a file."""


def load_recipe(path: str | Path) -> Recipe:
    """Read a YAML recipe.

    Args:
        path: The file; keys that it leaves out keep their defaults.

    Raises:
        RecipeError: If it is missing, is no YAML mapping, or has a key or value that is wrong.
    """
    return build(read_values(path), str(path))


def recipe_from_dict(values: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """Build a recipe from nested or dotted plain values.

    Args:
        values: For example ``{"optim": {"lr": 1e-3}, "seed": 1}``.
        source: Where they came from, to begin error messages.

    Raises:
        RecipeError: If a key is unknown or a value has the wrong type or range.
    """
    return build(_flatten(values, source), source)


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain nested values of every field that belongs to the run, for YAML and JSON."""
    plain = dataclasses.asdict(recipe, dict_factory=_plain)
    return {key: value for key, value in plain.items() if key not in _ABOUT_THE_CALL}


def save_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write every field, defaults included, as YAML that :func:`load_recipe` reads back."""
    import yaml

    write_text(path, yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False, allow_unicode=True))


def recipe_differences(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """The fields of the run in which two recipes differ, as ``{"optim.lr": (1e-3, 2e-3)}``."""
    keys = [key for key in types_by_key() if key not in _ABOUT_THE_CALL]
    pairs = {key: (_value(one, key), _value(other, key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def values_of(recipe: Recipe) -> dict[str, Any]:
    """Every field under its dotted key, as :func:`build` takes them."""
    return {key: _value(recipe, key) for key in types_by_key()}


def _value(recipe: Recipe, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), recipe)


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in items}


def read_values(path: str | Path) -> dict[str, Any]:
    """The checked values of a YAML file under their dotted keys."""
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is no UTF-8 text and so no recipe") from error
    try:
        # A SafeLoader underneath: it builds plain data only.
        values = yaml.load(text, Loader=_loader())  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "not YAML"
        raise RecipeError(f"{path}{where}: {reason}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise RecipeError(f"{path} must hold keys and values, not a {type(values).__name__}")
    return _flatten(values, str(path))


@functools.cache
def _loader() -> type:
    """PyYAML's SafeLoader that reads 1e-3 as a number and refuses a key given twice."""
    import yaml

    class Loader(yaml.SafeLoader):
        """SafeLoader with numbers as in YAML 1.2."""

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    number = re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    return Loader


def _flatten(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Dotted keys and values of the right type from nested ones."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            known_section(str(name), source)
            inner = {f"{name}.{leaf}": content for leaf, content in value.items()}
        elif value is None and name in sections():
            continue  # a section whose every line is commented out
        else:
            inner = {str(name): value}
        for key, content in inner.items():
            full = known_key(key, source)
            if full in flat:
                raise RecipeError(f"{source}: given twice: {full}, once as {key}")
            try:
                flat[full] = convert(types_by_key()[full], content)
            except ValueError as error:
                raise RecipeError(
                    f"{source}: {key} must be {error}, not {content!r:.200}"
                ) from None
    return flat


def build(values: Mapping[str, Any], source: str) -> Recipe:
    """The recipe of checked values under dotted keys.

    Raises:
        RecipeError: If values do not go together.
    """
    top: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        name, _, leaf = key.rpartition(".")
        if name:
            inner.setdefault(name, {})[leaf] = value
        else:
            top[leaf] = value
    try:
        for name, fields in inner.items():
            top[name] = sections()[name](**fields)
        return Recipe(**top)
    except RecipeError as error:
        raise RecipeError(f"{source}: {error}") from error

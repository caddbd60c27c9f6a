"""The dotted keys of a recipe: types and meanings in words, and the nearest to a misspelt one.

All of it is read off the dataclasses of :mod:`.fields`, so that a new field needs one line
there and nothing here.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import inspect
import textwrap
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from ...errors import RecipeError
from .fields import Recipe

SHORT_FOR: Mapping[str, str] = {"data": "data.path", "model": "model.name"}
"""A section's name alone stands for its first field: ``--data X``, ``model: vmf_1g``."""

SHORT_OPTIONS: Mapping[str, str] = {
    "weights": "model.weights",
    **{
        name: f"data.{name}"
        for name in (
            "format",
            "annotations",
            "root",
            "fold",
            "label_file",
            "multi_label",
            "quarantine",
        )
    },
}
"""Options that other commands have too, and that are called the same here: ``--format X``."""


@functools.cache
def sections() -> dict[str, type[Any]]:
    """The dataclass of every section under its name."""
    hints: dict[str, Any] = typing.get_type_hints(Recipe)
    return {
        name: hint
        for name, hint in hints.items()
        if isinstance(hint, type) and dataclasses.is_dataclass(hint)
    }


@functools.cache
def types_by_key() -> dict[str, Any]:
    """The type of every leaf field under its dotted key, those of the top level first."""
    top = {k: v for k, v in typing.get_type_hints(Recipe).items() if k not in sections()}
    nested = {
        f"{name}.{leaf}": hint
        for name, section in sections().items()
        for leaf, hint in typing.get_type_hints(section).items()
    }
    return top | nested


def default(key: str) -> Any:
    """The value of a field that no recipe names."""
    value: Any = Recipe()
    for part in key.split("."):
        value = getattr(value, part)
    return value


def known_key(key: str, source: str, *, option: bool = False) -> str:
    """Give the full key, or refuse an unknown one and suggest the nearest.

    Args:
        key: As written, without leading dashes; a short form is expanded.
        source: Where it was written, to begin the message.
        option: Whether it was written as a command-line option.

    Raises:
        RecipeError: If no field has this name. Abbreviations are unknown names.
    """
    key = SHORT_FOR.get(key, key)
    key = SHORT_OPTIONS.get(key, key) if option else key
    known = list(types_by_key())
    if key in known:
        return key
    dashes, kind = ("--", "option") if option else ("", "key")
    short = [*SHORT_FOR, *(SHORT_OPTIONS if option else ())]
    near = difflib.get_close_matches(key.replace("-", "_"), [*known, *short], n=1)
    # A right name in a wrong section or in none, such as --lr, is nearer than any whole key.
    leaf = key.replace("-", "_").rpartition(".")[2]
    homes = [name for name in known if name.rpartition(".")[2] == leaf]
    near = homes[:1] or near
    hint = f"did you mean {dashes}{near[0]}?" if near else "vmf train --help lists all of them"
    raise RecipeError(f"{source}: unknown {kind} {dashes}{key}; {hint}")


def known_section(name: str, source: str) -> type[Any]:
    """Give the dataclass of a section, or refuse an unknown one and suggest the nearest."""
    if name in sections():
        return sections()[name]
    if name in types_by_key():
        raise RecipeError(f"{source}: {name} must be {expected(name)}, not a section")
    near = difflib.get_close_matches(name, sections(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sections())}"
    raise RecipeError(f"{source}: unknown section {name}; {hint}")


def expected(key: str) -> str:
    """What kind of value a key takes, in words."""
    return _in_words(types_by_key()[key])


def help_text(prog: str) -> str:
    """Every field with its meaning and default, in lines of at most 80 columns."""
    lines = [
        f"usage: {prog} [RECIPE] --data DATA --model MODEL --out FOLDER [options]",
        "",
        *textwrap.wrap(
            "Train a model on labelled clips. RECIPE is a .yaml file, or a name that `vmf train "
            "--list` shows. The options are the keys of a recipe and win over it. --data X is "
            "short for --data.path X, --model X for --model.name X, --weights X for "
            "--model.weights X, and "
            + ", ".join(f"--{name}" for name in list(SHORT_OPTIONS)[1:])
            + " for those of data.",
            79,
            break_on_hyphens=False,
        ),
    ]
    current = None
    for key in types_by_key():
        name, _, leaf = key.rpartition(".")
        if name != current:
            current = name
            lines += ["", f"{name}: {docs(Recipe)[name]}" if name else "The run:"]
        lines.append(f"  --{key} {_placeholder(types_by_key()[key])}")
        text = docs(sections().get(name, Recipe))[leaf]
        if default(key) is not None:
            text += f" Default: {_as_typed(default(key))}."
        lines += textwrap.wrap(
            text, 79, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False
        )
    return "\n".join(lines)


@functools.cache
def docs(section: type[Any]) -> dict[str, str]:
    """The text under each field of a dataclass; empty where its source code is not at hand."""
    found = {field.name: "" for field in dataclasses.fields(section)}
    try:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    except OSError:
        return found
    assert isinstance(body, ast.ClassDef)
    for line, following in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(line, ast.AnnAssign)
            and isinstance(line.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            found[line.target.id] = " ".join(str(following.value.value).split())
    return found


def _in_words(hint: Any) -> str:
    simple = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    if hint in simple:
        return simple[hint]
    inner = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin is tuple and inner == (str, Ellipsis):
        return "names in a list such as [one, two]"
    if origin is tuple and inner[-1] is Ellipsis:
        return "numbers in a list such as [0.5, 0.75]"
    if origin is tuple:
        return f"{len(inner)} numbers in a list such as [{', '.join('0.5' for _ in inner)}]"
    if origin in (types.UnionType, typing.Union):
        return " or ".join("null" if i is type(None) else _in_words(i) for i in inner)
    raise TypeError(f"no words for the type {hint}")


def _placeholder(hint: Any) -> str:
    names = {str: "TEXT", int: "INT", float: "NUMBER", bool: "{true,false}"}
    if hint in names:
        return names[hint]
    inner = [i for i in typing.get_args(hint) if i is not type(None)]
    origin = typing.get_origin(hint)
    if origin is Literal:
        return "{" + ",".join(map(str, inner)) + "}"
    if origin is tuple and inner[-1] is Ellipsis:
        return f"[{_placeholder(inner[0])},...]"
    if origin is tuple:
        return "[" + ",".join(_placeholder(i) for i in inner) + "]"
    return _placeholder(inner[0])


def _as_typed(value: Any) -> str:
    """A default as one would write it in YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_as_typed, value))}]"
    return str(value)

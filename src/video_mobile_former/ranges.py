"""Fields with a type, a range and a text, held alike in Python, YAML and on the command line.

A dataclass that derives from :class:`Checked` refuses what its annotations do not allow. Recipes
and the options of every command read the same annotations, so that a limit is written once::

    epochs: Annotated[int, Range(1, 100_000)] = 60
    \"\"\"Passes over the training clips.\"\"\"
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import math
import os
import sys
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from .errors import UserError


@dataclass(frozen=True)
class Range:
    """Numbers that a field takes; infinite ones and NaN never are among them."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    """Like ``least``, itself excluded."""
    below: float | None = None
    """Like ``most``, itself excluded."""

    def __contains__(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        if self.above is not None and self.below is not None:
            return f"between {self.above} and {self.below}"
        low = f"{self.least}" if self.least is not None else f"above {self.above}"
        if self.most is None and self.below is None:
            return low if self.least is None else f"at least {low}"
        return f"{low} to {self.most}" if self.most is not None else f"{low} to below {self.below}"


Share = Annotated[float, Range(0, 1)]
"""A share of a whole, or a chance."""
ShareBelowOne = Annotated[float, Range(0, below=1)]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(0)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Frames = Annotated[int, Range(1, 1024)]
"""Frames of one clip."""
Pixels = Annotated[int, Range(1, 4096)]
"""Height or width of what a model sees."""
FrameRate = Annotated[float, Range(above=0, most=1000)]
"""Frames per second of a folder of pictures."""
Workers = Annotated[int, Range(0, 256)]
"""Processes that read video; 0 = none but this one."""


class Checked:
    """A frozen dataclass whose fields are converted to their types and held against their ranges.

    Raises:
        UserError: On a value that does not fit; ``error`` is its class, and the message begins with
            ``section`` and the name of the field.
    """

    section: ClassVar[str] = ""
    error: ClassVar[type[UserError]] = UserError

    def __post_init__(self) -> None:
        for name, hint in hints(type(self)).items():
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, convert(hint, value))
            except ValueError as error:
                self.check(name, False, str(error))

    def check(self, name: str, ok: Any, wanted: str) -> None:
        """Refuse the value of a field unless ``ok``, saying what is wanted instead."""
        if not ok:
            key = f"{self.section}.{name}" if self.section else name
            raise self.error(f"{key} must be {wanted}, not {getattr(self, name)!r:.200}")


@functools.cache
def hints(section: type[Any]) -> dict[str, Any]:
    """The types of a dataclass's fields, with their ranges, by name."""
    found = typing.get_type_hints(section, include_extras=True)
    return {field.name: found[field.name] for field in dataclasses.fields(section)}


def convert(hint: Any, value: Any) -> Any:
    """A value as its field holds it: lists become tuples, whole numbers floats, paths text.

    Args:
        hint: ``str``, ``int``, ``float``, ``bool``, a ``Literal``, a tuple, a dataclass, one of
            them ``Annotated`` with a :class:`Range`, or any of these ``| None``.
        value: Plain data.

    Raises:
        ValueError: If it has another type or is out of range; the text is what is wanted.
    """
    inner = typing.get_args(hint)
    match _kind(hint):
        case "annotated":
            value = convert(inner[0], value)
            for limits in inner[1:]:
                if value not in limits:
                    raise ValueError(str(limits))
            return value
        case "optional":
            try:
                return None if value is None else convert(inner[0], value)
            except ValueError as error:
                raise ValueError(f"{error}, or null") from None
        case "literal" if isinstance(value, str) and value in inner:
            return value
        case "tuple" if isinstance(value, list | tuple):
            each = inner[:1] * len(value) if inner[-1] is ... else inner
            if len(each) == len(value):
                return tuple(convert(*pair) for pair in zip(each, value, strict=True))
        case "float" if isinstance(value, int | float) and not isinstance(value, bool):
            if math.isfinite(value):
                return float(value)
        case "int" if hasattr(value, "__index__") and not isinstance(value, bool):
            return int(value)
        case "str" if isinstance(value, str | os.PathLike):
            return os.fspath(value)
        case "plain" if isinstance(value, hint):
            return value
    raise ValueError(in_words(hint))


def read_text(hint: Any, text: str) -> Any:
    """The value of an option as typed in a shell.

    Raises:
        ValueError: As :func:`convert`.
    """
    return convert(hint, _parsed(hint, text))


def _parsed(hint: Any, text: str) -> Any:
    inner = typing.get_args(hint)
    kind = _kind(hint)
    if kind in ("annotated", "optional"):
        return None if kind == "optional" and text == "null" else _parsed(inner[0], text)
    if kind == "tuple" and text[:1] == "[" and text[-1:] == "]":
        items = [item.strip() for item in text[1:-1].split(",") if item.strip()]
        return [_parsed(inner[0], item) for item in items]
    if hint is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind in ("int", "float"):
        try:
            return hint(text)
        except ValueError:
            return text
    return text


def in_words(hint: Any) -> str:
    """What kind of value a field takes: ``"a number, or null"``."""
    inner = typing.get_args(hint)
    match _kind(hint):
        case "annotated":
            return f"{in_words(inner[0])}, {' and '.join(map(str, inner[1:]))}"
        case "optional":
            return f"{in_words(inner[0])}, or null"
        case "literal":
            return "one of " + ", ".join(inner)
        case "tuple" if _kind(_bare(inner[0])) == "literal":
            names = typing.get_args(_bare(inner[0]))
            return f"names in a list such as [{names[0]}], of {', '.join(names)}"
        case "tuple" if _bare(inner[0]) is str:
            return "names in a list such as [one, two]"
        case "tuple":
            count = "" if inner[-1] is ... else f"{len(inner)} "
            shown = "0.5, 0.75" if inner[-1] is ... else ", ".join(["0.5"] * len(inner))
            return f"{count}numbers in a list such as [{shown}]"
        case kind:
            words = {"str": "text", "int": "a whole number", "float": "a number"}
            return words.get(kind, "true or false" if hint is bool else f"a {hint.__name__}")


def placeholder(hint: Any) -> str:
    """What stands for a value in the help: ``INT``."""
    hint, inner = _bare(hint), typing.get_args(_bare(hint))
    match _kind(hint):
        case "literal":
            return "{" + ",".join(inner) + "}"
        case "tuple":
            return f"[{','.join('...' if i is ... else placeholder(i) for i in inner)}]"
        case kind:
            return {"str": "TEXT", "int": "INT", "float": "NUMBER"}.get(kind, "{true,false}")


def limits(hint: Any) -> str:
    """The range of a field in words; empty where any value will do."""
    inner = typing.get_args(hint)
    if _kind(hint) == "annotated":
        return " and ".join(map(str, inner[1:]))
    return limits(inner[0]) if _kind(hint) in ("optional", "tuple") else ""


def as_typed(value: Any) -> str:
    """A value as one writes it in YAML or a shell."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(as_typed, value))}]"
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def field_help(section: type[Any], name: str) -> str:
    """The text under a field, its default and its range, as one paragraph."""
    (default,) = (f.default for f in dataclasses.fields(section) if f.name == name)
    told = [docs(section)[name]]
    told += [] if default is None else [f"Default: {as_typed(default)}."]
    range_ = limits(hints(section)[name])
    return " ".join([*told, f"Range: {range_}."] if range_ else told)


@functools.cache
def docs(section: type[Any]) -> dict[str, str]:
    """The text under each field of a dataclass; empty where its source code is not at hand."""
    found = {field.name: "" for field in dataclasses.fields(section)}
    for base in reversed(section.__mro__):
        if dataclasses.is_dataclass(base):
            found |= _texts(base.__module__).get(base.__name__, {})
    return found


@functools.cache
def _texts(module: str) -> dict[str, dict[str, str]]:
    """The texts of the fields of a module's classes."""
    try:
        classes = ast.parse(inspect.getsource(sys.modules[module])).body
    except OSError:
        return {}
    return {
        body.name: {
            line.target.id: " ".join(str(text.value.value).split())
            for line, text in zip(body.body, body.body[1:], strict=False)
            if isinstance(line, ast.AnnAssign)
            and isinstance(line.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        }
        for body in classes
        if isinstance(body, ast.ClassDef)
    }


def _bare(hint: Any) -> Any:
    """A type without ``| None`` and range."""
    while _kind(hint) in ("annotated", "optional"):
        hint = typing.get_args(hint)[0]
    return hint


def _kind(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return "optional"
    named = {Annotated: "annotated", Literal: "literal", tuple: "tuple"}
    plain = {str: "str", int: "int", float: "float"}
    return named.get(origin) or plain.get(hint, "plain")

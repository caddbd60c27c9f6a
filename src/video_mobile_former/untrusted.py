"""Reading small files that strangers may have written: size, nesting and numbers have bounds."""

from __future__ import annotations

import collections
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import UserError

MAX_JSON = 16 << 20
"""Bytes of a description."""
MAX_DEPTH = 32
MAX_NUMBER = 10**6
"""Of an argument: no network of this package comes near it."""
MAX_ENTRIES = 1000
"""Of a list or object among the arguments."""
MAX_VALUES = 20_000
"""In all of them together."""


def read_bytes(path: str | Path, most: int | None = None) -> bytes:
    """The content of a regular file, opened once: what is judged is what is used.

    Args:
        path: A file, or a link to one. A pipe or device is not waited for.
        most: Largest size in bytes; None for any.

    Raises:
        UserError: If it cannot be read, is no regular file or larger.
    """
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
        with os.fdopen(number, "rb") as file:
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{path} is not a regular file")
            data = file.read() if most is None else file.read(most + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} cannot be read: {error}") from error
    if most is not None and len(data) > most:
        raise UserError(f"{path} is larger than {_megabytes(most)}")
    return data


_BINARY = getattr(os, "O_BINARY", 0)


def parse_json(data: bytes | str, where: str | Path, most: int = MAX_JSON) -> Any:
    """Read JSON whose size and nesting are bounded; a key that stands twice is refused.

    Args:
        data: UTF-8.
        where: Its file, for errors.
        most: Largest size in bytes, or characters of text.

    Raises:
        UserError: If it is larger, deeper or no JSON.
    """
    if len(data) > most:
        raise UserError(f"{where} is larger than {_megabytes(most)}")
    try:
        values = json.loads(data, object_pairs_hook=_once)
    except RecursionError as error:
        raise UserError(f"{where} is nested too deeply") from error
    except ValueError as error:
        raise UserError(f"{where} is no JSON ({error})") from error
    check_depth(values, where)
    return values


def check_depth(values: Any, where: str | Path, most: int = MAX_DEPTH) -> None:
    """Refuse lists and objects in one another beyond a depth.

    Raises:
        UserError: If they are.
    """
    level = [values]
    for _ in range(most + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise UserError(f"{where} is nested too deeply: more than {most} levels")


def check_bounds(
    values: Any,
    where: str,
    limits: Mapping[str, float] | None = None,
    *,
    entries: int = MAX_ENTRIES,
) -> None:
    """Refuse numbers, lists and nesting that would only use up memory or time.

    Args:
        values: Plain data.
        where: What they are, for errors: a file and a key.
        limits: Largest number under a key, where it is not :data:`MAX_NUMBER`.
        entries: Longest list or object.

    Raises:
        UserError: Names the first that is out of bounds.
    """
    check_depth(values, where)
    waiting, seen = [(where, "", values)], 0
    while waiting:
        place, key, value = waiting.pop()
        seen += 1
        limit = (limits or {}).get(key, MAX_NUMBER)
        if isinstance(value, (int, float)) and not abs(value) <= limit:
            raise UserError(f"{place} must be at most {limit}")
        if isinstance(value, str) and len(value) > MAX_NUMBER:
            raise UserError(f"{place} is a text of more than {MAX_NUMBER} characters")
        if not isinstance(value, (dict, list)):
            continue
        if len(value) > entries or seen + len(waiting) > MAX_VALUES:
            raise UserError(f"{place} has more than {entries} entries")
        if isinstance(value, dict):
            waiting += [(f"{place}.{name}", name, inner) for name, inner in value.items()]
        else:
            waiting += [(f"{place}[{i}]", key, inner) for i, inner in enumerate(value)]


def _inside(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value
    nested = isinstance(value, (dict, list))
    return [each for each in inner if isinstance(each, (dict, list))] if nested else []


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = collections.Counter(names).most_common(1)[0][0]
        raise ValueError(f"the key {twice[:60]!r} stands twice")
    return found


def _megabytes(size: int) -> str:
    return f"{size >> 20} MB" if size >= 1 << 20 else f"{size} bytes"

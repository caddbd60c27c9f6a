"""Class names in order: those of known sets, those of label files, and whether two orders agree.

A model knows its classes by position only. So wherever two sources give an order of the same
classes, they are compared, and a difference is an error: nothing is reordered silently.
"""

from __future__ import annotations

import functools
import json
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError, known_names

LABEL_SETS = (
    "kinetics400",
    "kinetics600",
    "kinetics700",
    "something_something_v2",
    "jester",
    "ucf101",
    "hmdb51",
    "diving48",
    "charades",
)
"""The data sets whose class names come with this package."""


@functools.cache
def label_names(name: str) -> tuple[str, ...]:
    """The classes of a known data set in their official order.

    Args:
        name: One of ``LABEL_SETS``, for example ``"kinetics400"``.

    Raises:
        DataError: If there is no such set; suggests the nearest.
    """
    if name not in LABEL_SETS:
        near = known_names(name, LABEL_SETS)
        raise DataError(f"no label names of a data set {name!r} come with this package{near}")
    file = Path(__file__).parent / "names" / f"{name}.txt"
    return tuple(file.read_text(encoding="utf-8").splitlines())


def read_label_file(path: str | Path) -> tuple[str, ...]:
    """Class names from a file, order kept.

    Args:
        path: A text file with one name a line, blank lines ignored; a ``.json`` file with a list of
            names, or with positions from 0 on by name; or the name of a known set such as
            ``kinetics400`` where no file has it.

    Raises:
        DataError: If the file is missing or is none of these.
    """
    if str(path) in LABEL_SETS and not Path(path).exists():
        return label_names(str(path))
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a UTF-8 text file"
        raise DataError(f"label file {path}: {reason}") from error
    if Path(path).suffix.lower() == ".json":
        return names_of_json(text, path)
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def names_of_json(text: str, path: str | Path) -> tuple[str, ...]:
    """Class names from JSON: a list of them, or positions by name as numbers or digits.

    Raises:
        DataError: If it is neither, or the positions are not 0, 1, 2, …
    """
    try:
        value: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    try:
        # Some lists write their names with quotes inside the quotes.
        places = {name.strip('"'): int(place) for name, place in dict(value).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"{path}: expected names in a list, or positions by name") from error
    names = tuple(sorted(places, key=lambda name: places[name]))
    wrong = next((i for i, name in enumerate(names) if places[name] != i), None)
    if wrong is not None:
        name = names[wrong]
        raise DataError(
            f"{path}: positions must be 0 to {len(names) - 1}, each once; "
            f"{name!r} has {places[name]} where {wrong} should come"
        )
    return names


@functools.lru_cache(maxsize=4096)
def one_form(name: str) -> str:
    """A name in Unicode's composed form (NFC), in which equal words are equal strings."""
    return unicodedata.normalize("NFC", name)


def in_order(names: Collection[str]) -> list[str]:
    """Names of classes sorted; numbers by their value where all are numbers."""
    if all(name.isdecimal() and name.isascii() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def check_classes(
    found: Sequence[str], expected: Sequence[str], source: str, *, other: str = "the model"
) -> None:
    """Refuse classes that are not those of a model, in the same order.

    Args:
        found: Class names of the data.
        expected: Class names of the model, or whatever else they must equal.
        source: Where the data comes from.
        other: What ``expected`` comes from.

    Raises:
        DataError: Names the first position that differs and both names.
    """
    found, expected = tuple(map(one_form, found)), tuple(map(one_form, expected))
    if found == expected:
        return
    shorter = min(len(found), len(expected))
    first = next((i for i in range(shorter) if found[i] != expected[i]), shorter)
    here = repr(found[first]) if first < len(found) else "nothing"
    there = repr(expected[first]) if first < len(expected) else "nothing"
    counts = (
        f"{len(found)} classes where {other} has {len(expected)}"
        if len(found) != len(expected)
        else f"its classes in another order than {other}"
        if set(found) == set(expected)
        else f"other classes than {other}"
    )
    raise DataError(
        f"{source}: the data has {counts}; first difference at position {first} (from 0): "
        f"{here} in the data, {there} in {other}; load the data with the class list of {other}"
    )


def check_order(found: Sequence[str], expected: Sequence[str], source: str, other: str) -> None:
    """Refuse a class list whose classes come in another order than elsewhere.

    Only classes of both lists are compared, so a selection of the classes is fine.

    Args:
        found: Class names in order.
        expected: Class names in the order to agree with.
        source: Where ``found`` comes from.
        other: Where ``expected`` comes from.

    Raises:
        DataError: Names the first difference: its position and both names.
    """
    found, expected = list(map(one_form, found)), list(map(one_form, expected))
    both = set(found) & set(expected)
    here = [name for name in found if name in both]
    there = [name for name in expected if name in both]
    for a, b in zip(here, there, strict=True):
        if a != b:
            raise DataError(
                f"{source}: its classes are in another order than those of {other}; first "
                f"difference at position {found.index(a)} (from 0): {a!r} in {source}, "
                f"{b!r} in {other}"
            )


def spellings(names: Sequence[str]) -> dict[str, str]:
    """Every name under the spelling that :func:`folded` gives it."""
    return {folded(name): name for name in names}


@functools.lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """A name without what differs between releases: case, underscores, quotes, double spaces."""
    return " ".join(one_form(name).replace("_", " ").replace('"', "").casefold().split())

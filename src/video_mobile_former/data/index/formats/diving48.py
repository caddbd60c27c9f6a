"""Diving48 by its own lists.

Source: http://www.svcl.ucsd.edu/projects/resound/dataset.html. The videos are cut already, so the
frame numbers of the lists are not needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ....errors import DataError
from ..clip import Clip
from ..labels import check_order, label_names
from ..source import DataSource, Faults
from .tables import find_beside, find_split_lists, read_json
from .videos import Videos

_EXPECTED = "Diving48 list (Diving48_V2_train.json, …)"


def diving48_names(source: DataSource) -> tuple[str, ...]:
    """The classes in the order of ``Diving48_vocab.json``, or else in the official one.

    Raises:
        DataError: If the vocabulary is no list of classes, or in another order.
    """
    path = find_beside(source, r"(.*[-_])?vocab\.json")
    official = label_names("diving48")
    if path is None:
        return official
    value = read_json(path, "the classes of Diving48")
    try:
        names = tuple(name if isinstance(name, str) else "+".join(name) for name in value)
    except TypeError:
        raise DataError(f"{path}: expected a list of classes, each of four words") from None
    check_order(names, official, str(path), "Diving48")
    return names


def diving48_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the clips of the lists; clips cut from the same video are a group.

    Raises:
        DataError: If there is no list, or one is not of the form.
    """
    names = diving48_names(source)
    lists = find_split_lists(source, _pattern(source), _EXPECTED)
    videos = Videos(source.folder)
    for split, path in lists:
        values = read_json(path, f"a {_EXPECTED}")
        if not isinstance(values, list):
            raise DataError(f"{path}: expected a list of clips; a {_EXPECTED}")
        for i, value in enumerate(values):
            name = str(value.get("vid_name", "")) if isinstance(value, dict) else ""
            if not name:
                faults.add("malformed", str(path), f"entry {i} has no vid_name")
                continue
            label = _label(value.get("label"), names)
            if label is None:
                text = f"{name} has label {value.get('label')!r}, not 0 to {len(names) - 1}"
                faults.add("unknown label", str(path), text, name)
                continue
            group = re.sub(r"_\d+$", "", name)
            yield videos.row(name, (label,), str(path), split=split, group=group)


def _pattern(source: DataSource) -> str:
    """Lists of version 2, which mended many labels, where there are both."""
    second = r".*v2.*\.json"
    return second if find_beside(source, second) else r".*\.json"


def _label(value: object, names: tuple[str, ...]) -> str | None:
    if isinstance(value, str) and not value.isdecimal():
        return value
    try:
        number = int(value)  # pyright: ignore[reportArgumentType] - what JSON holds
    except (TypeError, ValueError):
        return None
    return names[number] if 0 <= number < len(names) else None

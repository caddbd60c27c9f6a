"""UCF101 and HMDB51 by their own lists; of the three divisions each has, ``data.fold`` names one.

Source: https://www.crcv.ucf.edu/data/UCF101.php and
https://serre.lab.brown.edu/hmdb51.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ....errors import DataError
from ..clip import Clip
from ..labels import check_order, folded, label_names, spellings
from ..listing import read_text
from ..source import DataSource, Faults
from .tables import find_beside, find_lists
from .videos import Videos, without_ending

_UCF = "UCF101 list (trainlist01.txt, testlist01.txt)"
_UCF_PATTERN = r"(?:.*[-_])?(?P<split>train|test)list0*(?P<fold>\d+)\.txt"
_UCF_NAME = re.compile(r"v_(?P<label>.+)_g(?P<group>\d+)_c\d+", re.IGNORECASE)
_HMDB = "HMDB51 lists (brush_hair_test_split1.txt, …)"
_HMDB_PATTERN = r"(?P<label>.+)_test_split0*(?P<fold>\d+)\.txt"
_HMDB_NAME = re.compile(r"(?P<head>.+)_[a-z]_[a-z]{2}_np\d+_[a-z]{2}_[a-z]+_\d+", re.IGNORECASE)
"""Who and what, then visible part of the body, camera motion, people, view, quality, number."""
_HMDB_SPLITS = {"0": None, "1": "train", "2": "test"}


def ucf101_names(source: DataSource) -> tuple[str, ...]:
    """The classes in the order of ``classInd.txt``, or where it is absent in the official one.

    Raises:
        DataError: If its numbers are not 1, 2, 3, …, or its order is not the official one.
    """
    path = find_beside(source, r"(.*[-_])?classInd\.txt")
    official = label_names("ucf101")
    if path is None:
        return official
    lines = read_text(path, "a class list, 'number name' lines").splitlines()
    places: dict[int, str] = {}
    for i, line in enumerate(lines, start=1):
        number, _, name = line.strip().partition(" ")
        if not name.strip() and not number:
            continue
        if not number.isdecimal() or not name.strip():
            raise DataError(f"{path}:{i}: expected 'number name', not {line.strip()!r}")
        places[int(number)] = name.strip()
    if sorted(places) != list(range(1, len(places) + 1)):
        raise DataError(f"{path}: its numbers must be 1 to {len(places)}, each once")
    names = tuple(places[number] for number in sorted(places))
    check_order(names, official, str(path), "UCF101")
    return names


def ucf101_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the clips of a division; clips cut from the same video are a group.

    Raises:
        DataError: If there is no list of this division.
    """
    lists = _of_fold(source, find_lists(source, _UCF_PATTERN, _UCF), _UCF)
    names = ucf101_names(source)
    known = spellings(names)
    videos = Videos(source.folder)
    for match, path in sorted(lists, key=lambda item: item[0]["split"].lower() != "train"):
        for line, text in _lines(path):
            listed, number = _with_number(text)
            parts = _UCF_NAME.fullmatch(without_ending(listed))
            folder = listed.replace("\\", "/").rpartition("/")[0].rpartition("/")[2]
            label = folder or (parts["label"] if parts else "")
            if not label:
                text = f"expected <class>/v_<class>_g01_c01.avi, not {listed!r}"
                faults.add("malformed", f"{path}:{line}", text, listed)
                continue
            label = known.get(folded(label), label)
            if number is not None and label in names and names.index(label) != number - 1:
                other = names[number - 1] if 0 < number <= len(names) else "no class"
                text = f"{listed} has the number {number} of {other}, not that of {label}"
                faults.add("two labels", f"{path}:{line}", text, listed)
                continue
            group = f"{label}_g{parts['group']}" if parts else None
            split = match["split"].lower()
            yield videos.row(listed, (label,), str(path), line, split=split, group=group)


def hmdb51_names(source: DataSource) -> tuple[str, ...]:
    """The classes in their official order."""
    return label_names("hmdb51")


def hmdb51_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the clips of a division; clips cut from the same film are a group.

    Raises:
        DataError: If there is no list of this division.
    """
    known = spellings(label_names("hmdb51"))
    lists = _of_fold(source, find_lists(source, _HMDB_PATTERN, _HMDB), _HMDB)
    videos = Videos(source.folder)
    for match, path in lists:
        label = _hmdb_label(match["label"], known)
        for line, text in _lines(path):
            listed, _, flag = text.rpartition(" ")
            listed = listed.strip()
            if not listed or flag not in _HMDB_SPLITS:
                text = f"expected a file and 0, 1 or 2, not {text!r}"
                faults.add("malformed", f"{path}:{line}", text, listed)
                continue
            split = _HMDB_SPLITS[flag]
            if split is not None:
                group = _film(without_ending(listed), label)
                yield videos.row(listed, (label,), str(path), line, split=split, group=group)


def _hmdb_label(name: str, known: dict[str, str]) -> str:
    """The class that a list's name begins with, perhaps behind the name of the set."""
    short = re.sub(r"^hmdb(51)?[-_]", "", name, flags=re.IGNORECASE)
    return known.get(folded(name)) or known.get(folded(short)) or name


def _film(name: str, label: str) -> str | None:
    match = _HMDB_NAME.fullmatch(name)
    if match is None:
        return None
    head = match["head"]
    return head.removesuffix(f"_{label}") or None


def _of_fold(
    source: DataSource, lists: dict[re.Match[str], Path], expected: str
) -> list[tuple[re.Match[str], Path]]:
    # A list that is named itself is wanted, whatever its number.
    if not source.listing.is_dir():
        return list(lists.items())
    found = [(match, path) for match, path in lists.items() if int(match["fold"]) == source.fold]
    if not found:
        folds = ", ".join(sorted({str(int(match["fold"])) for match in lists}))
        raise DataError(
            f"{source.listing}: no {expected} of fold {source.fold}; there are: {folds} (--fold)"
        )
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    text = read_text(path, "a list of clips")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def _with_number(text: str) -> tuple[str, int | None]:
    listed, _, number = text.rpartition(" ")
    if listed and number.isdecimal():
        return listed.strip(), int(number)
    return text, None

"""Lists of clips to exclude: text files, one clip a line, that people and programs both write.

A line is the name of a clip as its data writes it (or its absolute path), a tab and the reason; the
reason may be missing, lines that begin with ``#`` are comments. A name that is not safe as one
field of one line (a tab or line break in it, white space at its ends, ``#`` or ``"`` at its
begin) is written as a JSON string. Names that are not UTF-8 keep their bytes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...console import say
from ...errors import DataError
from ...files import atomic_path
from .index import ClipIndex

_CHECK = "vmf data check "


def read_quarantine(path: str | Path) -> dict[str, str]:
    """Read which clips to exclude.

    Args:
        path: The file.

    Returns:
        The reason, possibly empty, for each name; the last one where a name is listed twice.

    Raises:
        DataError: If it cannot be read.
    """
    found: dict[str, str] = {}
    for line in _lines(path):
        if line.startswith("#") or not line.strip():
            continue
        name, _, reason = line.partition("\t")
        found[_unquoted(name)] = reason.strip()
    return found


def write_quarantine(path: str | Path, entries: Mapping[str, str], source: str) -> None:
    """Write a list of clips to exclude, all or nothing.

    Args:
        path: The file.
        entries: The reason for each name.
        source: What wrote it about which data, for the comment in the first line: see
            :func:`check_source`.

    Raises:
        UserError: If the system refuses to write.
    """
    lines = [f"# {_one_line(source)}"]
    lines += [f"{_quoted(name)}\t{_one_line(reason)}" for name, reason in entries.items()]
    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def check_source(data_path: str | Path) -> str:
    """The source that ``vmf data check`` gives to :func:`write_quarantine`."""
    return _CHECK + _quoted(os.path.abspath(data_path))  # noqa: PTH100 (resolve follows links)


def is_check_of(path: str | Path, data_path: str | Path) -> bool:
    """Whether ``vmf data check`` wrote this file about this data.

    Args:
        path: The file.
        data_path: The data.

    Raises:
        DataError: If it is there but cannot be read.
    """
    if not Path(path).is_file():
        return False
    lines = _lines(path)
    return bool(lines) and lines[0] == f"# {check_source(data_path)}"


def default_quarantine(data_path: str | Path) -> Path:
    """Where ``vmf data check`` writes its list, relative to the current folder.

    Args:
        data_path: The data.
    """
    stem = Path(os.path.abspath(data_path)).stem  # noqa: PTH100 (a link keeps its own name)
    return Path(f"{stem}-check") / "quarantine.txt"


def _lines(path: str | Path) -> list[str]:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"quarantine list {path}: {error.strerror or error}") from error
    # Not `splitlines`: names may hold the rarer separators that it knows.
    text = data.decode("utf-8-sig", "surrogateescape")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _quoted(name: str) -> str:
    plain = name == name.strip() and name[:1] not in ("#", '"') and _one_line(name) == name
    return name if plain and name else json.dumps(name, ensure_ascii=False)


def _unquoted(field: str) -> str:
    field = field.strip()
    if field.startswith('"'):
        try:
            name = json.loads(field)
        except ValueError:
            return field  # written by hand
        return name if isinstance(name, str) else field
    return field


def _one_line(text: str) -> str:
    return re.sub(r"[\t\n\r]+", " ", text)


def list_of(given: str | None, path: str) -> Path | None:
    """The list for the data at ``path``: the one given, else that of ``vmf data check``, if any.

    Raises:
        DataError: If the latter is there but cannot be read.
    """
    if given is not None:
        return Path(given)
    file = default_quarantine(path)
    return file if is_check_of(file, path) else None


def without(index: ClipIndex, file: Path, *, of_run: bool) -> ClipIndex:
    """The clips that a list does not name; prints how many it does.

    Args:
        index: All clips.
        file: The list.
        of_run: It is the copy of a run, for all its data.

    Raises:
        DataError: If it cannot be read, or names every clip.
    """
    entries = read_quarantine(file)
    rows = index.table.find(entries)
    if not of_run:
        _say_unknown(entries, rows, index, file)
    if not len(rows):
        return index
    if len(rows) == len(index):
        raise DataError(f"{file}: excludes all clips of {index.source}")
    are = "is" if len(rows) == 1 else "are"
    say(f"{index.source}: {len(rows)} of {len(index)} clips {are} excluded by {file}")
    kept = np.delete(np.arange(len(index)), rows)
    return dataclasses.replace(index, clips=index.table.take(kept))


def _say_unknown(entries: dict[str, str], rows: np.ndarray, index: ClipIndex, file: Path) -> None:
    clips = [index.clips[i] for i in rows.tolist()]
    known = {name for clip in clips for name in (clip.name, clip.path)}
    unknown = [name for name in entries if name not in known]
    if unknown:
        are = "is" if len(unknown) == 1 else "are"
        names = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
        of = f"{len(unknown)} of its {len(entries)} names {are} not in {index.source}"
        say(f"{file}: {of}: {names}")

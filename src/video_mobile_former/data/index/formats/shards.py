"""WebDataset shards: tar files of many clips, here or behind a URL.

What may be named: a folder of shards or its URL, a ``shards.json`` (then nothing else is read), tar
files as ``shard-{000000..000012}.tar``, or a text file of such names, one a line. Without a
``shards.json`` the headers of the tar files are read, see ``tar_index.py``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ....errors import DataError, VideoError
from ...byte_ranges import is_url, join, read_bytes
from ..clip import Clip, named
from ..listing import read_text
from ..source import DataSource, Faults, Format
from .plain import plain_names
from .shard_list import NAME, ShardList
from .tar_index import TarClip, read_tars


def is_shards(named: str) -> bool:
    """Tell whether data named without a format is shards.

    Args:
        named: Path, pattern or URL as the user wrote it.
    """
    if is_url(named) or named.endswith(".tar"):
        return True
    path = Path(named)
    if path.is_dir():
        return (path / NAME).is_file() or (path / "sharding.json").is_file() or bool(_tars(path))
    return path.name == NAME


def shards_format(source: DataSource) -> Format:
    """The format of shards, with the classes and kind of labels that they turn out to have.

    Args:
        source: What the user named.

    Raises:
        UserError: If they cannot be read.
    """
    where = _list_of(source.shown)
    if where is None:
        return _foreign_format(source)
    try:
        data = read_bytes(where)
    except VideoError as error:
        raise DataError(f"{where}: {error.reason}") from error
    found = ShardList.loads(data, where)
    base = source.root if source.root is not None else _parent(where)
    return dataclasses.replace(
        SHARDS,
        rows=lambda source, faults: _rows(found, where, base),
        class_names=lambda source: found.class_names,
        multi_label=found.multi_label,
    )


def shard_clips(source: DataSource) -> Iterator[Clip[str]]:
    """Every clip of shards, whether or not anything says its class.

    Args:
        source: What the user named.

    Raises:
        UserError: If they cannot be read.
    """
    if _list_of(source.shown) is not None:
        yield from shards_format(source).rows(source, Faults())
        return
    for found in read_tars(_files(source)):
        yield found.clip


def _list_of(named: str) -> str | None:
    """Path or URL of ``shards.json``; None where only the tar files themselves are named."""
    if named.endswith(".json"):
        return named
    if is_url(named):
        return None if named.endswith((".tar", ".txt")) else f"{named.rstrip('/')}/{NAME}"
    path = Path(named)
    if not path.is_dir():
        return None
    if (path / NAME).is_file():
        return str(path / NAME)
    if (path / "sharding.json").is_file():
        raise DataError(
            f"{named}: not finished, it has no {NAME}; the same `vmf data shard` command goes on"
        )
    return None


def _rows(found: ShardList, where: str, base: str) -> Iterator[Clip[str]]:
    names = found.class_names
    for shard in found.shards:
        path = join(base, shard.file)
        for clip in shard.clips:
            yield dataclasses.replace(named(clip, names), path=path, listing=where)


def _parent(where: str) -> str:
    return where.rpartition("/")[0] if is_url(where) else str(Path(where).absolute().parent)


def _tars(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.tar") if not path.name.startswith("."))


# Tar files of other tools -------------------------------------------------------------------


def _foreign_format(source: DataSource) -> Format:
    files = _files(source)
    clips = list(read_tars(files))
    names: tuple[str, ...] | None = None
    numbers = [clip.label for clip in clips if isinstance(clip.label, int)]
    if source.label_file is not None:
        lines = read_text(Path(source.label_file), "class names").splitlines()
        names = tuple(line.strip() for line in lines if line.strip())
    elif numbers and all(clip.label is None or isinstance(clip.label, int) for clip in clips):
        names = plain_names({str(number) for number in numbers if number >= 0})
    return dataclasses.replace(
        SHARDS,
        rows=lambda source, faults: _foreign_rows(clips, names, faults),
        class_names=lambda source: names,
        multi_label=any(clip.multi_label for clip in clips),
    )


def _files(source: DataSource) -> list[str]:
    named = source.shown
    if not is_url(named) and Path(named).is_dir():
        files = [str(path.absolute()) for path in _tars(Path(named))]
    elif named.endswith(".txt"):
        lines = _lines(named)
        base = source.root if source.root is not None else _parent(named)
        files = [join(base, name) for line in lines for name in expand_braces(line)]
    else:
        base = source.root if source.root is not None else "."
        files = [join(base, name) for name in expand_braces(named)]
    if not files:
        raise DataError(f"{named}: no tar files in it")
    missing = [file for file in files if not is_url(file) and not Path(file).is_file()]
    if missing:
        raise DataError(f"{named}: {len(missing)} of {len(files)} shards are missing: {missing[0]}")
    return files


def _lines(named: str) -> Sequence[str]:
    try:
        text = read_bytes(named).decode("utf-8-sig")
    except VideoError as error:
        raise DataError(f"{named}: {error.reason}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{named}: not a text file; expected names of tar files") from error
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _foreign_rows(
    clips: Sequence[TarClip], names: tuple[str, ...] | None, faults: Faults
) -> Iterator[Clip[str]]:
    for found in clips:
        clip, label = found.clip, found.label
        if found.multi_label:
            yield clip
            continue
        if found.strange or label is None:
            why = found.strange or "its class is in no .json, .cls or .txt beside it"
            faults.add("no label", clip.where, f"{clip.name}: {why}", clip.name)
            continue
        if isinstance(label, int) and names is not None:
            if not 0 <= label < len(names):
                text = f"{clip.name}: class {label} of {len(names)}, counted from 0"
                faults.add("unknown label", clip.where, text, clip.name)
                continue
            label = names[label]
        yield dataclasses.replace(clip, labels=(str(label),))


SHARDS = Format(
    lambda source, faults: shards_format(source).rows(source, faults),
    "WebDataset shards: a folder of tar files, their shards.json, or names of tar files",
    class_names=lambda source: shards_format(source).class_names(source),
)


_GROUP = re.compile(r"\{([^{}]*)\}")
_MOST = 1_000_000


def expand_braces(pattern: str) -> list[str]:
    """Write out the names that a pattern stands for.

    ``{000..012}`` counts, keeping leading zeros; ``{a,b}`` takes each. Several groups multiply.

    Args:
        pattern: A path or URL.

    Returns:
        The names in the order of the pattern; the pattern itself where it has no braces.

    Raises:
        DataError: If a group is not understood or the names are too many to be meant.
    """
    names = [""]
    end = 0
    for group in _GROUP.finditer(pattern):
        between, end = pattern[end : group.start()], group.end()
        choices = _choices(group[1], pattern)
        if len(names) * len(choices) > _MOST:
            raise DataError(f"{pattern}: stands for more than {_MOST} files")
        names = [f"{name}{between}{choice}" for name in names for choice in choices]
    rest = pattern[end:]
    if "{" in rest or "}" in rest:
        raise DataError(f"{pattern}: a brace without its partner")
    return [name + rest for name in names]


def _choices(text: str, pattern: str) -> list[str]:
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if numbers is None:
        if "," not in text:
            raise DataError(f"{pattern}: {{{text}}} must be like {{000..012}} or {{a,b}}")
        return text.split(",")
    first, last = int(numbers[1]), int(numbers[2])
    if first > last or last - first >= _MOST:
        raise DataError(f"{pattern}: {{{text}}} must count upwards, to at most {_MOST} files")
    width = len(numbers[1])
    return [f"{number:0{width}d}" for number in range(first, last + 1)]

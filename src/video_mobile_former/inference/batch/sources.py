"""From sources (files, folders, patterns, lists, shards, URLs) to the videos of a batch run."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ...data.byte_ranges import is_url, join, list_urls, read_bytes, require_protocol
from ...data.index.formats.shards import is_shards, shard_clips
from ...data.index.source import DataSource
from ...data.suffixes import VIDEO_SUFFIXES
from ...errors import DataError, UserError, VideoError, check_path
from ...text import encodable
from ..sources import expand_sources

LIST_SUFFIXES = (".csv", ".tsv", ".txt")
_WILDCARDS = re.compile(r"[*\[]")
_MOST_LIST_BYTES = 4 << 30


class BatchItem(NamedTuple):
    """One video, or a part of one."""

    path: str
    """As it is shown, and known again by the next run."""
    file: str
    """Absolute path or URL of the file that holds it."""
    offset: int | None = None
    """First byte inside the file, where it holds several (a tar shard)."""
    size: int | None = None
    """Bytes of it there."""
    start_seconds: float | None = None
    """Start of the part that is meant; None is the start of the video."""
    end_seconds: float | None = None
    """End of that part, itself excluded; None is the end of the video."""

    @property
    def key(self) -> str:
        """What tells it from all others."""
        path = encodable(self.path)
        if self.start_seconds is None and self.end_seconds is None:
            return path
        return f"{path}\n{self.start_seconds}\n{self.end_seconds}"


def batch_items(sources: Sequence[str | Path]) -> list[BatchItem]:
    """Find the videos of a batch run.

    Args:
        sources: Each a video file, a folder of them however deep, a pattern; a list (``.csv``,
            ``.tsv``: column ``path``, optionally ``start_seconds`` and ``end_seconds``; ``.txt``: a
            path a line); shards (``shards.json``, its folder, ``.tar`` files, a ``.txt`` of such
            names); or a URL of any of these, folders ending in ``/``.

    Returns:
        The videos in the order of the sources, files of a folder or pattern in natural order,
        each once.

    Raises:
        DataError: If a source gives nothing or cannot be read; the message names it.
        UserError: If a kind of URL is unknown or its library is not installed.
    """
    if not sources:
        raise DataError("name at least one video file, folder, pattern or list")
    found: dict[str, BatchItem] = {}
    for source in sources:
        check_path("a source", source)
        for item in _items_of(str(source)):
            # The first spelling of a path is the one that is shown.
            key = item._replace(path=_identity(item)).key
            found.setdefault(key, item)
    return list(found.values())


def _identity(item: BatchItem) -> str:
    if item.offset is not None:
        return item.path
    return item.file if is_url(item.file) else os.path.abspath(item.file)  # noqa: PTH100 - keeps symbolic links


def _items_of(source: str) -> Iterator[BatchItem]:
    suffix = PurePosixPath(source.partition("?")[0]).suffix.lower()
    if suffix in LIST_SUFFIXES and not _WILDCARDS.search(source):
        yield from _listed(source, suffix)
    elif _names_shards(source, suffix):
        yield from _in_shards(source)
    elif is_url(source):
        yield from _by_url(source)
    else:
        for path in expand_sources([source]):
            name = os.fspath(path)
            yield BatchItem(name, join(Path.cwd(), name))


def _names_shards(source: str, suffix: str) -> bool:
    if is_url(source):
        return suffix in (".tar", ".json")
    return is_shards(source)


def _by_url(url: str) -> Iterator[BatchItem]:
    require_protocol(url)
    if not url.endswith("/") and not _WILDCARDS.search(url):
        yield BatchItem(url, url)
        return
    urls = list_urls(url, VIDEO_SUFFIXES)
    if not urls:
        raise DataError(f"{url}: no video files there")
    for each in urls:
        yield BatchItem(each, each)


def _in_shards(source: str) -> Iterator[BatchItem]:
    """Every clip of shards, named as a path inside of its tar file."""
    empty = True
    for clip in shard_clips(DataSource(path=source)):
        empty = False
        inner = clip.name.removeprefix(f"{clip.path.rpartition('/')[2]}/")
        yield BatchItem(
            f"{clip.path}/{inner}",
            clip.path,
            clip.offset,
            clip.size,
            clip.start_seconds,
            clip.end_seconds,
        )
    if empty:
        raise DataError(f"{source}: no clips in these shards")


def _listed(source: str, suffix: str) -> Iterator[BatchItem]:
    try:
        data = read_bytes(source)
        text = data.decode("utf-8-sig")
    except VideoError as error:
        raise DataError(f"{source}: {error.reason}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not a text file; expected a list of videos") from error
    base = source.rpartition("/")[0] if is_url(source) else str(Path(source).absolute().parent)
    if suffix == ".txt":
        lines = [line.strip() for line in text.splitlines()]
        names = [line for line in lines if line and not line.startswith("#")]
        if names and all(name.endswith((".tar", ".tar}")) for name in names):
            yield from _in_shards(source)
            return
        rows: list[tuple[str, float | None, float | None]] = [(name, None, None) for name in names]
    else:
        rows = _table(source, text, "\t" if suffix == ".tsv" else ",")
    if not rows:
        raise DataError(f"{source}: no videos in this list")
    first = next((name for name, _, _ in rows if is_url(name)), None)
    if first is not None:
        require_protocol(first)
    local_base = Path(source).parent
    for name, start, end in rows:
        shown = name if is_url(base) or is_url(name) else str(local_base / name)
        file = join(base, name)
        yield BatchItem(file if is_url(base) else shown, file, None, None, start, end)


def _table(source: str, text: str, delimiter: str) -> list[tuple[str, float | None, float | None]]:
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = [name.strip() for name in next(table, [])]
        if "path" not in header:
            raise DataError(
                f"{source}: its first line must name the columns, path among them, not "
                f"{','.join(header)[:80]!r}"
            )
        columns = [
            header.index(name) if name in header else None
            for name in ("path", "start_seconds", "end_seconds")
        ]
        rows = []
        for fields in table:
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(header):
                raise DataError(
                    f"{source}:{table.line_num}: {len(fields)} fields where the header has "
                    f"{len(header)}"
                )
            cells = [None if i is None else fields[i].strip() for i in columns]
            where = f"{source}:{table.line_num}"
            if not cells[0]:
                raise DataError(f"{where}: path is empty")
            rows.append((cells[0], _seconds(where, cells[1]), _seconds(where, cells[2])))
    except csv.Error as error:
        raise DataError(f"{source}:{table.line_num}: {error}") from error
    return rows


def _seconds(where: str, cell: str | None) -> float | None:
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UserError(f"{where}: seconds must be a number from 0 on, not {cell!r:.40}")
    return value

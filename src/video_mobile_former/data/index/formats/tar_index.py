"""Which clips lie where in tar files that other tools wrote, read off their headers.

The common layouts of WebDataset are understood: members ``<key>.mp4`` (or another video) beside
``<key>.json``, ``<key>.cls`` or ``<key>.txt``. Only headers and labels are read; videos are passed
over.
"""

from __future__ import annotations

import dataclasses
import re
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from ....errors import DataError
from ....optional import require
from ....untrusted import parse_json
from ...byte_ranges import is_url, require_protocol
from ...suffixes import VIDEO_SUFFIXES
from ..clip import KEPT, Clip, from_json
from ..listing import SPLIT_NAMES

_LABEL_KEYS = ("label_name", "label", "class_name", "class", "cls", "category")
"""Keys of a clip's JSON under which its class is looked for, in this order."""
_SPLIT_KEYS = ("split", "subset")
_OF_FILE = ("path", "name", "offset", "size")
_OTHERS = tuple(
    field.name for field in KEPT if field.name not in (*_OF_FILE, "labels", "split", "group")
)
"""Fields of a clip that its JSON has under their own names."""
_READ_AHEAD = 1 << 16
"""Bytes fetched at once from a URL: a header, and the labels and headers that follow a video."""
_CONNECTIONS = 8
_MOST_LABEL_BYTES = 10_000_000


@dataclass
class TarClip:
    """A clip as a tar file tells of it."""

    key: str
    clip: Clip[str]
    """Its labels are those of a multi-label set."""
    label: str | int | None = None
    """Name of the class, or its number; None where nothing says it."""
    multi_label: bool = False
    strange: str = ""
    """What of its description is not understood."""
    _rank: int = field(default=99, repr=False)


def read_tars(files: Sequence[str]) -> Iterator[TarClip]:
    """Yield the clips of tar files, in their order.

    Args:
        files: Paths or URLs.

    Raises:
        DataError: If a file is no tar, compressed or cut off.
        UserError: If the library for a kind of URL is not installed.
    """
    for file in files[:1]:
        require_protocol(file)
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for clips in pool.map(_read_tar, files):
            yield from clips


def _read_tar(file: str) -> list[TarClip]:
    clips: dict[str, TarClip] = {}
    described: set[tuple[str, str]] = set()
    try:
        with _opened(file) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                if member.isfile():
                    _note(clips, described, file, member, tar)
    except tarfile.TarError as error:
        hint = "compressed? shards must be plain tar files" if _looks_packed(file) else str(error)
        raise DataError(f"{file}: not a tar file, or damaged ({hint})") from error
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file, or its server does not answer") from error
    except OSError as error:
        raise DataError(f"{file}: {error.strerror or error}") from error
    return [clip for clip in clips.values() if clip.clip.offset is not None]


def _opened(file: str) -> BinaryIO:
    if not is_url(file):
        return Path(file).open("rb")
    fsspec = require("fsspec", extra="shards", purpose="reading URLs")
    system, inner = fsspec.core.url_to_fs(file)
    # The default reads five megabytes ahead, which would fetch every video that is passed over.
    found = system.open(inner, "rb", block_size=_READ_AHEAD, cache_type="readahead")
    return cast("BinaryIO", found)


def _looks_packed(file: str) -> bool:
    return file.lower().endswith((".gz", ".tgz", ".bz2", ".xz", ".zst"))


def _note(
    clips: dict[str, TarClip],
    described: set[tuple[str, str]],
    file: str,
    member: tarfile.TarInfo,
    tar: tarfile.TarFile,
) -> None:
    folder, _, base = member.name.rpartition("/")
    stem, _, ending = base.partition(".")  # as WebDataset: the key ends at the first dot
    if not stem or not ending:
        return
    key = f"{folder}/{stem}" if folder else stem
    ending = ending.lower()
    last = "." + ending.rpartition(".")[2]
    # Keys often count from 0 in every file.
    name = f"{file.rpartition('/')[2]}/{key}"
    if ending in ("json", "cls", "txt"):
        if (key, ending) in described:
            raise DataError(f"{file}: {key!r} has two members .{ending}")
        described.add((key, ending))
    clip = clips.setdefault(key, TarClip(key, Clip(file, name=name, listing=file)))
    if last in VIDEO_SUFFIXES:
        if clip.clip.offset is not None:
            raise DataError(f"{file}: {key!r} has two videos")
        place = {"offset": member.offset_data, "size": member.size}
        clip.clip = dataclasses.replace(clip.clip, **place)
    elif ending in ("json", "cls", "txt") and member.size <= _MOST_LABEL_BYTES:
        content = tar.extractfile(member)
        _describe(clip, ending, content.read() if content else b"")
    elif ending in ("json", "cls", "txt"):
        clip.strange = f"its .{ending} is larger than {_MOST_LABEL_BYTES:,} bytes"


def _describe(clip: TarClip, ending: str, data: bytes) -> None:
    rank = ("json", "cls", "txt").index(ending)
    try:
        if ending == "json":
            value = parse_json(data, "it", _MOST_LABEL_BYTES)
            if not isinstance(value, dict):
                raise ValueError("no object")
            _take(clip, value)
            if clip.label is None and not clip.multi_label:
                return
        elif rank < clip._rank:
            text = data.decode().strip()
            is_number = ending == "cls" and re.fullmatch(r"[0-9]{1,18}", text) is not None
            clip.label = int(text) if is_number else text
        clip._rank = min(rank, clip._rank)
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are such
        clip.strange = f"its .{ending} is not understood ({error})"


def _take(clip: TarClip, value: dict[str, Any]) -> None:
    names = value.get("label_names", value.get("labels"))
    found = next((value[key] for key in _LABEL_KEYS if key in value), None)
    fields = {name: value.get(name) for name in _OTHERS}
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        fields["labels"], clip.multi_label = names, True
    elif isinstance(found, str | int) and not isinstance(found, bool):
        clip.label = found
    split = next((value[key] for key in _SPLIT_KEYS if key in value), None)
    if isinstance(split, str) and split:
        if split.lower() not in SPLIT_NAMES:
            raise ValueError(f"unknown split {split!r}")
        fields["split"] = SPLIT_NAMES[split.lower()]
    if value.get("group") is not None:
        fields["group"] = str(value["group"])
    known = {name: getattr(clip.clip, name) for name in (*_OF_FILE, "listing")}
    clip.clip = from_json(fields, str, **known)

"""From command-line sources (files, folders, patterns) to a list of video files."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..data.byte_ranges import is_url, require_protocol
from ..data.suffixes import VIDEO_SUFFIXES
from ..data.video.picture_folder import picture_names
from ..errors import DataError, check_path
from ..text import natural_key

_WILDCARDS = re.compile(r"[*?\[]")


def expand_sources(sources: str | Path | Sequence[str | Path]) -> list[Path | str]:
    """Find the video files in files, folders and glob patterns.

    A file is taken whatever its suffix. A folder gives the videos (by suffix) in it and below it,
    except hidden ones; a folder with pictures and no videos is itself a video. A pattern matches as
    in a shell, ``**`` included, and the folders among its matches are searched like any folder.
    A URL stands for itself.

    Args:
        sources: One or several; their order is kept.

    Returns:
        Paths and URLs as given, those of one source in natural order (``clip2`` before
        ``clip10``), each file once.

    Raises:
        DataError: If a source matches nothing or cannot be read; the message names it.
        UserError: If a kind of URL is unknown or its library is not installed.
    """
    listed = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    if not isinstance(listed, (list, tuple)):
        check_path("a source", sources)
    if not listed:
        raise DataError("name at least one video file, folder or pattern")
    found: dict[str, Path | str] = {}
    for source in listed:
        check_path("a source", source)
        if is_url(str(source)):
            require_protocol(str(source))
            found.setdefault(str(source), str(source))
            continue
        for path in _expand(source):
            # The first spelling of a path is the one that is shown.
            found.setdefault(os.path.abspath(path), path)  # noqa: PTH100 - keeps symbolic links
    return list(found.values())


def _expand(source: str | Path) -> list[Path]:
    text = str(source)
    path = Path(source)
    if not text:
        raise DataError("a source is empty; name a video file, folder or pattern")
    if not path.exists() and text.startswith("~"):
        path = path.expanduser()
    if path.is_dir():
        videos = _below(path)
        if not videos and picture_names(path):
            return [path]
        if not videos:
            raise DataError(f"{path}: no video files in this folder or below it")
        return videos
    if path.exists():
        return [path]
    if _WILDCARDS.search(text):
        return _matches(str(path))
    raise DataError(f"{path}: no such file or folder")


def _matches(pattern: str) -> list[Path]:
    found: list[Path] = []
    for match in map(Path, glob.glob(pattern, recursive=True)):  # noqa: PTH207 - absolute patterns
        found += _below(match) if match.is_dir() else [match]
    if not found:
        raise DataError(f"{pattern}: no video file matches this pattern")
    return _sorted(found)


def _below(folder: Path) -> list[Path]:
    return _sorted(path for path in _walk(folder) if path.suffix.lower() in VIDEO_SUFFIXES)


def _walk(folder: Path) -> Iterator[Path]:
    """All visible files below a folder; linked folders are followed, each once."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: {error.strerror}") from error

    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        seen.add(os.path.realpath(root))
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(Path(root, name)) not in seen
        ]
        yield from (Path(root, name) for name in files if not name.startswith("."))


def _sorted(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=natural_key)

"""Finding the videos that lists name without their folders or endings, by one walk of a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from ...errors import DataError
from ..labels import folded
from ..listing import SPLIT_NAMES, VIDEO_SUFFIXES
from ..source import Row

PICTURE_SUFFIXES = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"])
"""A folder of files with these endings is a video given as its frames."""

_ENOUGH = 32
"""Pictures at the head of a folder without anything else that make it a frame folder: a data set
of frames has hundreds in each of a hundred thousand folders, and the rest need not be listed."""


class Videos:
    """The videos and frame folders under a folder, by their name without its ending.

    Hidden files and folders are passed over; links to folders are followed.

    Args:
        root: The folder.

    Raises:
        DataError: If it, or a folder in it, cannot be read.
    """

    def __init__(self, root: Path):
        self.root = os.path.abspath(root)  # noqa: PTH100 - links are kept
        self._paths: dict[str, str | list[str]] = {}
        if not root.is_dir():
            raise DataError(f"{root}: no such folder of videos; say where they are with --root")
        self._walk()

    def __len__(self) -> int:
        return sum(1 if isinstance(paths, str) else len(paths) for paths in self._paths.values())

    def find(self, *names: str, prefer: Sequence[str] = ()) -> str | None:
        """The path, relative to ``root``, of the first of these names that there is.

        Args:
            names: Names without folder and ending.
            prefer: Where several files have the name, those win that lie in folders with most of
                these names (of the class, of the split); then a video before a frame folder.
        """
        for name in names:
            found = self._paths.get(name)
            if isinstance(found, str):
                return found
            if found is not None:
                return min(found, key=lambda path: (-_agreement(path, prefer), _is_folder(path)))
        return None

    def row(
        self,
        listed: str,
        labels: tuple[str, ...],
        listing: str,
        line: int = 0,
        *,
        split: str | None = None,
        group: str | None = None,
    ) -> Row:
        """The row of a clip, whatever its folder and ending; as listed where it is not there."""
        prefer = (*labels[:1], split or "")
        found = self.find(without_ending(listed), prefer=prefer) or listed
        return Row(self.absolute(found), labels, found, listing, line, split, group)

    def frame_folders(self) -> list[str]:
        """All frame folders, relative to ``root``, sorted."""
        found: list[str] = []
        for paths in self._paths.values():
            found += filter(_is_folder, [paths] if isinstance(paths, str) else paths)
        return sorted(found)

    def absolute(self, path: str) -> str:
        """The absolute path of what :meth:`find` found, or of what a list names."""
        return f"{self.root}/{path}"

    def _walk(self) -> None:
        folders = [""]
        linked: set[str] = set()
        while folders:
            folder = folders.pop()
            pictures = others = False
            try:
                with os.scandir(f"{self.root}/{folder}") as entries:
                    head = list(islice(entries, _ENOUGH))
                    if folder and len(head) == _ENOUGH and all(_is_picture(e.name) for e in head):
                        self._add(folder.rpartition("/")[2], folder)
                        continue
                    for entry in (*head, *entries):
                        if entry.name.startswith("."):
                            continue
                        stem, dot, ending = entry.name.rpartition(".")
                        path = f"{folder}/{entry.name}" if folder else entry.name
                        if dot and f".{ending.lower()}" in VIDEO_SUFFIXES:
                            self._add(stem, path)
                            others = True
                        elif _is_picture(entry.name):
                            pictures = True
                        elif entry.is_dir():
                            others = True
                            if not _seen(entry, linked):
                                folders.append(path)
            except OSError as error:
                raise DataError(f"{self.root}/{folder}: {error.strerror or error}") from error
            if pictures and folder and not others:
                # Beside videos or folders, pictures are previews and the like.
                self._add(folder.rpartition("/")[2], folder)

    def _add(self, name: str, path: str) -> None:
        known = self._paths.setdefault(name, path)
        if known is path:
            return
        if isinstance(known, list):
            known.append(path)
            known.sort()
        else:
            self._paths[name] = sorted([known, path])


def without_ending(name: str) -> str:
    """The last part of a listed path, without the ending of a video if it has one."""
    name = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.lower()}" in VIDEO_SUFFIXES else name


def _is_picture(name: str) -> bool:
    _, dot, ending = name.rpartition(".")
    return bool(dot) and f".{ending.lower()}" in PICTURE_SUFFIXES and not name.startswith(".")


def _is_folder(path: str) -> bool:
    _, dot, ending = path.rpartition(".")
    return not dot or f".{ending.lower()}" not in VIDEO_SUFFIXES


def _agreement(path: str, prefer: Sequence[str]) -> int:
    parts = [folded(part) for part in path.split("/")[:-1]]
    splits = {SPLIT_NAMES.get(word) for part in parts for word in part.split()}
    return sum(folded(name) in parts or name in splits for name in prefer)


def _seen(entry: os.DirEntry[str], linked: set[str]) -> bool:
    """Whether a link leads to a folder that another link led to, or that holds the link."""
    if not entry.is_symlink():
        return False
    target = os.path.realpath(entry.path)
    if target in linked or os.path.realpath(os.path.dirname(entry.path)).startswith(target):  # noqa: PTH120
        return True
    linked.add(target)
    return False

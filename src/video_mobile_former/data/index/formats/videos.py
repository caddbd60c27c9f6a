"""Finding the videos that lists name without their folders or endings, by one walk of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ....errors import DataError
from ...suffixes import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from ..clip import Clip
from ..folders import Links
from ..labels import folded
from ..listing import SPLIT_NAMES

_ENOUGH = 32
"""Pictures at the head of a folder without anything else that make it a frame folder: a data set
of frames has hundreds in each of a hundred thousand folders, and the rest need not be listed."""


class _Place(NamedTuple):
    """Folder and ending of a file; shared by all files of a folder, so that they cost nothing."""

    folder: str
    """With its slash, relative to the root."""
    ending: str
    """With its dot, as written."""
    is_frames: bool

    def path(self, name: str) -> str:
        return f"{self.folder}{name}{self.ending}"


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
        self._places: dict[str, _Place | list[_Place]] = {}
        if not root.is_dir():
            raise DataError(f"{root}: no such folder of videos; say where they are with --root")
        self._walk()

    def __len__(self) -> int:
        return sum(len(places) for _, places in self._all())

    def find(self, *names: str, prefer: Sequence[str] = ()) -> str | None:
        """The path, relative to ``root``, of the first of these names that there is.

        Args:
            names: Names without folder and ending.
            prefer: Where several files have the name, those win that lie in folders with most of
                these names (of the class, of the split); then a video before a frame folder.
        """
        for name in names:
            place = self._places.get(name)
            if isinstance(place, list):
                place = min(place, key=lambda p: (-_agreement(p.folder, prefer), p.is_frames, p))
            if place is not None:
                return place.path(name)
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
    ) -> Clip[str]:
        """The row of a clip, whatever its folder and ending; as listed where it is not there."""
        prefer = (*labels[:1], split or "")
        found = self.find(without_ending(listed), prefer=prefer) or listed
        return Clip(self.absolute(found), labels, found, listing, line, split, group)

    def frame_folders(self) -> list[str]:
        """All frame folders, relative to ``root``, sorted."""
        every = ((name, place) for name, places in self._all() for place in places)
        return sorted(place.path(name) for name, place in every if place.is_frames)

    def paths(self) -> list[str]:
        """All videos and frame folders, relative to ``root``, sorted."""
        return sorted(place.path(name) for name, places in self._all() for place in places)

    def absolute(self, path: str) -> str:
        """The absolute path of what :meth:`find` found, or of what a list names."""
        return f"{self.root}/{path}"

    def _all(self) -> Iterator[tuple[str, list[_Place]]]:
        for name, place in self._places.items():
            yield name, place if isinstance(place, list) else [place]

    def _walk(self) -> None:
        folders = [""]
        links = Links(self.root)
        while folders:
            folder = folders.pop()
            try:
                folders += self._scan(folder, links)
            except OSError as error:
                raise DataError(f"{self.root}/{folder}: {error.strerror or error}") from error

    def _scan(self, folder: str, links: Links) -> list[str]:
        """Take in the videos of a folder; gives the folders in it."""
        places: dict[str, _Place] = {}
        folders: list[str] = []
        pictures = others = False
        with os.scandir(f"{self.root}/{folder}") as entries:
            head = list(islice(entries, _ENOUGH))
            if len(head) == _ENOUGH and all(_is_picture(entry.name) for entry in head):
                pictures, entries = True, ()
            for entry in (*head, *entries):
                stem, dot, ending = entry.name.rpartition(".")
                if entry.name.startswith(".") or (pictures and _is_picture(entry.name)):
                    continue
                if entry.is_dir():
                    others = True
                    if links.leads_on(entry):
                        folders.append(f"{folder}{entry.name}/")
                elif dot and f".{ending.lower()}" in VIDEO_SUFFIXES:
                    others = True
                    place = places.get(ending)
                    if place is None:
                        place = places[ending] = _Place(folder, f".{ending}", False)
                    self._add(stem, place)
                else:
                    pictures = pictures or _is_picture(entry.name)
        if pictures and not others and folder:
            # Beside videos or folders, pictures are previews and the like.
            parent, _, name = folder[:-1].rpartition("/")
            stem = without_ending(name)
            self._add(stem, _Place(f"{parent}/" if parent else "", name[len(stem) :], True))
        return folders

    def _add(self, name: str, place: _Place) -> None:
        known = self._places.setdefault(name, place)
        if isinstance(known, list):
            known.append(place)
        elif known is not place:
            self._places[name] = [known, place]


def without_ending(name: str) -> str:
    """The last part of a listed path, without the ending of a video if it has one."""
    name = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.lower()}" in VIDEO_SUFFIXES else name


def _is_picture(name: str) -> bool:
    _, dot, ending = name.rpartition(".")
    return bool(dot) and f".{ending.lower()}" in PICTURE_SUFFIXES and not name.startswith(".")


def _agreement(folder: str, prefer: Sequence[str]) -> int:
    parts = [folded(part) for part in folder.split("/")]
    splits = {SPLIT_NAMES.get(word) for part in parts for word in part.split()}
    return sum(folded(name) in parts or name in splits for name in prefer)

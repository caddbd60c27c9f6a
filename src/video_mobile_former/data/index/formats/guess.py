"""Messages for data whose format is neither given nor recognised by itself."""

from __future__ import annotations

import re
from pathlib import Path

from ..listing import REQUIRED
from .plain import looks_plain

_HEAD = 65536
"""Bytes of a list from which its format is guessed."""
_LISTS = (".csv", ".json", ".tsv", ".txt")
_BY_NAME = (
    (r"(.*[-_])?(train|test)list\d+\.txt|(.*[-_])?classInd\.txt", "ucf101"),
    (r".+_test_split\d+\.txt", "hmdb51"),
    (r"something-something.*\.json|(train|validation|labels)\.json", "something_something_v2"),
    (r"jester.*\.csv", "jester"),
    (r"diving48.*\.json", "diving48"),
    (r"charades.*\.csv", "charades"),
)


def advise(listing: Path) -> str:
    """Which ``--format`` to name; empty where the data is a folder of classes or a CSV/TSV.

    Args:
        listing: A file or folder that exists.
    """
    if listing.is_dir():
        return _advise_folder(listing)
    try:
        with listing.open("rb") as file:
            head = file.read(_HEAD).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""  # those who need it give a better message
    first = next((line for line in head.splitlines() if line.strip()), "").lower()
    words = set(re.split(r"[\s,;\"]+", first))
    if set(REQUIRED) <= words and "original_vido_id" not in words:
        return ""
    if words & {"youtube_id", "youtube-id"}:
        return "this is a list of Kinetics; name which: --format kinetics400, 600 or 700"
    named = _by_name(listing.name)
    if named:
        return f"this looks like a list of its own form: --format {named}"
    if looks_plain(head):
        return "no header path,label; for a list of 'path label' lines give --format slowfast"
    return ""


def _advise_folder(folder: Path) -> str:
    inner = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    if any(path.is_dir() for path in inner):
        return ""  # class folders, or it is said what they should be
    advised = ((path.name, advise(path)) for path in inner if path.suffix.lower() in _LISTS)
    return next((f"{name} in it: {advice}" for name, advice in advised if advice), "")


def _by_name(name: str) -> str:
    return next((form for p, form in _BY_NAME if re.fullmatch(p, name, re.IGNORECASE)), "")

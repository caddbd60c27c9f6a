"""Names for files made from clips: safe on every system, and one for each clip."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from ..index.clip import Clip

_UNSAFE = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')
_END = re.compile(r"[\s.]+$")
"""What Windows takes off the end of a name."""
_LONGEST = 120
"""Bytes of one part of a path; file systems take 255, and endings are to be added."""


def output_names(clips: Sequence[Clip], suffix: str) -> list[str]:
    """Name a file for every clip after the clip's own name.

    A clip that is a part of a file gets its times into its name. Folders are kept; the way up out
    of a folder (``..``), a drive, a scheme such as ``s3://`` and characters that some file systems
    refuse are not. Where two clips would get the same name (also if only upper and lower case tell
    them apart) or a character is lost, a few digits of a hash are added, so that the names do not
    depend on the order of the clips.

    Args:
        clips: The clips.
        suffix: Ending of the names, for example ``".mp4"``.

    Returns:
        One relative path with forward slashes for each clip, all different.
    """
    candidates = [_candidate(clip) for clip in clips]
    taken = Counter(name.casefold() for name, _ in candidates)
    out: list[str] = []
    used: set[str] = set()
    for clip, (name, changed) in zip(clips, candidates, strict=True):
        if changed or taken[name.casefold()] > 1:
            name = f"{name}-{_digest(clip)}"
        unique, number = name, 1
        while unique.casefold() in used:  # the same name for another file: only the order is left
            number += 1
            unique = f"{name}-{number}"
        used.add(unique.casefold())
        out.append(unique + suffix)
    return out


def _candidate(clip: Clip) -> tuple[str, bool]:
    """A safe path without an ending, and whether something of the name was lost."""
    name = (clip.name or clip.path).partition("://")[2] or clip.name or clip.path
    whole = [part for part in name.split("/") if part not in ("", ".", "..")]
    parts = [_safe(part) for part in whole[:-1]]
    stem = whole[-1] if whole else "clip"
    if "." in stem.strip("."):
        stem = stem.rpartition(".")[0]
    # A folder `a.mp4/` would stand in the way of a file `a.mp4`.
    parts = [f"{part}_" if part.lower().endswith(".mp4") else part for part in parts]
    changed = parts != whole[:-1] or _safe(stem) != stem
    last = _safe(stem)
    if clip.start_seconds is not None or clip.end_seconds is not None:
        end = "end" if clip.end_seconds is None else f"{clip.end_seconds:.3f}"
        last += f"_{clip.start_seconds or 0:.3f}-{end}"
    return "/".join([*parts, last]), changed


def _safe(part: str) -> str:
    # Bytes that are no UTF-8 come as surrogates, which cannot be written into a list.
    text = part.encode("utf-8", "replace").decode("utf-8")
    text = unicodedata.normalize("NFC", _UNSAFE.sub("_", text))
    text = "".join(char if char.isprintable() else "_" for char in text)
    while len(text.encode()) > _LONGEST:
        text = text[:-1]
    text = _END.sub("", text.strip())
    return f"_{text[1:]}" if text[:1] in ("", ".", "~", "-") else text


def _digest(clip: Clip) -> str:
    what = (clip.name or clip.path, clip.start_seconds, clip.end_seconds, clip.offset)
    return hashlib.sha256(repr(what).encode("utf-8", "surrogateescape")).hexdigest()[:8]

"""The kinds of problems with data, their severity, and what to do about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "unusable", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "unusable", "warning", "note")
"""Worst first. ``error``: training should not start. ``unusable``: the quarantine list excludes the
clip, and training may start without it. ``warning``: likely a mistake, or worse results than
necessary. ``note``: good to know."""


@dataclass(frozen=True)
class Kind:
    """One kind of problem."""

    severity: Severity
    advice: str
    """Meaning or remedy, for the page; one or two sentences."""


KINDS: dict[str, Kind] = {
    # Rows of a list, folders of classes
    "missing": Kind("error", "Listed, but not there. Fix the list, or add the files."),
    "missing from the official list": Kind(
        "note", "Listed files are commonly missing in this data set. Training excludes them."
    ),
    "much is missing": Kind("warning", "Results are not comparable to those on the whole set."),
    "malformed": Kind("error", "A row that cannot be parsed. Fix it."),
    "unknown label": Kind("error", "A label that is not in the class list. Fix the row."),
    "unknown split": Kind("error", "Splits are train, val and test. Fix the row."),
    "two labels": Kind("error", "The same clip under two labels: one of them is wrong."),
    "two splits": Kind("error", "The same clip in two splits. Take it out of one."),
    "empty": Kind("error", "A split without any class folder. Fill it, or remove the folder."),
    "class order": Kind("error", "The label file and the data disagree on the order of classes."),
    "unusable row": Kind("error", "Training would refuse this row. Fix it."),
    # Files that give no clip
    "empty file": Kind("unusable", "No content: a failed download or copy."),
    "unreadable": Kind("unusable", "It cannot be decoded."),
    "cannot be read": Kind("unusable", "The system could not read it. Try again, check the disk."),
    "no permission": Kind("unusable", "The file may not be read by this user: chmod or chown it."),
    "not a video": Kind("unusable", "Other content under the name of a video."),
    "no video stream": Kind("unusable", "Only sound, or only a title picture."),
    "truncated": Kind("unusable", "Cut off or damaged: it ends early. Download it again."),
    "zero duration": Kind("unusable", "A single frame, or all frames at the same time: no motion."),
    "empty part": Kind("unusable", "The annotated times lie outside the video."),
    "too slow": Kind(
        "unusable", "Reading it made no progress. Convert it, or raise --timeout_seconds."
    ),
    "too large": Kind(
        "unusable", "It needs more memory than allowed. Convert it, or raise --memory_limit_mb."
    ),
    "crash": Kind("unusable", "The decoder crashed on it, twice."),
    # Leaks and copies
    "leak": Kind(
        "error",
        "The same content in two splits: results would be too good. The copies in train are in "
        "the quarantine list; remove them from the data, or --allow leak.",
    ),
    "group across splits": Kind("error", "Clips of one group are in several splits: a leak."),
    "same content, two labels": Kind("error", "Copies of one clip under different labels."),
    "near leak": Kind(
        "warning", "Clips in two splits look the same throughout: a re-encoded copy?"
    ),
    "video across splits": Kind("warning", "Parts of one video are in several splits."),
    "same camera across splits": Kind(
        "warning",
        "No groups are given, and the background is that of a training clip: one camera, one "
        "place? Results would be too good for new places. Name the place of each clip in a group "
        "column, and keep groups together.",
    ),
    "same camera": Kind(
        "warning",
        "No groups are given, and clips share a background: one camera, one place? Clips held out "
        "at random would be on both sides. Name the place of each clip in a group column.",
    ),
    "duplicate": Kind("warning", "The same content twice in a split: it counts double."),
    "near duplicate": Kind("warning", "They look the same throughout: a re-encoded copy?"),
    # Classes
    "empty class": Kind("error", "No usable clip to train on."),
    "class without clips": Kind("warning", "In the class list, but no clip has it."),
    "likely label typo": Kind("error", "A class of few clips, named almost like a large one."),
    "cannot be held out": Kind(
        "error", "Without a val split a part of every class is held out; this class is too small."
    ),
    "no training clips": Kind("error", "The data has splits, but no clip is in train."),
    "one class": Kind("error", "A classifier needs at least two."),
    "too many unusable": Kind("error", "So much is unusable that there must be another cause."),
    "tiny class": Kind("warning", "Few usable clips to train on."),
    "class absent from split": Kind("warning", "Results on this split do not cover the class."),
    "imbalance": Kind("note", "Classes of very different size: see data.class_balanced."),
    # Readable files with something odd
    "damaged pictures": Kind("warning", "The decoder had to conceal errors in some frames."),
    "fewer frames": Kind("warning", "Fewer frames decode than the header announces."),
    "time stamps": Kind(
        "warning",
        "Missing, double or in another order than the frames, or a header of another length: "
        "repaired as far as possible. Convert the file to be sure.",
    ),
    "absurd duration": Kind("warning", "Length or frame rate is implausible."),
    "blank": Kind("warning", "All frames have one colour."),
    "still": Kind("warning", "Nothing seems to move, from start to end."),
    "wrong extension": Kind("warning", "A video by its content, but not by its name: rename it."),
    "name": Kind("warning", "A name that is not UTF-8 or cannot be printed. Other tools may fail."),
    "high dynamic range": Kind("warning", "Colours are not tone-mapped: they look pale."),
    "size changes": Kind("warning", "The frame size changes within the video; all are scaled."),
    "more than 8 bits": Kind("note", "Decoded to 8 bits."),
    "variable frame rate": Kind("note", "Clips are sampled by time, so this is fine here."),
    "pixel shape": Kind("note", "Pixels are not square: pictures get the shape a player shows."),
    "rotated": Kind("note", "Frames are turned upright, as in a player."),
}
"""Every kind, the worst of each topic first; the order of reports."""


@dataclass(frozen=True)
class Problem:
    """A problem of one clip, file, row, group or class."""

    kind: str
    """A key of ``KINDS``."""
    severity: Severity
    """As in ``KINDS`` unless the user allowed it."""
    name: str
    """The subject: a clip as written in the data, a class, a group."""
    text: str
    """One phrase."""
    where: str = ""
    """File and line, for rows of lists."""
    related: tuple[str, ...] = ()
    """Other clips it concerns."""
    quarantined: bool = False
    """The clip is in the quarantine list."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "name": self.name,
            "text": self.text,
            "where": self.where,
            "related": list(self.related),
            "quarantined": self.quarantined,
        }


def problem(kind: str, name: str, text: str, **more: Any) -> Problem:
    """A problem with the default severity of its kind."""
    return Problem(kind, KINDS[kind].severity, name, text, **more)

"""What can be wrong with data, how bad it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "unusable", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "unusable", "warning", "note")
"""From the worst on. ``error``: training should not start. ``unusable``: the clip is left out by
way of the quarantine list, and training may start without it. ``warning``: likely a mistake, or
worse results than need be. ``note``: good to know."""


@dataclass(frozen=True)
class Kind:
    """One kind of problem."""

    severity: Severity
    advice: str
    """What it means or what to do, for the page; one or two sentences."""


KINDS: dict[str, Kind] = {
    # Rows of a list, folders of classes
    "missing": Kind("error", "Listed, but not there. Mend the list, or bring the files."),
    "missing from the official list": Kind(
        "note", "Listed files are commonly gone in this data set. They are left out of training."
    ),
    "much is missing": Kind("warning", "Results will not compare with those on the whole set."),
    "malformed": Kind("error", "A row that cannot be understood. Mend it."),
    "unknown label": Kind("error", "A label that is not in the class list. Mend the row."),
    "unknown split": Kind("error", "Splits are train, val and test. Mend the row."),
    "two labels": Kind("error", "The same clip under two labels: one of them is wrong."),
    "two splits": Kind("error", "The same clip in two splits. Take it out of one."),
    "empty": Kind("error", "A split without any class folder. Fill it, or remove the folder."),
    "class order": Kind("error", "The label file and the data disagree on the order of classes."),
    "unusable row": Kind("error", "Training would refuse this row. Mend it."),
    # Files that give no clip
    "empty file": Kind("unusable", "Nothing in it: a download or copy that failed."),
    "unreadable": Kind("unusable", "No decoder can make anything of it."),
    "cannot be read": Kind(
        "unusable", "The system could not read it. Try again, look at the disk."
    ),
    "no permission": Kind("unusable", "The file may not be read by this user: chmod or chown it."),
    "not a video": Kind("unusable", "Something else under the name of a video."),
    "no video stream": Kind("unusable", "Only sound, or only a title picture."),
    "truncated": Kind(
        "unusable", "Cut off or damaged: it ends before its header says. Fetch anew."
    ),
    "zero duration": Kind("unusable", "A single picture, or all at the same time: no motion."),
    "empty part": Kind("unusable", "The annotated times lie outside the video."),
    "too slow": Kind(
        "unusable", "Reading it did not get on. Convert it, or raise --timeout_seconds."
    ),
    "too large": Kind(
        "unusable", "It needs more memory than allowed. Convert it, or raise --memory_limit_mb."
    ),
    "crash": Kind("unusable", "The decoder crashed on it, twice."),
    # Leaks and copies
    "leak": Kind(
        "error",
        "The same content in two splits: results would look better than they are. The copies in "
        "train are in the quarantine list; remove them from the data, or --allow leak.",
    ),
    "group across splits": Kind("error", "Clips of one group are in several splits: a leak."),
    "same content, two labels": Kind("error", "Copies of one clip under different labels."),
    "near leak": Kind(
        "warning", "Clips in two splits look the same all along: a copy in another encoding?"
    ),
    "video across splits": Kind("warning", "Parts of one video are in several splits."),
    "duplicate": Kind("warning", "The same content twice in a split: it counts double."),
    "near duplicate": Kind("warning", "They look the same all along: a copy in another encoding?"),
    # Classes
    "empty class": Kind("error", "No usable clip to train on."),
    "class without clips": Kind("warning", "In the class list, but no clip has it."),
    "likely label typo": Kind("error", "A class of few clips, named almost like a large one."),
    "cannot be held out": Kind(
        "error", "Without a val split a part of every class is held out; this class has too little."
    ),
    "no training clips": Kind("error", "The data names splits, but no clip is in train."),
    "one class": Kind("error", "There is nothing to tell apart."),
    "too many unusable": Kind("error", "So much is unusable that something else must be wrong."),
    "tiny class": Kind("warning", "Few usable clips to train on."),
    "class absent from split": Kind("warning", "Results on this split say nothing of the class."),
    "imbalance": Kind("note", "Classes of very different size: see data.class_balanced."),
    # Readable files with something odd
    "damaged pictures": Kind("warning", "The decoder had to patch some pictures."),
    "fewer frames": Kind("warning", "Fewer pictures come out than are announced."),
    "time stamps": Kind(
        "warning",
        "Missing, double or in another order than the frames, or a header of another length: "
        "mended as well as can be. Convert the file to be sure.",
    ),
    "absurd duration": Kind("warning", "Length or frame rate cannot be meant so."),
    "blank": Kind("warning", "All pictures are of one colour."),
    "still": Kind("warning", "Nothing seems to move, from begin to end."),
    "wrong extension": Kind("warning", "A video by its content, but not by its name: rename it."),
    "name": Kind("warning", "A name that is not UTF-8 or cannot be printed. Other tools may fail."),
    "high dynamic range": Kind("warning", "Colours are not tone-mapped: they will look pale."),
    "size changes": Kind("warning", "Pictures change their size on the way; all are scaled."),
    "more than 8 bits": Kind("note", "Decoded to 8 bits."),
    "variable frame rate": Kind("note", "Clips are sampled by time, so this is fine here."),
    "pixel shape": Kind("note", "Pixels are not square: pictures get the shape a player shows."),
    "rotated": Kind("note", "Pictures are turned upright, as a player does."),
}
"""Every kind, worst things of each topic first; the order of reports."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with one clip, file, row, group or class."""

    kind: str
    """A key of ``KINDS``."""
    severity: Severity
    """As in ``KINDS`` unless the user said to allow it."""
    name: str
    """What it is about: a clip as written in the data, a class, a group."""
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
    """A problem as bad as its kind is by default."""
    return Problem(kind, KINDS[kind].severity, name, text, **more)

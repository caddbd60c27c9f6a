"""The outcome of a check: a verdict and all that speaks for it."""

from __future__ import annotations

import dataclasses
import datetime
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import UserError
from ...text import printable, shorten_middle, wrap
from ...version import __version__
from ..index.index import ClipIndex
from ..index.source import DataSource
from ..index.table import SPLITS
from .class_rules import class_counts
from .distributions import Distribution, distributions, picture_sizes
from .facts import FileFacts
from .problems import KINDS, SEVERITIES, Problem, Severity

CHECK_FORMAT = 1
"""Number of the form of ``check.json``; raised whenever a field changes its meaning or goes."""

_EXAMPLES = 3
"""Problems of a kind that the terminal shows."""
_WIDTH = 80


@dataclass(frozen=True)
class CheckOptions:
    """How thoroughly data is checked, and what is accepted."""

    full: bool = True
    """Decode every frame; otherwise headers, packets and one frame of each file."""
    split: str | None = None
    """Only the clips of one split."""
    num_workers: int | None = None
    """Processes that read; None takes the usable cores, at most 8."""
    timeout_seconds: float = 60.0
    """Longest time in which the reading of a file does not get on."""
    memory_limit_mb: float = 2048.0
    """Most memory that reading a file may take, in MiB."""
    min_clips: int = 5
    """Usable training clips below which a class is called tiny."""
    allow: frozenset[str] = frozenset()
    """Kinds of errors that are to count as warnings."""

    def __post_init__(self) -> None:
        for kind in sorted(self.allow):
            if kind not in KINDS or KINDS[kind].severity != "error":
                # In quotes: one of them has a comma in it.
                errors = ", ".join(repr(k) for k, v in KINDS.items() if v.severity == "error")
                raise UserError(f"--allow {kind}: no such kind of error; there are: {errors}")
        if self.num_workers is not None and self.num_workers < 1:
            raise UserError(f"--num_workers must be at least 1, not {self.num_workers}")
        for name in ("timeout_seconds", "memory_limit_mb"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"--{name} must be above 0, not {getattr(self, name):g}")


@dataclass(frozen=True)
class CheckResult:
    """What a check found."""

    source: DataSource
    options: CheckOptions
    index: ClipIndex
    """All clips whose rows are in order."""
    facts: list[FileFacts]
    """Of the file of each clip."""
    usable: np.ndarray
    """``(N,)`` bool; the clips that the quarantine list does not name."""
    problems: list[Problem]
    """Worst topics first."""
    quarantine: dict[str, str]
    """Reasons for the names of clips to be left out."""
    num_files: int
    num_passed_over: int
    """Files in class folders that are no videos by name."""
    may_lack_files: bool
    """Whether listed files are commonly gone in this kind of data set."""
    seconds: float
    """Time the check took."""
    date: str = field(
        default_factory=lambda: datetime.datetime.now(datetime.timezone.utc).isoformat(
            timespec="seconds"
        )
    )

    @property
    def may_start(self) -> bool:
        """Whether training may start, leaving out what the quarantine list names."""
        return not self.count("error")

    def count(self, severity: Severity) -> int:
        """Number of problems of one severity."""
        return sum(one.severity == severity for one in self.problems)

    def kinds(self) -> dict[str, list[Problem]]:
        """The problems of every kind there is, worst severity first."""
        out: dict[str, list[Problem]] = {}
        for one in sorted(self.problems, key=lambda p: SEVERITIES.index(p.severity)):
            out.setdefault(one.kind, []).append(one)
        return out

    @property
    def missing(self) -> int:
        """Listed files that are not there."""
        names = ("missing", "missing from the official list")
        return sum(one.kind in names for one in self.problems)

    def distributions(self) -> list[Distribution]:
        """Lengths, sizes and rates of what can be used."""
        rows = zip(self.index.clips, self.facts, self.usable, strict=True)
        return distributions([(clip, facts) for clip, facts, good in rows if good])

    def class_rows(self) -> list[dict[str, Any]]:
        """Name and numbers of clips of every class."""
        listed = class_counts(self.index, np.ones(len(self.index), dtype=bool))
        usable = class_counts(self.index, self.usable)
        here = [split for split in ("", *SPLITS) if listed[split].any()]
        return [
            {
                "name": name,
                "clips": {split or "all": int(listed[split][label]) for split in here},
                "usable": {split or "all": int(usable[split][label]) for split in here},
            }
            for label, name in enumerate(self.index.class_names)
        ]

    def summary(self) -> dict[str, Any]:
        """What a program needs to decide whether to go on."""
        return {
            "format": CHECK_FORMAT,
            "may_start": self.may_start,
            "data": self.source.place,
            "split": self.options.split,
            "decoded": "every frame" if self.options.full else "one frame of each file",
            "clips": len(self.index),
            "files": self.num_files,
            "classes": len(self.index.class_names),
            "usable_clips": int(self.usable.sum()),
            "quarantined": len(self.quarantine),
            "missing_files": self.missing,
            "missing_share": self.missing / max(1, self.missing + len(self.index)),
            "files_may_be_missing": self.may_lack_files,
            "passed_over_files": self.num_passed_over,
            "severities": {severity: self.count(severity) for severity in SEVERITIES},
            "kinds": {kind: len(problems) for kind, problems in self.kinds().items()},
            "seconds": round(self.seconds, 3),
            "date": self.date,
            "version": __version__,
        }

    def to_dict(self) -> dict[str, Any]:
        """The content of ``check.json``."""
        return {
            **self.summary(),
            "source": dataclasses.asdict(self.source),
            "allowed": sorted(self.options.allow),
            "problems": [one.to_json() for one in self.problems],
            "class_counts": self.class_rows(),
            "distributions": {one.name: one.to_json() for one in self.distributions()},
            "picture_sizes": dict(picture_sizes(self.facts)),
        }

    def report(self) -> str:
        """Lines of at most 80 columns for the terminal."""
        lines = [self._head()]
        for kind, problems in self.kinds().items():
            lines += self._about(kind, problems)
        lines += ["", self.verdict()]
        return "\n".join(lines)

    def verdict(self) -> str:
        """One sentence."""
        errors = self.count("error")
        if errors:
            return f"not ready for training: {_number(errors, 'error')}"
        if self.quarantine:
            return f"training may start without {_number(len(self.quarantine), 'clip')}"
        return "training may start"

    def _head(self) -> str:
        counts = [
            _number(len(self.index), "clip"),
            _number(self.num_files, "file"),
            _number(len(self.index.class_names), "class"),
        ]
        lines = [f"{', '.join(counts)}, read in {self.seconds:.1f} s"]
        if self.missing:
            share = self.missing / (self.missing + len(self.index))
            files = _number(self.missing, "listed file")
            is_missing = "is missing" if self.missing == 1 else "are missing"
            lines.append(f"{files} {is_missing}: {100 * share:.1f} %")
        return "\n".join(lines)

    def _about(self, kind: str, problems: list[Problem]) -> list[str]:
        lines = [f"{problems[0].severity:9} {kind}: {len(problems)}"]
        for one in problems[:_EXAMPLES]:
            name = shorten_middle(printable(one.name), 40)
            lines += _indented(f"{name}: {printable(one.text)}")
        if len(problems) > _EXAMPLES:
            lines.append(f"{' ' * 12}… and {len(problems) - _EXAMPLES} more")
        return lines


def _indented(text: str) -> list[str]:
    first, *rest = wrap(text, _WIDTH - 14)
    return [" " * 12 + first, *(" " * 14 + line for line in rest)]


def _number(count: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{count} {what if count == 1 else plural}"

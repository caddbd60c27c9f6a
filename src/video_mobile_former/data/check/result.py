"""The outcome of a check: a verdict and its evidence."""

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
"""Format number of ``check.json``; raised whenever a field changes its meaning or is removed."""

_EXAMPLES = 3
"""Problems of a kind that the terminal shows."""
_WIDTH = 80


@dataclass(frozen=True)
class CheckOptions:
    """Thoroughness of a check, and accepted problems."""

    full: bool = True
    """Decode every frame; otherwise headers, packets and one frame of each file."""
    split: str | None = None
    """Only the clips of this split."""
    num_workers: int | None = None
    """Reading processes; None takes the usable cores, at most 8."""
    timeout_seconds: float = 60.0
    """Longest time without progress in reading a file."""
    memory_limit_mb: float = 2048.0
    """Most memory that reading a file may take, in MiB."""
    min_clips: int = 5
    """Usable training clips below which a class is called tiny."""
    allow: frozenset[str] = frozenset()
    """Kinds of errors that count as warnings."""

    def __post_init__(self) -> None:
        for kind in sorted(self.allow):
            if kind not in KINDS or KINDS[kind].severity != "error":
                # Quoted: one of them contains a comma.
                errors = ", ".join(repr(k) for k, v in KINDS.items() if v.severity == "error")
                raise UserError(f"--allow {kind}: no such kind of error; there are: {errors}")
        if self.num_workers is not None and self.num_workers < 1:
            raise UserError(f"--num_workers must be at least 1, not {self.num_workers}")
        for name in ("timeout_seconds", "memory_limit_mb"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"--{name} must be above 0, not {getattr(self, name):g}")


@dataclass(frozen=True)
class CheckResult:
    """The outcome of a check."""

    source: DataSource
    options: CheckOptions
    index: ClipIndex
    """All clips with valid rows."""
    facts: list[FileFacts]
    """Facts of the file of each clip."""
    usable: np.ndarray
    """``(N,)`` bool; the clips not in the quarantine list."""
    problems: list[Problem]
    """In the order of ``KINDS``."""
    quarantine: dict[str, str]
    """Reasons by the names of excluded clips."""
    num_files: int
    num_passed_over: int
    """Files in class folders without the name of a video."""
    may_lack_files: bool
    """Whether listed files are commonly missing in this kind of data set."""
    seconds: float
    """Duration of the check."""
    date: str = field(
        default_factory=lambda: datetime.datetime.now(datetime.timezone.utc).isoformat(
            timespec="seconds"
        )
    )

    @property
    def may_start(self) -> bool:
        """Whether training may start, with the clips in the quarantine list excluded."""
        return not self.count("error")

    def count(self, severity: Severity) -> int:
        """Number of problems of one severity."""
        return sum(one.severity == severity for one in self.problems)

    def kinds(self) -> dict[str, list[Problem]]:
        """The problems by kind, worst severity first."""
        out: dict[str, list[Problem]] = {}
        for one in sorted(self.problems, key=lambda p: SEVERITIES.index(p.severity)):
            out.setdefault(one.kind, []).append(one)
        return out

    @property
    def missing(self) -> int:
        """Number of missing listed files."""
        names = ("missing", "missing from the official list")
        return sum(one.kind in names for one in self.problems)

    def distributions(self) -> list[Distribution]:
        """Lengths, sizes and rates of usable clips."""
        rows = zip(self.index.clips, self.facts, self.usable, strict=True)
        return distributions([(clip, facts) for clip, facts, good in rows if good])

    def class_rows(self) -> list[dict[str, Any]]:
        """Name and clip counts of every class."""
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
        """Plain data with the verdict and counts, for a program."""
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

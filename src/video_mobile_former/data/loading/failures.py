"""Which files failed, how often, and which of them are no longer read: the quarantine of a run.

Every process of a run writes a list of its own, so that no two write the same file; each reads the
lists of all when it starts and at the start of an epoch.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch

from ...console import say
from ..index.index import ClipIndex
from ..index.quarantine import read_quarantine, write_quarantine
from .dataset import EXCLUDED, ClipFailure, clip_name

MAX_FAILURES = 2
"""Failures after which a file is put in quarantine."""


class Quarantine:
    """The files that a run no longer reads.

    Args:
        path: List of this process; None keeps it in memory.
        source: What the list is of, for its first line.
        others: Pattern of the names beside ``path`` of the lists of all processes; None if there
            is one process.

    Raises:
        DataError: If a list is there but cannot be read.
    """

    def __init__(
        self, path: str | Path | None = None, *, source: str = "", others: str | None = None
    ):
        self.path = None if path is None else Path(path)
        self._source = source
        self._others = others
        self._own: dict[str, str] = {}
        if self.path is not None and self.path.exists():
            self._own = read_quarantine(self.path)

    def entries(self) -> Mapping[str, str]:
        """The reason for each name, of all processes."""
        found: dict[str, str] = {}
        if self.path is not None and self._others is not None:
            for path in sorted(self.path.parent.glob(self._others)):
                if path != self.path:
                    found |= read_quarantine(path)
        return found | self._own

    def add(self, name: str, reason: str) -> None:
        """Put a file in, and write the list.

        Raises:
            UserError: If the list cannot be written.
        """
        self._own[name] = reason
        if self.path is not None:
            write_quarantine(self.path, self._own, self._source)


class Failures:
    """Counts the failures of the files of an index, so that none is tried for ever.

    Args:
        index: The clips.
        excluded: ``(N,)`` uint8, set to 1 for clips that are no longer read.
        quarantine: Where files go that failed too often; shared by the indexes of one run.
        give_up: Whether a file that fails too often goes there; one that ends a process always
            does.
    """

    def __init__(
        self,
        index: ClipIndex,
        excluded: torch.Tensor,
        quarantine: Quarantine | None = None,
        *,
        give_up: bool = True,
    ):
        self._give_up = give_up
        self._index = index
        self._excluded = excluded
        self._quarantine = quarantine or Quarantine()
        self._counts: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._untold: set[str] = set()

    def refresh(self) -> None:
        """Take over what is in quarantine."""
        entries = self._quarantine.entries()
        new = entries.keys() - self._reasons.keys()
        if new:
            self._reasons |= entries
            self._excluded[torch.from_numpy(self._index.table.find(new))] = 1

    def note(self, failure: ClipFailure) -> ClipFailure:
        """Count a failure reported by a batch.

        Returns:
            The failure, with the reason where it only says that its file is excluded.
        """
        name = failure.path
        if failure.reason == EXCLUDED:
            reason = self._reasons.get(name, "")
            if name in self._untold:
                self._untold.discard(name)
            else:
                reason = f"{EXCLUDED}: {reason}" if reason else EXCLUDED
            return dataclasses.replace(failure, reason=reason)
        if failure.of_file and self._give_up:
            self._count(name, failure.reason)
        return failure

    def ended_a_process(self, clip: int, reason: str, *, for_certain: bool) -> str:
        """Count the end of the process that read a clip.

        Args:
            clip: Position in the index.
            reason: How it ended.
            for_certain: The file did it, so that it must not be read again.

        Returns:
            The name of the file.
        """
        name = clip_name(self._index.clips[clip])
        if for_certain:
            # The batch that the clip belongs to will be read again and then list it as excluded.
            self._untold.add(name)
            self._put_in(name, reason, "ended the process that read it")
        else:
            self._count(name, reason)
        return name

    def _count(self, name: str, reason: str) -> None:
        self._counts[name] += 1
        if self._counts[name] >= MAX_FAILURES and name not in self._reasons:
            self._put_in(name, reason, f"failed {MAX_FAILURES} times")

    def _put_in(self, name: str, reason: str, what: str) -> None:
        self._reasons[name] = reason
        self._excluded[torch.from_numpy(self._index.table.find({name}))] = 1
        self._quarantine.add(name, reason)
        path = self._quarantine.path
        where = "" if path is None else f", as {path} says"
        say(f"{name}: {what} and is excluded from now on{where}: {reason}")

"""What a batch run has done, kept on disk row by row; its table is made of it at the end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

from filelock import FileLock, Timeout

from ...errors import UserError
from ...files import write_text
from .job import stamp
from .rows import EncodedRow, Row, decode_row
from .sources import BatchItem

_FORMAT = 1
_KIND = "vmf batch"
_SYNC_SECONDS = 1.0
"""Longest time until what was written is safe from a power cut; a kill loses nothing."""


class _Place(NamedTuple):
    """Where the row of a video stands."""

    offset: int
    size: int
    file: list[int] | None
    failed: bool


class BatchJournal:
    """A file of JSON lines: the options first, then a row for each video as it is done.

    A last line that was cut off counts as not there; of several rows of one video the last counts.
    A context manager, which one process may hold at a time.

    Args:
        path: The file.
        options: What rows depend on; JSON data.
        restart: Begin anew, whatever rows are there.

    Raises:
        UserError: If the file is another's or of other options, another process writes it, or the
            system refuses to write.
    """

    def __init__(self, path: Path, options: Mapping[str, Any], *, restart: bool = False):
        self.path = path
        self._head = json.loads(json.dumps({"format": _FORMAT, "kind": _KIND, "options": options}))
        self._restart = restart
        self._places: dict[str, _Place] = {}
        self._file: BinaryIO | None = None
        self._end = 0
        self._synced = 0.0
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))

    def __enter__(self) -> BatchJournal:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise UserError(f"{self.path}: another process is writing it") from error
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            if self.path.exists():
                self._read()
            if not self._places:
                write_text(self.path, json.dumps(self._head) + "\n")
                self._end = self.path.stat().st_size
            self._file = self.path.open("r+b")
            self._file.truncate(self._end)  # what a kill cut short
        except BaseException as error:
            self._lock.release()
            if isinstance(error, OSError):
                raise self._cannot_write(error) from error
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
        self._lock.release()

    def __len__(self) -> int:
        return len(self._places)

    def is_done(self, item: BatchItem, *, retry_failed: bool = False) -> bool:
        """Whether the row of a video is there, and its file has not changed since.

        Args:
            item: The video.
            retry_failed: Count those that could not be read as not done.
        """
        place = self._places.get(item.key)
        if place is None or (retry_failed and place.failed):
            return False
        return place.file == stamp(item)

    def add(self, rows: Sequence[EncodedRow]) -> None:
        """Keep rows; they outlive this process when this returns.

        Raises:
            UserError: If the system refuses to write; what was kept stays.
        """
        file = self._opened()
        data = "".join(f"{row.line}\n" for row in rows).encode("ascii")
        try:
            file.seek(self._end)
            file.write(data)
            file.flush()
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise self._cannot_write(error) from error
        for row in rows:
            self._places[row.key] = _Place(self._end, len(row.line), None, row.failed)
            self._end += len(row.line) + 1

    def rows(self, items: Sequence[BatchItem]) -> Iterator[Row]:
        """All rows: those of ``items`` in their order, then others in the order they were made."""
        named = {item.key for item in items}
        keys = [item.key for item in items if item.key in self._places]
        keys += [key for key in self._places if key not in named]
        file = self._opened()
        for key in keys:
            place = self._places[key]
            file.seek(place.offset)
            yield decode_row(json.loads(file.read(place.size))["row"])

    def count(self, items: Sequence[BatchItem]) -> tuple[int, int]:
        """Rows of other videos than ``items``, and rows of ``items`` that failed."""
        named = {item.key for item in items}
        others = sum(key not in named for key in self._places)
        places = (self._places.get(item.key) for item in items)
        return others, sum(place is not None and place.failed for place in places)

    def _opened(self) -> BinaryIO:
        assert self._file is not None, "the journal is not open"
        return self._file

    def _read(self) -> None:
        if not is_journal(self.path):
            raise UserError(f"{self.path} is there and was not written by vmf batch: move it away")
        if self._restart:
            return
        with self.path.open("rb") as file:
            line = file.readline()
            head = json.loads(line)
            check_same_options(self.path, head, self._head)
            self._end = len(line)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    value = json.loads(line)
                    key, failed = value["key"], "error" in value["row"]
                    # A later row of a video comes where the later one stands.
                    self._places.pop(key, None)
                    place = _Place(self._end, len(line) - 1, value["file"], failed)
                    self._places[key] = place
                except (ValueError, TypeError, KeyError) as error:
                    raise UserError(
                        f"{self.path}: damaged at byte {self._end}; --restart makes all anew"
                    ) from error
                self._end += len(line)

    def _cannot_write(self, error: OSError) -> UserError:
        reason = error.strerror or str(error)
        return UserError(
            f"cannot write {self.path}: {reason}; what is done is kept, and the same command goes "
            "on"
        )


def check_same_options(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with other options than those that rows were made with.

    Args:
        path: The journal, for the message.
        before: Its first line.
        now: What would be its first line.

    Raises:
        UserError: Names the first that differs.
    """
    if before.get("format") != now.get("format"):
        raise UserError(
            f"{path}: written by another version, in format {before.get('format')!s:.20}; "
            "--restart makes all anew, or name another --out"
        )
    old, new = before.get("options", {}), now["options"]
    for key in {**old, **new}:
        if old.get(key) != new.get(key):
            raise UserError(
                f"{path}: begun with {key} {old.get(key)!s:.60}, not {new.get(key)!s:.60}; "
                "--restart makes all anew, or name another --out"
            )


def is_journal(path: Path) -> bool:
    """Whether a file is the journal of a batch run."""
    try:
        with path.open("rb") as file:
            head = json.loads(file.readline(1 << 20))
    except (OSError, ValueError):
        return False
    return isinstance(head, dict) and head.get("kind") == _KIND

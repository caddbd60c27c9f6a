"""A folder that is filled with files made from clips, over several runs if need be.

Workers write into ``.partial``; one process moves what is sound to its place and notes it in a
journal, a JSON line for each file. Whatever is killed, a file in its place is whole, and the next
run goes on from the journal.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import DataError, UserError
from ..files import write_text

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)


class WorkFolder:
    """Paths and journal of such a folder.

    Args:
        path: The folder; it need not exist.
        index: Name of the file that is written last: a folder that has it is complete.
        summary: Name of a JSON file with the format, the settings and the outcome.
        journal: Name of the journal.
    """

    def __init__(self, path: str | Path, *, index: str, summary: str, journal: str):
        self.path = Path(path)
        self.index = self.path / index
        self.summary = self.path / summary
        self.journal = self.path / journal
        self.failed = self.path / "failed.txt"
        self.partial = self.path / ".partial"
        self.records: dict[str, dict[str, Any]] = {}
        """What the journal says of each file, by its ``"output"``."""

    @contextlib.contextmanager
    def opened(self, kind: dict[str, Any], *, overwrite: bool) -> Iterator[None]:
        """Hold the folder for writing.

        Args:
            kind: Format and settings; an earlier run must have had the same.
            overwrite: Forget an earlier run.

        Raises:
            UserError: If the folder holds other things, clips of other settings or an unknown
                format, another process holds it, or the system refuses to write.
        """
        try:
            before = self._check(kind, overwrite)
            self.path.mkdir(parents=True, exist_ok=True)
            with locked(self.path):
                if before is None:
                    # The list goes first: what is left is no complete folder.
                    self.index.unlink(missing_ok=True)
                    self.journal.unlink(missing_ok=True)
                    self.write_summary({**kind, "state": "unfinished"})
                shutil.rmtree(self.partial, ignore_errors=True)
                self.partial.mkdir()
                self.records = self._read_journal()
                try:
                    yield
                finally:
                    shutil.rmtree(self.partial, ignore_errors=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(
                f"cannot write in {self.path}: {reason}; what is done is kept, "
                "and the same command goes on"
            ) from error

    def record(self, output: str) -> dict[str, Any] | None:
        """What the journal says of a finished file that still has its size; else None.

        Args:
            output: Path relative to the folder.
        """
        record = self.records.get(output)
        if record is None:
            return None
        try:
            size = (self.path / output).stat().st_size
        except OSError:
            return None
        return record if size == record["bytes"] else None

    def publish(self, partial: Path, record: dict[str, Any]) -> None:
        """Move a finished file to its place and note it down.

        Args:
            partial: The file, on the same file system.
            record: JSON data with its ``"output"`` and ``"bytes"``.
        """
        target = self.path / record["output"]
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(target)
        # ASCII, so that names that are not UTF-8 survive as escapes.
        line = json.dumps(record, allow_nan=False) + "\n"
        with self.journal.open("a", encoding="ascii") as file:
            file.write(line)
        self.records[record["output"]] = record

    def write_summary(self, value: dict[str, Any]) -> None:
        """Write the summary.

        Args:
            value: JSON data; names that are not UTF-8 are written as escapes.
        """
        write_text(self.summary, json.dumps(value, indent=2, allow_nan=False) + "\n")

    def _check(self, kind: dict[str, Any], overwrite: bool) -> dict[str, Any] | None:
        """What the summary of an earlier run with the same settings says, if there is one."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; name a folder")
        if not self.summary.exists():
            if self.path.exists() and any(p.name != ".lock" for p in self.path.iterdir()):
                raise UserError(f"{self.path} holds other things; name an empty or new folder")
            return None
        if overwrite:
            return None
        before = read_summary(self.summary)
        for name, value in {"format": kind["format"], **kind["settings"]}.items():
            old = before["format"] if name == "format" else before["settings"].get(name)
            if old != value:
                raise UserError(
                    f"{self.path} was made with {name} {old}, not {value}; name another "
                    f"folder, ask for {name} {old}, or --overwrite makes everything anew"
                )
        return before

    def _read_journal(self) -> dict[str, dict[str, Any]]:
        """The last line on each file; a line that a kill cut short is taken away."""
        if not self.journal.exists():
            return {}
        data = self.journal.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self.journal, len(whole))
        records: dict[str, dict[str, Any]] = {}
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                record = json.loads(line)
                records[record["output"]] = record
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{self.journal}:{number} is damaged; --overwrite makes everything anew"
                ) from error
        return records


def read_summary(path: Path) -> dict[str, Any]:
    """Read the summary of a folder.

    Raises:
        DataError: If it is damaged.
    """
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(summary["format"], int) and isinstance(summary["settings"], dict):
            return summary
        raise TypeError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged; --overwrite makes everything anew, or delete the folder"
        ) from error


def origin(path: str) -> tuple[int, int] | None:
    """Tell by what a source file is recognised.

    Args:
        path: A file, or a folder of pictures.

    Returns:
        Bytes and time of change in nanoseconds, or None where that is unknown: a URL, or
        nothing is there.
    """
    try:
        status = Path(path).stat()
        if not Path(path).is_dir():
            return status.st_size, status.st_mtime_ns
        files = [file.stat() for file in Path(path).iterdir()]
    except (OSError, ValueError):
        return None
    newest = max((file.st_mtime_ns for file in files), default=status.st_mtime_ns)
    return sum(file.st_size for file in files), newest


FORMAT = 1
"""Of the folder; raised when its files change their meaning."""


class PreparedFolder(WorkFolder):
    """Paths and journal of one folder of prepared clips.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: str | Path):
        super().__init__(path, index="clips.csv", summary="prepare.json", journal="prepare.jsonl")
        self.labels = self.path / "labels.txt"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same lock out of a folder.

    The lock ends with the process, however it ends. On file systems that have no locks nothing is
    kept out.

    Args:
        folder: An existing folder; the file ``.lock`` in it is used.

    Raises:
        UserError: If another process holds it.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"{folder}: another process is writing here") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()

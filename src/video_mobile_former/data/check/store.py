"""The facts found so far, on disk, so that a check goes on and a later one reads what changed.

One JSON object a line is added as each file is done. A line that was cut short by a crash is
dropped, and a later line about the same file counts more than an earlier one.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from ...errors import UserError
from ...files import atomic_path
from .facts import FileFacts, FileTask

FACTS_NAME = "facts.jsonl"

_Place = tuple[str, int]  # path and offset


class FactsStore:
    """Keeps the facts of a check in a folder; a context manager.

    Args:
        folder: Created where it is missing.

    Raises:
        UserError: If the folder cannot be written.
    """

    def __init__(self, folder: Path):
        self.path = folder / FACTS_NAME
        self._known: dict[_Place, FileFacts] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._read()
            self._file = self.path.open("a", encoding="ascii")
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error

    def __enter__(self) -> FactsStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def find(self, task: FileTask) -> FileFacts | None:
        """Facts of an earlier run that spare this task."""
        facts = self._known.get((task.key.path, task.key.offset))
        return facts if facts is not None and facts.answers(task) else None

    def add(self, facts: FileFacts) -> None:
        """Keep facts; they are on their way to the disk when this returns.

        Raises:
            UserError: If the disk is full.
        """
        self._known[facts.key.path, facts.key.offset] = facts
        try:
            self._file.write(_line(facts))
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error

    def keep_only(self, wanted: list[FileFacts]) -> None:
        """Rewrite the file with these facts alone, all or nothing, and close it."""
        self._file.close()
        with (
            atomic_path(self.path) as temporary,
            temporary.open("w", encoding="ascii") as file,
        ):
            file.writelines(map(_line, wanted))

    def _read(self) -> None:
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue  # a disk may give back anything after a power cut
            facts = FileFacts.from_json(value) if isinstance(value, dict) else None
            if facts is not None:
                self._known[facts.key.path, facts.key.offset] = facts
        if whole < len(data):
            with self.path.open("r+b") as file:
                file.truncate(whole)


def _line(facts: FileFacts) -> str:
    # ASCII: names that are not UTF-8 hold characters that only an escape can write.
    return json.dumps(facts.to_json(), separators=(",", ":"), allow_nan=False) + "\n"

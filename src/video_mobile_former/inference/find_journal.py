"""What a long run of ``vmf find`` has done, kept on disk after every file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from ..errors import UserError
from ..files import check_replaceable, write_text
from ..text import encodable
from .find import FileEvents

_FORMAT = 1
_KIND = "vmf find"


class Journal:
    """A file of JSON lines: the options first, then the result of each file as it is done.

    A last line that was cut off counts as not there. A context manager.

    Args:
        path: The file.
        options: What results depend on; JSON data.
        restart: Begin anew, whatever is there.

    Raises:
        UserError: If the file is another's or of other options, or cannot be written.
    """

    def __init__(self, path: Path, options: Mapping[str, Any], *, restart: bool = False):
        self.path = path
        self.done: dict[str, dict[str, Any]] = {}
        self._head = json.loads(json.dumps({"format": _FORMAT, "kind": _KIND, "options": options}))
        self._file: TextIO | None = None
        if path.exists() and not restart:
            self._read()
        elif path.exists() and not is_journal(path):
            check_replaceable([path], path)

    def result(self, path: str) -> FileEvents | None:
        """What was found in a file, if it was done and has not changed since."""
        known = self.done.get(encodable(path))
        if known is None or known.get("file") != _stamp(path):
            return None
        try:
            return FileEvents.from_dict(known["result"], path)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self.path}: damaged; --restart makes all anew") from error

    def add(self, result: FileEvents) -> None:
        """Keep a result; it is on disk when this returns."""
        line = {"file": _stamp(result.path), "result": result.to_dict()}
        assert self._file is not None
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Journal:
        lines = [json.dumps(self._head, ensure_ascii=False)]
        lines += [json.dumps(line, ensure_ascii=False) for line in self.done.values()]
        write_text(self.path, "".join(f"{line}\n" for line in lines))
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self) -> None:
        if not is_journal(self.path):
            raise UserError(f"{self.path} is there and was not written by vmf find: move it away")
        lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        head = json.loads(lines[0])
        before, now = head.get("options", {}), self._head["options"]
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if changed or head.get("format") != _FORMAT:
            key = changed[0] if changed else "format"
            old, new = before.get(key), now.get(key)
            raise UserError(
                f"{self.path}: begun with {key} {old!s:.60}, not {new!s:.60}; --restart "
                "makes all anew, or name another --out"
            )
        for line in lines[1:-1]:
            try:
                value = json.loads(line)
                self.done[value["result"]["path"]] = value
            except (ValueError, TypeError, KeyError):
                continue  # it is done once more


def is_journal(path: Path) -> bool:
    """Whether a file is the journal of a run of ``vmf find``."""
    try:
        with path.open(encoding="utf-8") as file:
            head = json.loads(file.readline(1 << 20))
    except (OSError, ValueError):
        return False
    return isinstance(head, dict) and head.get("kind") == _KIND


def _stamp(path: str) -> list[int] | None:
    """Size and time of change of a local file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a URL is no path
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]

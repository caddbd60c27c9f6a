"""Messages that wait on disk until their receiver has them: bounded, and there after a crash."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from ...errors import UserError
from ...text import printable

_TABLE = """
    CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT);
    CREATE TABLE IF NOT EXISTS refused (number INTEGER PRIMARY KEY, body TEXT, reason TEXT);
"""


def default_folder(receiver: str) -> Path:
    """Where messages for a receiver wait unless a folder is named.

    Args:
        receiver: Its address; the name of the folder is a hash of it, so no password is in it.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = hashlib.sha256(receiver.encode()).hexdigest()[:12]
    return Path(cache) / "video_mobile_former" / "outbox" / name


class Outbox:
    """A queue in a file (SQLite). Any thread may use it.

    Args:
        folder: Holds the file; created. One process at a time.
        limit: Messages at most; the oldest give way.
        report: Is told one line when messages are lost.

    Raises:
        UserError: If the folder cannot be written or another process uses it.
    """

    def __init__(self, folder: str | Path, *, limit: int, report: Callable[[str], None]):
        self.folder, self._limit, self._report = Path(folder), limit, report
        self.lost = 0
        """Messages that gave way to newer ones, or that the disk did not take."""
        shown = printable(str(folder))
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = FileLock(self.folder / "lock")
            self._lock.acquire(timeout=0)
            self._file = sqlite3.connect(self.folder / "outbox.sqlite", check_same_thread=False)
            self._file.executescript("PRAGMA journal_mode=WAL;" + _TABLE)
        except Timeout:
            raise UserError(
                f"{shown} is in use by another vmf watch: name another folder with --outbox"
            ) from None
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"messages cannot wait in {shown}: {reason}") from error
        self._mutex = threading.Lock()
        self.changed = threading.Event()
        """Set when a message was added."""

    def add(self, body: str) -> None:
        """Append a message; it is on disk when this returns."""
        with self._mutex:
            try:
                with self._file:
                    self._file.execute("INSERT INTO waiting (body) VALUES (?)", (body,))
                    gone = self._file.execute(
                        "DELETE FROM waiting WHERE number <= "
                        "(SELECT max(number) FROM waiting) - ? ",
                        (self._limit,),
                    ).rowcount
            except sqlite3.Error as error:
                gone = 1
                self._report(f"{printable(str(self.folder))}: a message is lost: {error}")
            if gone > 0:
                if not self.lost:
                    self._report(
                        f"{printable(str(self.folder))}: more than {self._limit:,} messages wait; "
                        "the oldest are given up"
                    )
                self.lost += gone
        self.changed.set()

    def oldest(self, count: int = 1) -> list[tuple[int, str]]:
        """Number and body of the messages that wait longest."""
        with self._mutex, contextlib.suppress(sqlite3.Error):
            query = "SELECT number, body FROM waiting ORDER BY number LIMIT ?"
            return self._file.execute(query, (count,)).fetchall()
        return []

    def delivered(self, number: int) -> None:
        """Forget a message."""
        self._execute("DELETE FROM waiting WHERE number = ?", number)

    def refuse(self, number: int, reason: str) -> None:
        """Set aside a message that its receiver will never take; it stays in the file."""
        self._execute(
            "INSERT OR REPLACE INTO refused SELECT number, body, ? FROM waiting WHERE number = ?",
            reason,
            number,
        )
        self.delivered(number)

    def __len__(self) -> int:
        with self._mutex, contextlib.suppress(sqlite3.Error):
            return self._file.execute("SELECT count(*) FROM waiting").fetchone()[0]
        return 0

    def close(self) -> None:
        """Release the file for another process."""
        with self._mutex:
            self._file.close()
        self._lock.release()

    def _execute(self, statement: str, *values: object) -> None:
        # What a full disk does not let us forget is delivered twice; nothing is lost by that.
        with self._mutex, contextlib.suppress(sqlite3.Error), self._file:
            self._file.execute(statement, values)

"""The private folder of uploads: readable by us alone, emptied by whatever runs next."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ..data.suffixes import VIDEO_SUFFIXES
from ..errors import UserError

_LOCK = ".lock"
_NAME = "vmf-uploads-"
"""How the names of our folders begin: nothing else is ever deleted."""


def default_place() -> Path:
    """Where uploads go without ``--folder``: a folder of this user among temporary ones."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"vmf-serve-{user}"


class UploadFolder:
    """A folder for the uploads of one service; a context manager.

    Each service has a folder of its own inside of ``place``, closed to other users, and holds a
    lock in it. Folders of ours whose lock nobody holds were left by a service that was killed: they
    are deleted at the start. Other things in ``place`` are left alone.

    Args:
        place: Made if need be; must belong to this user, or be one for temporary files of all.
        most_bytes: Of all uploads together.

    Raises:
        UserError: If the place belongs to somebody else, is no folder or cannot be written.
    """

    def __init__(self, place: str | Path, most_bytes: float):
        self.place, self._most = Path(place), most_bytes
        self._lock = threading.Lock()
        self.taken = 0
        """Bytes that uploads have or may have."""
        self._open = contextlib.ExitStack()
        try:
            _check(self.place)
            # So that no other service that starts now takes ours for one that is left.
            with FileLock(self.place / f"{_NAME}lock"):
                self._empty()
                self.path = self.place / f"{_NAME}{secrets.token_hex(8)}"
                self.path.mkdir(mode=0o700)
                held = FileLock(self.path / _LOCK, thread_local=False)
                held.acquire(timeout=0)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(
                f"uploads cannot be kept in {self.place}: {reason}; name another --folder"
            ) from error
        self._open.callback(held.release)

    def __enter__(self) -> UploadFolder:
        return self

    def __exit__(self, *raised: object) -> None:
        self._open.close()
        shutil.rmtree(self.path, ignore_errors=True)

    @contextlib.contextmanager
    def upload(self) -> Iterator[Upload]:
        """A new file of a name that nobody can guess, which is deleted at the end of the block."""
        file = Upload(self, self.path / secrets.token_hex(16))
        try:
            yield file
        finally:
            file.delete()

    def take(self, size: int) -> bool:
        """Whether so many more bytes fit; they are then taken."""
        with self._lock:
            if self.taken + size > self._most:
                return False
            self.taken += size
        return True

    def give_back(self, size: int) -> None:
        """Free bytes that were taken."""
        with self._lock:
            self.taken -= size

    def _empty(self) -> None:
        for folder in self.place.glob(f"{_NAME}*"):
            if folder.is_symlink() or not (folder / _LOCK).is_file():
                continue
            lock = FileLock(folder / _LOCK)
            try:
                lock.acquire(timeout=0)
            except (Timeout, OSError):
                continue  # its service runs
            lock.release()
            shutil.rmtree(folder, ignore_errors=True)


class Upload:
    """A file of an upload.

    Args:
        folder: Where it is counted.
        path: Does not exist yet.
    """

    def __init__(self, folder: UploadFolder, path: Path):
        self.path = path
        self.size = 0
        self._folder = folder
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._descriptor: int | None = os.open(path, flags, 0o600)

    def write(self, data: bytes) -> bool:
        """Append; False where the folder has no room for it.

        Raises:
            OSError: If the disk is full.
        """
        if not self._folder.take(len(data)):
            return False
        self.size += len(data)
        assert self._descriptor is not None
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        return True

    def close(self) -> None:
        """End writing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def end_like(self, name: str) -> None:
        """Give the file the ending of a name, if it is one of videos: FFmpeg may look at it."""
        suffix = Path(name).suffix.lower()
        if suffix in VIDEO_SUFFIXES:
            self.path = self.path.rename(self.path.with_suffix(suffix))

    def delete(self) -> None:
        """Remove it; whoever still reads it may go on."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._folder.give_back(self.size)
        self.size = 0


def _check(place: Path) -> None:
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise UserError(f"uploads cannot be kept in {place}: it is a link or file; name a folder")
    if not hasattr(os, "getuid") or status.st_uid == os.getuid() or status.st_mode & stat.S_ISVTX:
        return
    raise UserError(
        f"uploads cannot be kept in {place}: it belongs to another user; name another --folder"
    )

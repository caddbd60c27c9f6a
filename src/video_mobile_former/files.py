"""Atomic writes: an interruption or a full disk never leaves a partial file behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .errors import UserError


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block succeeds.

    Args:
        path: The final path; its folder is created.

    Yields:
        A path in the same folder, with the same suffix, to write to.

    Raises:
        UserError: If the system refuses to write (no space left, no permission). The old file, if
            any, is then unchanged.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _give_usual_rights(temporary)
        temporary.replace(target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces ``path`` when the block succeeds.

    The old folder, if any, is moved aside first and deleted only once the new one is in place, so
    one complete version exists on disk at all times.

    Raises:
        UserError: If the system refuses to write; the old folder is then still there.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        _give_usual_rights(temporary)
        old = target.with_name(f".{target.name}-old")
        if target.exists():
            if old.exists():
                shutil.rmtree(old)
            target.rename(old)
        temporary.rename(target)
        if old.exists():
            shutil.rmtree(old)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def atomic_files(paths: Sequence[str | Path]) -> Iterator[Path]:
    """Yield a temporary folder whose entries replace ``paths`` when the block succeeds.

    Args:
        paths: Final paths of files or folders, all in one folder, which is created. The block
            writes entries of these names; those it does not write are removed.

    Yields:
        The temporary folder.

    Raises:
        UserError: If the system refuses to write; the old files are then unchanged.
    """
    targets = [Path(path) for path in paths]
    home = targets[0].parent
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{targets[0].stem}-", dir=home) as name:
            folder, old = Path(name) / "new", Path(name) / "old"
            folder.mkdir()
            old.mkdir()
            yield folder
            _give_usual_rights(folder)
            _replace_together(targets, folder, old)
    except OSError as error:
        raise _cannot_write(targets[0], error) from error


def _give_usual_rights(path: Path) -> None:
    # mkstemp and safetensors create files that only their owner can read; a service under another
    # user could not load a model.
    for file in path.rglob("*") if path.is_dir() else (path,):
        if file.is_file() and not file.is_symlink():
            file.chmod((file.stat().st_mode & 0o111) | (0o666 & ~_umask()))


def check_folder(folder: str | Path) -> None:
    """Check that a path can become a folder that can be written in, before long work starts.

    Nothing is left behind.

    Args:
        folder: Folder to be written later; need not exist.

    Raises:
        UserError: If its name is empty or too long, it is a file or lies in one, or the system
            refuses to write there.
    """
    if not str(folder):
        raise UserError("the name of a folder is empty")
    _try_to_write(Path(folder), Path(folder))


def check_file(path: str | Path) -> None:
    """Check that a file can be written, before long work starts.

    Nothing is left behind: missing folders are created only with the file.

    Args:
        path: File to be written later with :func:`atomic_path`.

    Raises:
        UserError: If it is a folder or not a regular file, or the system refuses to write there.
    """
    target = Path(path)
    try:
        status = target.stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        if not isinstance(error, NotADirectoryError):
            raise _cannot_write(target, error) from error
    else:
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{target} is a folder: name a file")
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{target} is not a regular file: name another")
    _try_to_write(target, target.parent)


def _try_to_write(target: Path, folder: Path) -> None:
    """Make and remove a file where ``target`` is to stand: in ``folder``, or where that will be."""
    try:
        there = folder
        while not _exists(there):
            there = there.parent
        if not there.is_dir():
            raise UserError(f"{there} is a file: name a folder")
        # The temporary files of this module have longer names, which may be too long.
        with tempfile.NamedTemporaryFile(
            prefix=f".{target.stem}-", suffix=target.suffix, dir=there
        ):
            pass
    except OSError as error:
        raise _cannot_write(target, error) from error


def _exists(path: Path) -> bool:
    """Like ``path.exists()``, but what the system refuses to look at is an ``OSError``."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


_OURS = (
    b'{\n  "format": ',
    b"path,rank,label,score,error\n",
    b"path,label,start_seconds,end_seconds,score\n",
    b"# vmf ",
)
"""How the notes, tables and lists that this program writes begin."""


def check_replaceable(
    paths: Sequence[str | Path], note: str | Path, *, overwrite: bool = False
) -> None:
    """Refuse to replace files that this program did not write.

    Args:
        paths: Files or folders that are to be written together.
        note: The one among them that tells by its begin who wrote them, such as a JSON file.
        overwrite: Replace them whoever wrote them.

    Raises:
        UserError: It names the first that would be lost.
    """
    there = [path for path in map(Path, paths) if os.path.lexists(path)]
    if there and not overwrite and not is_ours(Path(note)):
        raise UserError(
            f"{there[0]} is there and was not written by vmf: name another place, or --overwrite "
            "replaces it"
        )


def is_ours(path: Path) -> bool:
    """Whether a file begins as the notes, tables and lists that this program writes."""
    try:
        with path.open("rb") as file:
            return file.read(64).startswith(_OURS)
    except OSError:
        return False


def _replace_together(targets: Sequence[Path], new: Path, old: Path) -> None:
    done: list[Path] = []
    try:
        for target in targets:
            done.append(target)
            if target.exists():
                target.rename(old / target.name)
            if (new / target.name).exists():
                (new / target.name).rename(target)
    except BaseException:
        # Also when interrupted: either all files are new or none is.
        for target in done:
            before = old / target.name
            if not before.exists():
                continue
            if target.is_dir():
                shutil.rmtree(target)
            before.replace(target)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8, all or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, all or nothing; NaN is refused (it is not JSON)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _cannot_write(path: Path, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    return UserError(f"cannot write {path}: {reason}; existing files are unchanged")

"""Bytes of files, here or elsewhere: a whole file or a range of it.

Local files are read plainly. A URL (``https://…``, ``s3://…``) is read through fsspec, which
torch brings along; what a protocol needs besides comes with the extra ``shards``.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import DataError, UserError, VideoError
from ..optional import require

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")
_WAITS_SECONDS = (0.5, 2.0, 8.0)
"""Before each further try; a server that is overloaded or restarts is back after that."""
_TRY_SECONDS = 60.0
"""Longest time for one answer of a server."""
_LIBRARIES = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs", "s3a": "s3fs"}
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, ImportError, ValueError)
"""What does not get better by waiting."""


def is_url(path: str) -> bool:
    """Say whether a path is a URL and not the name of a local file."""
    return _URL.match(path) is not None


def join(base: str | Path, name: str) -> str:
    """The path that a name in a list stands for.

    Args:
        base: Folder or URL that relative names are relative to.
        name: Relative or absolute path, or a URL.
    """
    if is_url(name):
        return name
    if is_url(str(base)):
        return f"{str(base).rstrip('/')}/{name.lstrip('/')}"
    return str(Path(base).expanduser().absolute() / Path(name).expanduser())


def require_protocol(url: str) -> None:
    """Make sure that URLs of this kind can be read, before worker processes try.

    Args:
        url: Any of them; a local path is fine as it is.

    Raises:
        UserError: If the protocol is unknown or its library is not installed; says what to do.
    """
    if is_url(url):
        _file_system(url)


def list_urls(url: str, suffixes: Collection[str]) -> list[str]:
    """The files that a pattern or the URL of a folder stands for.

    Args:
        url: A pattern with ``*``, ``**`` or ``[…]``, or a folder, ending in ``/``, which is
            searched however deep.
        suffixes: Endings, in lower case, of the files that are meant in a folder.

    Returns:
        Their URLs, sorted.

    Raises:
        DataError: If the server cannot be asked.
        UserError: If the library for a kind of URL is not installed.
    """
    system, inner = _file_system(url)
    try:
        is_folder = url.endswith("/")
        found = system.find(inner) if is_folder else system.glob(inner)
    except Exception as error:  # every file system has errors of its own
        raise DataError(f"{url}: cannot be listed: {_reason(error)}") from error
    names = [str(system.unstrip_protocol(name)) for name in found]
    if is_folder:
        names = [name for name in names if PurePosixPath(name).suffix.lower() in suffixes]
    return sorted(names)


def read_bytes(path: str | Path, offset: int = 0, size: int | None = None) -> bytes:
    """Read a part of a file.

    Args:
        path: A local file or a URL.
        offset: First byte, from 0.
        size: Number of bytes; None reads to the end.

    Returns:
        Exactly ``size`` bytes.

    Raises:
        VideoError: If they cannot be read, after several tries where it is a URL, or the file ends
            before.
        UserError: If the library for a kind of URL is not installed.
    """
    name = str(path)
    content = _fetch(name, offset, size) if is_url(name) else _read(name, offset, size)
    if size is not None and len(content) < size:
        end = offset + len(content)
        raise VideoError(name, f"ends at byte {end}, {size - len(content)} bytes too early")
    return content


def _read(path: str, offset: int, size: int | None) -> bytes:
    with open_errors(path), Path(path).open("rb") as file:
        file.seek(offset)
        return file.read(-1 if size is None else size)


@contextlib.contextmanager
def open_errors(path: str) -> Iterator[None]:
    """Turn what opening or reading a local file raises into a ``VideoError`` that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise VideoError(path, "no such file") from error
    except PermissionError as error:
        raise VideoError(path, "no permission to read it") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(path, f"cannot be read: {reason}") from error


def _fetch(url: str, offset: int, size: int | None) -> bytes:
    system, inner = _file_system(url)
    # Only those that talk to a server know a time limit.
    limit = {"timeout": _TRY_SECONDS} if system.async_impl else {}
    # To the end means the whole file: who asks for that knows no better, and a server that ignores
    # an open range looks like one that heeds it.
    start, end = (None, None) if size is None else (offset, offset + size)
    for wait in (*_WAITS_SECONDS, None):
        try:
            content: bytes = system.cat_file(inner, start=start, end=end, **limit)
        except Exception as error:  # every file system has errors of its own
            if wait is None or _is_final(error):
                raise VideoError(url, f"cannot be read: {_reason(error)}") from error
            time.sleep(wait)
        else:
            # A simple web server knows no ranges and answers with the whole file.
            ranged = size is not None and len(content) <= size
            return content if ranged else content[offset:][:size]
    raise AssertionError("the last try returns or raises")


def _file_system(url: str) -> tuple[Any, str]:
    protocol = url.split("://")[0].split("::")[0]
    fsspec = require("fsspec", extra="shards", purpose=f"reading {protocol}:// URLs")
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        library = _LIBRARIES.get(protocol)
        what = f"reading {protocol}:// URLs needs"
        if library is None:
            raise UserError(f"{url}: {what} another library: {error}") from error
        raise UserError(
            f"{url}: {what} {library}: pip install 'video-mobile-former[shards]'"
        ) from error
    except ValueError as error:
        raise UserError(f"{url}: unknown kind of URL ({error})") from error


def _is_final(error: Exception) -> bool:
    """Tell an answer that stays the same from one that may be better next time."""
    status = getattr(error, "status", None)  # of a web server
    if isinstance(status, int):
        return 400 <= status < 500 and status not in (408, 429)
    return isinstance(error, _FINAL)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return f"the server answers {status} {getattr(error, 'message', '')}".strip()
    text = str(error).strip().split("\n")[0]
    return text or type(error).__name__

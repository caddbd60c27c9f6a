"""From the body of a request to a file: counted before it is parsed, timed while it comes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from ..text import printable
from ..untrusted import parse_json
from .failures import GoneError
from .folder import Upload
from .problems import ProblemError

_HEAD_BYTES = 16 << 10
"""Of the heads of all parts of a form."""
_PARTS = 8
MAX_JSON = 16 << 10
"""Bytes of a JSON body."""
_RAW = re.compile(r"(video|image)/.+|application/(octet-stream|mp4|mxf|ogg|x-matroska)")


@dataclass(frozen=True)
class Timing:
    """How long a body may take."""

    idle_seconds: float
    """Without a byte."""
    seconds: float
    """In all."""


async def body_of(request: Request, timing: Timing) -> AsyncIterator[bytes]:
    """The parts of a body as they come.

    Raises:
        ProblemError: If it comes too slowly.
        GoneError: If the caller hangs up.
    """
    end = time.monotonic() + timing.seconds
    while True:
        left = end - time.monotonic()
        try:
            message = await asyncio.wait_for(
                request.receive(), max(0.0, min(timing.idle_seconds, left))
            )
        except asyncio.TimeoutError:
            slow = (
                f"no byte came for {timing.idle_seconds:g} s"
                if left > timing.idle_seconds
                else f"the upload took longer than {timing.seconds:g} s"
            )
            raise ProblemError(408, slow, name="slow-upload") from None
        if message["type"] == "http.disconnect":
            raise GoneError
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body", False):
            return


async def json_of(request: Request, timing: Timing) -> Any:
    """A small JSON body.

    Raises:
        UserError: If it is too large, too deep or no JSON.
    """
    found = bytearray()
    async for data in body_of(request, timing):
        found += data
        if len(found) > MAX_JSON:
            raise ProblemError(413, f"a JSON body has at most {MAX_JSON} bytes", name="too-large")
    return parse_json(bytes(found), "the body", MAX_JSON)


async def receive_file(request: Request, timing: Timing, upload: Upload) -> str:
    """Write the video in a body to a file.

    Args:
        request: Of a form (``multipart/form-data``) with a part ``file``, or the bytes of the video
            as they are (``video/…``, ``application/octet-stream``).
        timing: How long it may take.
        upload: The file.

    Returns:
        The name that the caller gave, for messages only; ``"the video"`` without one.

    Raises:
        ProblemError: If the body is of another type, holds no file, is damaged, comes too slowly,
            or the folder is full.
        GoneError: If the caller hangs up.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    text = kind.decode("latin-1").lower()
    if text == "multipart/form-data":
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 200:
            raise _bad_form("its Content-Type has no boundary")
        form = _Form(upload, boundary)
        async for data in body_of(request, timing):
            form.feed(data)
        form.end()
        name = form.name
    elif _RAW.fullmatch(text):
        async for data in body_of(request, timing):
            write_to(upload, data)
        name = "the video"
    else:
        raise ProblemError(
            415,
            "send the video as multipart/form-data in a part named file, or its bytes as "
            "application/octet-stream",
            name="unknown-body",
        )
    upload.close()
    if not upload.size:
        raise ProblemError(422, f"{name}: the file is empty", name="wrong-input")
    upload.end_like(name)
    return name


def write_to(upload: Upload, data: bytes) -> None:
    """Append to an upload.

    Raises:
        ProblemError: If there is no room for it.
    """
    try:
        fits = upload.write(data)
    except OSError as error:
        why = f"the upload cannot be kept: {error.strerror}"
        raise ProblemError(503, why, retry_seconds=10, name="full") from error
    if not fits:
        why = "there is no room for more uploads now"
        raise ProblemError(503, why, retry_seconds=5, name="full")


class _Form:
    """A form whose part ``file`` is written; other parts are counted and dropped."""

    def __init__(self, upload: Upload, boundary: bytes):
        self.name = "the video"
        self._upload = upload
        self._field, self._value = bytearray(), bytearray()
        self._heads: dict[bytes, bytes] = {}
        self._head_bytes = self._parts = 0
        self._found = self._is_file = self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part,
                "on_header_field": self._head_of("_field"),
                "on_header_value": self._head_of("_value"),
                "on_header_end": self._head_end,
                "on_headers_finished": self._heads_end,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except MultipartParseError as error:
            raise _bad_form(str(error)) from error

    def end(self) -> None:
        if not self._ended:
            raise _bad_form("it ends before its last boundary")
        if not self._found:
            raise _bad_form("it has no part named file")

    def _part(self) -> None:
        self._parts += 1
        self._heads, self._is_file = {}, False
        if self._parts > _PARTS:
            raise _bad_form(f"it has more than {_PARTS} parts")

    def _head_of(self, which: str) -> Any:
        def take(data: bytes, start: int, end: int) -> None:
            self._head_bytes += end - start
            if self._head_bytes > _HEAD_BYTES:
                raise _bad_form("the heads of its parts are too long")
            getattr(self, which).extend(data[start:end])

        return take

    def _head_end(self) -> None:
        self._heads[bytes(self._field).lower()] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _heads_end(self) -> None:
        _, options = parse_options_header(self._heads.get(b"content-disposition", b""))
        if options.get(b"name") != b"file":
            return
        if self._found:
            raise _bad_form("it has two parts named file")
        self._found = self._is_file = True
        name = options.get(b"filename", b"").decode("utf-8", "replace")
        self.name = printable(name.replace("\\", "/").rpartition("/")[2])[:200] or self.name

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            write_to(self._upload, data[start:end])

    def _end(self) -> None:
        self._ended = True


def _bad_form(why: str) -> ProblemError:
    return ProblemError(400, f"the form cannot be read: {why[:200]}", name="bad-form")

"""What a user types for a source: its kind, what is opened, and what may be shown of it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from ....errors import DataError, UserError, known_names
from ....text import printable

Kind = Literal["camera", "network", "screen", "pipe", "file", "folder"]

SCHEMES = ("rtsp", "rtsps", "http", "https", "udp")
"""Addresses that are opened."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://.")
_NAMED = re.compile(r"([\w.-]{1,64})=(.+)", re.DOTALL)
_PLAYLISTS = (".m3u8", ".m3u")
_SECRET_KEYS = re.compile(
    r"(?i)([?&;][^=&;#]*(?:user|usr|login|pass|pwd|token|key|secret|auth|sig|cred|session)[^=&;#]*=)"
    r"[^&;#\s'\"]*"
)
_HIDDEN = "***"


@dataclass(frozen=True)
class Address:
    """One source; its ``repr`` and messages hold no password."""

    name: str
    """In all output; distinct among the sources of a command."""
    kind: Kind
    target: str = field(repr=False)
    """What is opened: a path, an address or the name of a device."""

    @property
    def shown(self) -> str:
        """The target without credentials, as one line."""
        return printable(without_credentials(self.target))

    @property
    def is_live(self) -> bool:
        """Whether it goes on by itself, however long the model takes."""
        return self.kind in ("camera", "network", "screen", "pipe")

    @property
    def is_playlist(self) -> bool:
        """Whether the user named a playlist (HLS), which may then be followed."""
        return self.kind == "network" and urlsplit(self.target).path.lower().endswith(_PLAYLISTS)

    def hide(self, text: str) -> str:
        """A text of others, such as of FFmpeg, without the credentials of this address."""
        if self.kind != "network":
            return printable(text)
        parts = urlsplit(self.target)
        text = text.replace(self.target, without_credentials(self.target))
        for secret in _secrets(parts):
            text = text.replace(secret, _HIDDEN)
        return printable(_SECRET_KEYS.sub(rf"\1{_HIDDEN}", text))


def without_credentials(url: str) -> str:
    """A URL whose user, password, and values of keys such as ``token`` are not shown.

    Args:
        url: Anything; what is no URL stays as it is.
    """
    if not _URL.match(url):
        return url
    head, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    # A password may hold a slash or an @ that should have been escaped.
    before, at, _ = rest.rpartition("@")
    if at and ("?" not in before):
        authority, slash, path = rest[len(before) + 1 :].partition("/")
        authority = f"{_HIDDEN}@{authority}"
    return f"{head}://{authority}{slash}" + _SECRET_KEYS.sub(rf"\1{_HIDDEN}", path)


def read_addresses(texts: Sequence[str]) -> list[Address]:
    """Sources as typed.

    Args:
        texts: Each a camera (``0``, ``/dev/video0``, ``camera:NAME``), an address (``rtsp://``,
            ``rtsps://``, ``http(s)://``, ``udp://``), ``screen`` or ``screen::1.0``, ``-`` for
            stdin, a file or a folder; with a name before it (``door=rtsp://…``), if wanted.

    Returns:
        One each, with distinct names.

    Raises:
        UserError: If one is none of these, or a name stands twice.
    """
    if not texts:
        raise UserError("name at least one source: a camera, address, file, folder, screen or -")
    found: list[Address] = []
    for text in texts:
        name, target = _split(text)
        kind, target, usual = _kind(target)
        if name and any(other.name == name for other in found):
            raise UserError(f"two sources have the name {name}")
        if kind == "pipe" and any(other.kind == "pipe" for other in found):
            raise UserError("- stands twice: there is one stdin")
        found.append(Address(name or _distinct(usual, found), kind, target))
    return found


def _split(text: str) -> tuple[str, str]:
    """The name before a source, if any, and the source."""
    match = _NAMED.fullmatch(text)
    return ("", text) if match is None or Path(text).exists() else (match[1], match[2])


def _kind(text: str) -> tuple[Kind, str, str]:
    """Kind, what is opened, and a usual name."""
    if not text:
        raise UserError("a source is empty: name a camera, address, file, folder, screen or -")
    if text == "-":
        return "pipe", text, "stdin"
    if text == "screen" or text.startswith("screen:"):
        return "screen", _display(text), "screen"
    if text.isdecimal() and text.isascii():
        device = f"/dev/video{text}" if sys.platform == "linux" else text
        return "camera", device, f"camera{text}"
    if text.startswith("camera:"):
        return "camera", text.removeprefix("camera:"), text.removeprefix("camera:")
    if text.startswith("/dev/video"):
        return "camera", text, Path(text).name
    if _URL.match(text):
        return "network", _url(text), without_credentials(text)
    path = Path(text)
    try:
        if path.is_dir():
            return "folder", text, text
        if path.exists():
            return "file", text, text
    except OSError as error:
        raise DataError(f"{printable(text)}: {error.strerror}") from error
    raise DataError(
        f"{printable(text)}: no such file or folder, and no camera (0, /dev/video0), address "
        f"({', '.join(f'{scheme}://' for scheme in SCHEMES)}), screen or -"
    )


def _display(text: str) -> str:
    display = text.partition(":")[2] or os.environ.get("DISPLAY", "")
    if sys.platform == "linux" and not display:
        raise UserError("screen: there is no X display; set DISPLAY, or name one: screen::0")
    return display


def _url(text: str) -> str:
    scheme = text.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise UserError(
            f"{printable(without_credentials(text))}: unknown kind of address {scheme}://"
            f"{known_names(scheme, SCHEMES, cutoff=0.7)}"
        )
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        reason = "its port is no number below 65536" if "ort" in str(error) else str(error)
        raise UserError(f"{printable(without_credentials(text))}: {reason}") from None
    if not host and scheme != "udp":
        raise UserError(f"{printable(without_credentials(text))}: there is no host in it")
    return text


def _distinct(name: str, others: Sequence[Address]) -> str:
    taken = {other.name for other in others}
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name} ({number})"
    return found


def _secrets(parts: SplitResult) -> list[str]:
    """Parts of a URL that must not be shown, longest first."""
    userinfo = parts.netloc.rpartition("@")[0]
    found = {userinfo, unquote(userinfo), parts.password or "", unquote(parts.password or "")}
    return sorted((text for text in found if len(text) > 2), key=len, reverse=True)

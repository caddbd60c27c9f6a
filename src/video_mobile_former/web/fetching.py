"""Videos by their address: only from hosts that the operator named, and nowhere else.

A caller who could name any address would reach what this machine reaches: other machines behind
the same wall, and services that trust it. So hosts are allowed by name; what a name stands for is
looked up once, and private addresses are refused unless they were named themselves; a redirect to
another host is not followed.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from ..errors import UserError
from ..version import __version__
from .folder import Upload
from .problems import ProblemError
from .receiving import Timing, write_to

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = 3
_MOST_LETTERS = 2048
_CHUNK = 64 << 10
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for those of IPv4."""


@dataclass(frozen=True)
class Host:
    """A host that may be asked."""

    name: str
    """In small letters, or an address."""
    port: int | None
    """None: the usual one of the scheme."""


def read_hosts(texts: Sequence[str]) -> tuple[Host, ...]:
    """Hosts as typed: ``media.lan``, ``media.lan:8080``, ``10.0.0.7``, ``[fd00::7]:8080``.

    Raises:
        UserError: If one is none.
    """
    found = []
    for text in texts:
        host, port = None, None
        with contextlib.suppress(ValueError):
            parts = urlsplit(f"//{text}")
            if parts.netloc == text and "@" not in text and "*" not in text:
                host, port = parts.hostname, parts.port
        if not host:
            raise UserError(
                f"--url_host {text!r} must be a name or address, with a port if wanted, such as "
                "media.lan:8080"
            )
        found.append(Host(host.lower(), port))
    return tuple(found)


class Fetcher:
    """Fetches videos from some hosts.

    Args:
        hosts: Those that may be asked; none refuses every address.
        max_bytes: Of a video.
    """

    def __init__(self, hosts: Sequence[Host], max_bytes: int):
        self._hosts, self._max_bytes = tuple(hosts), max_bytes
        self._addresses = {host.name for host in hosts if _is_address(host.name)}

    def fetch(self, url: str, timing: Timing, upload: Upload, stop: threading.Event) -> str:
        """Write what is at an address to a file; for a thread of its own.

        Args:
            url: Of a caller.
            timing: How long it may take.
            upload: The file.
            stop: Set when nobody wants it any more.

        Returns:
            The address without its query, for messages.

        Raises:
            ProblemError: If the address is not allowed, or what is there cannot be had.
        """
        deadline = time.monotonic() + timing.seconds
        parts = self._checked(url)
        for _ in range(_REDIRECTS + 1):
            again = self._get(parts, timing, deadline, upload, stop)
            if again is None:
                upload.close()
                name = f"{parts.scheme}://{parts.netloc}{parts.path}"
                if not upload.size:
                    raise ProblemError(422, f"{name}: the file is empty", name="wrong-input")
                return name
            target = self._checked(urljoin(parts.geturl(), again))
            if target.hostname != parts.hostname:
                raise _refused(f"{parts.hostname} sends to another host, which is not followed")
            if parts.scheme == "https" and target.scheme != "https":
                raise _refused(f"{parts.hostname} sends to an address without encryption")
            parts = target
        raise _failed(f"{parts.hostname} sends from one address to another without end")

    def _checked(self, url: str) -> SplitResult:
        """The parts of an address that is allowed."""
        if not self._hosts:
            raise _refused("this service fetches nothing; its operator may allow hosts by name")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise _refused("it is no address") from None
        plain = url.isascii() and url.isprintable() and " " not in url
        if not plain or len(url) > _MOST_LETTERS or parts.scheme not in _PORTS or not host:
            raise _refused("it must be an http:// or https:// address")
        if parts.username is not None or parts.password is not None:
            raise _refused("it must hold no user or password")
        usual = _PORTS[parts.scheme]
        if not any(
            allowed.name == host and (port or usual) == (allowed.port or usual)
            for allowed in self._hosts
        ):
            raise _refused(f"the operator of this service does not allow {parts.netloc[:200]}")
        return parts

    def _address(self, host: str, port: int) -> str:
        """The address that a host is asked at."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise _failed(f"{host} is not known here: {error}") from error
        for *_, place in found:
            address = str(place[0]).partition("%")[0]
            if address in self._addresses or _is_public(address):
                return address
        raise _refused(
            f"{host} is a private address, which the operator of this service did not name"
        )

    def _get(
        self,
        parts: SplitResult,
        timing: Timing,
        deadline: float,
        upload: Upload,
        stop: threading.Event,
    ) -> str | None:
        """Fetch one address; where it sends elsewhere, that."""
        host = parts.hostname or ""
        port = parts.port or _PORTS[parts.scheme]
        connection = _Connection(host, port, self._address(host, port), parts.scheme == "https")
        watch = threading.Thread(
            target=_hang_up, args=(connection, deadline, stop), name="vmf-fetch", daemon=True
        )
        opened = contextlib.ExitStack()
        try:
            connection.timeout = min(timing.idle_seconds, max(0.1, deadline - time.monotonic()))
            connection.connect()
            watch.start()
            path = parts.path or "/"
            headers = {"User-Agent": f"vmf/{__version__}", "Accept-Encoding": "identity"}
            target = f"{path}?{parts.query}" if parts.query else path
            connection.request("GET", target, headers=headers)
            response = opened.enter_context(connection.getresponse())
            if response.status in (301, 302, 303, 307, 308):
                return response.headers.get("Location") or ""
            if response.status != 200:
                raise _failed(f"{host} answers {response.status} {response.reason[:100]}")
            if (response.length or 0) > self._max_bytes:
                raise self._too_large()
            while data := response.read1(_CHUNK):
                if upload.size + len(data) > self._max_bytes:
                    raise self._too_large()
                write_to(upload, data)
            if stop.is_set() or time.monotonic() >= deadline:
                raise OSError("it was given up")  # the end that was read is ours
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() >= deadline:
                raise _failed(f"{host} took longer than {timing.seconds:g} s", 504) from error
            raise _failed(f"{host}: {str(error) or type(error).__name__}") from error
        else:
            if response.length:  # what it announced and did not send
                raise _failed(f"{host} hung up before the end")
            return None
        finally:
            connection.done.set()
            opened.close()
            connection.close()
            if connection.opened is not None:
                connection.opened.close()

    def _too_large(self) -> ProblemError:
        most = f"{self._max_bytes / 1e6:g} MB"
        return ProblemError(413, f"url: a video has at most {most}", name="too-large")


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was checked, whatever its name stands for later."""

    def __init__(self, host: str, port: int, address: str, encrypted: bool):
        super().__init__(host, port)
        self._place, self._encrypted = address, encrypted
        self.opened: socket.socket | None = None
        """The socket; ``sock`` is forgotten as soon as an answer of unknown length begins."""
        self.done = threading.Event()

    def connect(self) -> None:
        self.sock = socket.create_connection((self._place, self.port), self.timeout)
        if self._encrypted:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
        self.opened = self.sock


def _hang_up(connection: _Connection, deadline: float, stop: threading.Event) -> None:
    """End a connection when its time is over: a server may send a byte now and then for ever."""
    while not connection.done.wait(0.2):
        if stop.is_set() or time.monotonic() >= deadline:
            if connection.opened is not None:
                with contextlib.suppress(OSError):
                    connection.opened.shutdown(socket.SHUT_RDWR)
            return


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_public(text: str) -> bool:
    """Whether an address is one of the Internet, by whatever it is written as."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None:
            return False
        address = inner or address
    return address.is_global and not address.is_multicast


def _refused(why: str) -> ProblemError:
    return ProblemError(403, f"url: {why}", name="url-refused")


def _failed(why: str, status: int = 502) -> ProblemError:
    return ProblemError(status, f"url: {why}", name="url-failed")

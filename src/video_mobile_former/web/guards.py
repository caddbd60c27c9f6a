"""What stands before every request: who may ask, from where, and how much."""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from typing import Any

from prometheus_client import Gauge

from .metrics import Metrics
from .problems import ProblemError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SUBPROTOCOL = "bearer."
"""What the token of a WebSocket stands behind, among its subprotocols."""


class Guard:
    """An ASGI application around another: hosts, origins, tokens, sizes, headers and counts.

    Args:
        app: What answers.
        metrics: Counts.
        token: What callers of ``/v1`` and ``/metrics`` must know; None lets everybody ask.
        host_names: Names by which the service may be called, beside addresses; None allows any.
        max_bytes: Of a body.
    """

    def __init__(
        self,
        app: App,
        *,
        metrics: Metrics,
        token: str | None,
        host_names: Sequence[str] | None,
        max_bytes: int,
    ):
        self._app, self._metrics = app, metrics
        self._token = None if token is None else token.encode()
        self._names = None if host_names is None else {name.lower() for name in host_names}
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        try:
            self._check(scope, headers)
        except ProblemError as problem:
            await self._refuse(scope, receive, send, problem)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._answer(scope, receive, send, headers)

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if self._names is not None and not is_allowed_host(host, self._names):
            raise ProblemError(
                421,
                f"this service is not called {host[:100] or 'nothing'}; allow the name with "
                "--host_name",
                name="unknown-host",
            )
        origin = headers.get(b"origin")
        safe = scope["type"] == "http" and scope["method"] in ("GET", "HEAD", "OPTIONS")
        if origin is not None and not safe:
            own = origin.decode("latin-1").partition("://")[2].lower()
            if own != host.lower():
                text = "pages of other sites may not use this service"
                raise ProblemError(403, text, name="other-origin")
        if self._token is None or not _needs_token(scope["path"]):
            return
        if scope["type"] == "websocket":
            offered = [p for p in scope["subprotocols"] if p.startswith(SUBPROTOCOL)]
            if not offered:
                scope["vmf_is_token"] = self.is_token  # it may be the first message: see live.py
                return
            given = offered[0].removeprefix(SUBPROTOCOL).encode()
        else:
            kind, _, given = headers.get(b"authorization", b"").partition(b" ")
            given = given.strip() if kind.lower() == b"bearer" else b""
        if not self.is_token(given):
            raise ProblemError(
                401,
                "this service needs a token: send it as Authorization: Bearer TOKEN",
                name="token",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def is_token(self, given: bytes) -> bool:
        """Whether it is the token, in a time that does not depend on what was given."""
        return self._token is not None and hmac.compare_digest(given, self._token)

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, problem: ProblemError
    ) -> None:
        response = problem.response()
        if scope["type"] == "websocket":
            start: Message = {
                "type": "websocket.http.response.start",
                "status": response.status_code,
                "headers": [*response.raw_headers, *_HEADERS],
            }
            await send(start)
            await send({"type": "websocket.http.response.body", "body": response.body})
            return
        self._metrics.requests.labels("refused", _method(scope), problem.status).inc()
        await response(scope, receive, _with_headers(send, scope["path"]))

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes]
    ) -> None:
        begun = time.monotonic()
        scope["vmf_begun"] = begun
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await self._refuse(scope, receive, send, self._too_large())
            return
        counted = _counted(receive, self._max_bytes, self._too_large)
        try:
            # What is no problem was answered with 500 and logged before it comes out here.
            with contextlib.suppress(Exception):
                await self._app(scope, counted, _with_headers(noted, scope["path"]))
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(route, _method(scope), status).inc()
            self._metrics.request_seconds.labels(route).observe(time.monotonic() - begun)

    def _too_large(self) -> ProblemError:
        most = f"{self._max_bytes / 1e6:g} MB"
        return ProblemError(413, f"an upload has at most {most}", name="too-large")


class Places:
    """How many requests of a kind there may be at once, those that wait included.

    Args:
        what: Are counted, in words.
        most: Of all callers.
        most_each: Of one address.
        gauge: Shows how many there are.
    """

    def __init__(self, what: str, most: int, most_each: int, gauge: Gauge):
        self._what, self._most, self._most_each, self._gauge = what, most, most_each, gauge
        self._taken: Counter[str] = Counter()
        self.closed = False
        """Set when the service is ending: nothing new is taken."""

    @property
    def taken(self) -> int:
        """Requests now."""
        return self._taken.total()

    @contextlib.contextmanager
    def take(self, caller: str) -> Iterator[None]:
        """Take a place for a request.

        Args:
            caller: Its address.

        Raises:
            ProblemError: If there is none.
        """
        if self.closed:
            raise ProblemError(503, "the service is ending", retry_seconds=10, name="ending")
        if self.taken >= self._most:
            text = f"there are {self._most} {self._what} already: try again"
            raise ProblemError(503, text, retry_seconds=2, name="full")
        if self._taken[caller] >= self._most_each:
            text = f"there are {self._most_each} {self._what} of this address: try again"
            raise ProblemError(429, text, retry_seconds=2, name="too-many")
        self._taken[caller] += 1
        self._gauge.set(self.taken)
        try:
            yield
        finally:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]
            self._gauge.set(self.taken)


def is_allowed_host(header: str, names: set[str]) -> bool:
    """Whether a ``Host`` header is an address or one of these names.

    A page of a stranger can make its own name point here (DNS rebinding), but no address.
    """
    host = header.lower()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") <= 1:
        host = host.partition(":")[0]
    if host in names:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that is bound there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _needs_token(path: str) -> bool:
    return path == "/metrics" or path == "/v1" or path.startswith("/v1/")


def _method(scope: Scope) -> str:
    """The method, for figures: callers may make up any number of them."""
    return scope["method"] if scope["method"] in _METHODS else "other"


def _headers(scope: Scope) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in scope["headers"]}


def _with_headers(send: Send, path: str) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            more = [header for header in _HEADERS if header[0] not in present]
            if b"cache-control" not in present:
                kept = b"no-store" if _needs_token(path) else b"no-cache"
                more.append((b"cache-control", kept))
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sent


def _counted(receive: Receive, most: int, problem: Callable[[], ProblemError]) -> Receive:
    """The body of a request, given up as soon as it is too long."""
    count = 0

    async def counted() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body") or b"")
        if count > most:
            raise problem()
        return message

    return counted

"""Running a service: its socket, its signals, and a stop that lets what runs finish."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import UserError
from .app import make_app
from .service import Service

_HEAD_SECONDS = 10.0
"""Time for the head of a request to come."""
_LINGER_SECONDS = 2.0
"""Time to read an answer that came before the end of the body."""
_FETCH_SECONDS = 5.0
"""Time for the results of jobs to be fetched before the end."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        UserError: If the address is not of this machine or taken.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            if hasattr(socket, "SO_REUSEADDR") and hasattr(signal, "SIGKILL"):  # not on Windows
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(256)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"cannot listen on {host} port {port}: {reason}; name another --host or --port"
        ) from error
    return listening


def run(
    service: Service,
    listening: socket.socket,
    *,
    token: str | None,
    host_names: list[str] | None,
    on_start: Callable[[], None],
    on_signal: Callable[[int], None],
) -> None:
    """Answer until SIGTERM or SIGINT, and finish what runs.

    Args:
        service: Has been started.
        listening: See :func:`bind`.
        token: See :func:`~.app.make_app`.
        host_names: Likewise.
        on_start: Is called when requests are answered.
        on_signal: Is called at each signal, with how many there were.
    """
    limits = service.settings
    config = uvicorn.Config(
        make_app(service, token=token, host_names=host_names),
        http=_protocol(limits.connections),
        ws="websockets-sansio",
        ws_max_size=limits.frame_bytes,
        ws_per_message_deflate=False,
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
    )
    _Server(config, service, on_start, on_signal).run([listening])


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        on_start: Callable[[], None],
        on_signal: Callable[[int], None],
    ):
        super().__init__(config)
        self._service, self._on_start, self._on_signal = service, on_start, on_signal
        self._signals = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals here; unlike uvicorn's, they are not raised again at the end."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends the service when all is done, the second one at once."""
        self._signals += 1
        self._on_signal(self._signals)
        if self._signals > 1:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether the service is to end."""
        if self._signals and not self._service.places.closed:
            self._service.refuse()
            self._until = time.monotonic() + self._service.settings.stop_seconds
            self._idle_since: float | None = None
        if self._signals and not self.should_exit:
            self.should_exit = self._is_done()
        return await super().on_tick(counter)

    def _is_done(self) -> bool:
        now = time.monotonic()
        if now > self._until or not self._service.is_busy:
            return True
        if self._service.places.taken or self._service.live.taken or self._service.jobs.running:
            self._idle_since = None
            return False
        # Only results wait to be fetched.
        self._idle_since = self._idle_since or now
        return now - self._idle_since > _FETCH_SECONDS


def _protocol(most_connections: int) -> type[asyncio.Protocol]:
    """HTTP with limits on what comes before a request and after its answer."""

    class Protocol(H11Protocol):
        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > most_connections:
                transport.abort()
                return
            self._head_timer = self.loop.call_later(_HEAD_SECONDS, self._too_slow)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def handle_events(self) -> None:
            before = self.cycle
            super().handle_events()
            if self.cycle is not before:
                self._stop_timer()
            elif self._head_timer is None and self._is_between():
                # Bytes of a next request, whose head must come in its time as well.
                self._head_timer = self.loop.call_later(_HEAD_SECONDS, self._too_slow)

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            self._stop_timer()
            super().handle_websocket_upgrade(event)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
                # The answer came before the end of the body: let it be read, then hang up.
                self._stop_timer()
                self._head_timer = self.loop.call_later(_LINGER_SECONDS, self._too_slow)

        def _is_between(self) -> bool:
            idle = self.cycle is None or self.cycle.response_complete
            return idle and self.conn.their_state is h11.IDLE and not self.transport.is_closing()

        def _stop_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _too_slow(self) -> None:
            self._head_timer = None
            if not self.transport.is_closing():
                self.transport.close()

    return Protocol

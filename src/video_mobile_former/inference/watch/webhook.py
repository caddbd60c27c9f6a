"""Events to a web address: one POST each, in order, until the receiver has them."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from ...errors import UserError
from ...text import printable
from ...version import __version__
from .outbox import Outbox

_WAIT_SECONDS = 10.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0
_NEVER = (400, 413, 414, 415, 422)
"""Answers that will be the same however often a message is sent again. Other errors, such as 404
behind a proxy whose service is down, may pass."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST becomes a GET without the event, and would count as delivered."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class Webhook:
    """Sends events in a thread of its own.

    A receiver that is dead or fails is tried again after pauses of 1, 2, 4 … 60 seconds; events
    wait in an outbox on disk meanwhile. Each is a JSON object with an ``id``; one whose answer was
    lost is sent again, so a receiver that must count passes over an id that it knows.

    Args:
        url: ``http(s)://…``, with ``user:password@`` if wanted.
        outbox: Where events wait.
        report: Is told one line when the receiver fails and when it is back.

    Raises:
        UserError: If the address is none.
    """

    def __init__(self, url: str, outbox: Outbox, report: Callable[[str], None]):
        self.shown, self._url, self._headers = _parsed(url)
        self._outbox, self._report = outbox, report
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._stop = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def send(self, event: dict[str, Any]) -> None:
        """Take an event; it is on disk when this returns."""
        self._outbox.add(json.dumps(event, ensure_ascii=True, allow_nan=False))

    def close(self, seconds: float) -> int:
        """Try for so long to deliver what waits; then stop.

        Returns:
            Events that still wait; the next run with the same outbox sends them.
        """
        self._deadline = threading.Timer(seconds, self._stop.set)
        self._deadline.daemon = True
        self._deadline.start()
        self._finishing = True
        self._outbox.changed.set()
        self._thread.join(seconds + _WAIT_SECONDS)
        self._deadline.cancel()
        return len(self._outbox)

    _finishing = False

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            self._outbox.changed.clear()
            waiting = self._outbox.oldest()
            if not waiting:
                if self._finishing:
                    return
                self._outbox.changed.wait(1.0)
                continue
            ((number, body),) = waiting
            reason, never = self._post(body)
            if reason is None:
                self._outbox.delivered(number)
                if self._failing:
                    self._report(f"{self.shown}: is back")
                self._failing, pause = False, _FIRST_PAUSE_SECONDS
            elif never:
                self._outbox.refuse(number, reason)
                self._report(f"{self.shown}: an event is refused and set aside: {reason}")
            else:
                if not self._failing:
                    self._report(f"{self.shown}: {reason}; events wait in {self._outbox.folder}")
                self._failing = True
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _post(self, body: str) -> tuple[str | None, bool]:
        """Why a message was not taken, None if it was; and whether that will never change."""
        request = urllib.request.Request(
            self._url, data=body.encode(), headers=self._headers, method="POST"
        )
        try:
            with self._opener.open(request, timeout=_WAIT_SECONDS) as answer:
                answer.read(1 << 16)
        except urllib.error.HTTPError as error:
            error.close()
            if 300 <= error.code < 400:
                return f"answers with a redirect ({error.code}): give the final address", False
            return f"answers {error.code}", error.code in _NEVER
        except urllib.error.URLError as error:
            return _reason(error.reason), False
        except (OSError, http.client.HTTPException, ValueError) as error:
            return _reason(error), False
        return None, False


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {_WAIT_SECONDS:g} s"
    text = getattr(error, "strerror", None) or type(error).__name__
    return printable(str(text)).lower()


def _parsed(url: str) -> tuple[str, str, dict[str, str]]:
    """What may be shown of an address, the address for urllib, and headers."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise UserError("--webhook must be an address such as https://example.com/hook")
    headers = {"Content-Type": "application/json", "User-Agent": f"vmf/{__version__}"}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    netloc = parts.netloc.rpartition("@")[2]
    # Paths of webhooks are often secrets.
    shown = printable(f"webhook {parts.scheme}://{host}{f':{port}' if port else ''}")
    return shown, urlunsplit(parts._replace(netloc=netloc, fragment="")), headers

"""Live streams over a WebSocket: frames come in, scores and events go out.

The newest frame wins: what comes while another is being read replaces it, and windows that the
model had no time for are passed over. Both are counted and told.
"""

from __future__ import annotations

import asyncio
import json
import math
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from ..errors import UserError, VideoError
from ..inference.events import Event, EventDetector, EventSettings
from ..inference.stream import Slot, StreamScores
from ..ranges import Checked, Range
from ..untrusted import parse_json
from .failures import GoneError
from .guards import SUBPROTOCOL
from .problems import ProblemError, of_error
from .reading import check_shape, read_picture
from .served import ServedModel
from .service import Service

_HEAD = struct.Struct("<d")
_MOST_TEXT = 4096
_BEST = 5
_LAG_SECONDS = 1.0
"""Time from one message on the lag to the next."""
_UNREAD = 64
"""Messages that a caller has not read, before scores are left out; ends of events are not."""
_MOST_UNREAD = 1024
_AHEAD_SLOTS = 64
"""Frames that wait to be taken by the thread of the models, at most."""
_LOOK_SECONDS = 0.5
_PICTURE_SECONDS = 10.0
_CLOSED_FOR_REASON, _GOING_AWAY = 1008, 1001


@dataclass(frozen=True)
class Start(Checked):
    """The first message of a stream: how its frames come, and how events are made."""

    section: ClassVar[str] = "start"

    format: Literal["jpeg", "rgb"] = "jpeg"
    """JPEG pictures, or 3 bytes a pixel from the top left."""
    width: Annotated[int, Range(1, 2**14)] = 1
    """Pixels, of rgb."""
    height: Annotated[int, Range(1, 2**14)] = 1
    on: Annotated[float, Range(0, 1)] | None = None
    """As of `vmf watch`, like those below."""
    off: Annotated[float, Range(0, 1)] | None = None
    min_seconds: Annotated[float, Range(0, 86400)] | None = None
    merge_seconds: Annotated[float, Range(0, 86400)] | None = None

    @classmethod
    def read(cls, text: str) -> Start:
        """What a message says.

        Raises:
            UserError: If it is no such message.
        """
        found = _object(text)
        if found.pop("type", None) != "start":
            raise UserError('the first message must be {"type": "start", …}')
        known = ("format", "width", "height", "on", "off", "min_seconds", "merge_seconds")
        unknown = sorted(set(found) - set(known))
        if unknown:
            raise UserError(f"start has no {unknown[0][:60]!r}; known: {', '.join(known)}")
        return cls(**found)

    @property
    def events(self) -> EventSettings:
        """Those that are given, and the usual ones."""
        names = ("on", "off", "min_seconds", "merge_seconds")
        given = {name: getattr(self, name) for name in names}
        return EventSettings(**{name: v for name, v in given.items() if v is not None})


class _Frame(NamedTuple):
    seconds: float
    content: bytes
    arrived: float


async def answer_stream(
    websocket: WebSocket, service: Service, choose_model: Callable[[], ServedModel]
) -> None:
    """Answer one WebSocket, from its handshake to its end."""
    try:
        model = choose_model()
    except UserError as error:
        await websocket.send_denial_response(of_error(error).response())
        return
    offered = [p for p in websocket.scope["subprotocols"] if p.startswith(SUBPROTOCOL)]
    await websocket.accept(subprotocol=offered[0] if offered else None)
    try:
        text = await _text(websocket, service)
        is_token = websocket.scope.get("vmf_is_token")
        if is_token is not None:
            if not is_token(str(_object(text).get("token", "")).encode()):
                text = 'this service needs a token: send {"token": …} first'
                raise ProblemError(401, text, name="token")
            text = await _text(websocket, service)
        start = Start.read(text)
        if start.format == "rgb" and start.width * start.height > service.settings.stream_pixels:
            most = f"at most {service.settings.stream_pixels} pixels"
            text = f"frames of {start.width}×{start.height} are too large: {most}"
            raise ProblemError(422, text, name="too-large")
        with service.live.take(websocket.client.host if websocket.client else ""):
            await _Session(websocket, service, model, start).run()
    except (GoneError, WebSocketDisconnect):
        return
    except Exception as error:  # noqa: BLE001 - the caller is told; what is a bug is logged
        problem = of_error(error, "the stream")
        code = _GOING_AWAY if problem.status == 503 else _CLOSED_FOR_REASON
        await _close(websocket, code, {**problem.to_dict(), "type": "problem"})
        return
    await _close(websocket, 1000)


class _Session:
    """A stream whose first message has been read."""

    def __init__(self, websocket: WebSocket, service: Service, model: ServedModel, start: Start):
        self._socket, self._service, self._model, self._start = websocket, service, model, start
        self._limits = service.settings
        self._loop = asyncio.get_running_loop()
        self._newest: _Frame | None = None
        self._came, self._said = asyncio.Event(), asyncio.Event()
        self._over = False
        """No more frames come."""
        self._finished = False
        """No more messages go out."""
        self._error: Exception | None = None
        self._out: deque[dict[str, Any]] = deque()
        self._skipped = 0
        self._allowance, self._counted = 1.0, time.monotonic()
        self._arrivals: deque[tuple[float, float]] = deque(maxlen=1024)
        self._told_lag, self._lag = -math.inf, 0.0
        self._choose = model.predictor.chooser()
        given = start.on is not None or start.off is not None
        self._detector = EventDetector(
            model.num_classes,
            start.events,
            class_names=model.predictor.class_names,
            thresholds={} if given else model.thresholds,
        )
        self._begun = False

    async def run(self) -> None:
        """Answer until the caller ends it.

        Raises:
            ProblemError: If something is wrong with a frame, or nothing comes.
            GoneError: If the caller hangs up.
        """
        opening = self._service.thread.open(
            self._model, self._take, self._end_of_model, newest=True
        )
        stream = self._stream = await asyncio.wrap_future(opening)
        tasks = [
            asyncio.ensure_future(work) for work in (self._receive(), self._read(), self._send())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            stream.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self) -> None:
        """Take what comes; the newest frame replaces one that waits."""
        while not self._over:
            message = await _message(self._socket, self._service, self._limits.idle_seconds)
            if message is None:  # the service is ending: events are closed and told
                self._error = ProblemError(503, "the service is ending", name="ending")
                self._over = True
            elif isinstance(message, str):
                if _object(message).get("type") != "end":
                    raise UserError('after the first message come frames, or {"type": "end"}')
                self._over = True
            else:
                self._frame(message)
            self._came.set()

    def _frame(self, message: bytes) -> None:
        if len(message) <= _HEAD.size:
            raise UserError("a frame must be 8 bytes of its time and then its picture")
        (seconds,) = _HEAD.unpack_from(message)
        if not math.isfinite(seconds):
            raise UserError(f"the time of a frame must be a number, not {seconds}")
        now = time.monotonic()
        rate = self._limits.stream_rate
        self._allowance = min(rate, self._allowance + (now - self._counted) * rate)
        self._counted = now
        too_many = self._allowance < 1
        if too_many or self._newest is not None:
            self._skipped += 1
            self._service.metrics.frames.labels("skipped").inc()
        if not too_many:
            self._allowance -= 1
            self._newest = _Frame(seconds, message[_HEAD.size :], now)

    async def _read(self) -> None:
        """Make what the model sees of the newest frame."""
        waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        while True:
            await self._came.wait()
            self._came.clear()
            frame, self._newest = self._newest, None
            if frame is not None:
                self._service.metrics.frames.labels("seen").inc()
                slots = await self._loop.run_in_executor(
                    self._service.live_threads, self._slots, frame
                )
                self._arrivals.append((frame.seconds, frame.arrived))
                if slots:
                    waiting.append((len(slots), asyncio.wrap_future(self._stream.push(slots))))
                while sum(count for count, _ in waiting) > _AHEAD_SLOTS or (
                    waiting and waiting[0][1].done()
                ):
                    await waiting.popleft()[1]
            if self._over and self._newest is None:
                self._stream.end()
                return
            if self._newest is not None:
                self._came.set()

    def _slots(self, frame: _Frame) -> list[Slot]:
        """In a thread: most frames are not chosen, and never looked into."""
        if self._start.format == "jpeg":
            picture: Any = _Jpeg(frame.content, self._service)
        else:
            height, width = self._start.height, self._start.width
            if len(frame.content) != 3 * height * width:
                raise UserError(
                    f"the frame at {frame.seconds:g} s has {len(frame.content)} bytes, not the "
                    f"{3 * height * width} of {width}×{height} pixels"
                )
            check_shape(width, height)
            # A copy that may be written, as torch wants it.
            picture = np.array(np.frombuffer(frame.content, np.uint8)).reshape(height, width, 3)
        try:
            return self._choose(frame.seconds, picture)
        except VideoError as error:
            raise UserError(f"the frame at {frame.seconds:g} s: {error.reason}") from error

    async def _send(self) -> None:
        while True:
            await self._said.wait()
            self._said.clear()
            while self._out:
                text = json.dumps(self._out.popleft(), ensure_ascii=False)
                try:
                    await asyncio.wait_for(self._socket.send_text(text), self._limits.idle_seconds)
                except asyncio.TimeoutError:
                    raise GoneError from None
            if self._finished:
                if self._error is not None:
                    raise self._error
                return

    # In the thread of the models

    def _take(self, scores: StreamScores) -> None:
        told: list[dict[str, Any]] = []
        if scores.restart and self._begun:
            told += [self._event(event) for event in self._detector.finish()]
        self._begun = True
        row = scores.probabilities
        best = np.argsort(-row, kind="stable")[:_BEST]
        told.append(
            {
                "type": "scores",
                "start_seconds": round(scores.start_seconds, 3),
                "end_seconds": round(scores.end_seconds, 3),
                "predictions": [
                    {"label": self._model.label(int(n)), "score": round(float(row[n]), 4)}
                    for n in best
                ],
            }
        )
        found = self._detector.update(scores.start_seconds, scores.end_seconds, row)
        told += [self._event(event) for event in found]
        now = time.monotonic()
        if now - self._told_lag >= _LAG_SECONDS:
            self._told_lag = now
            self._lag = now - self._arrival(scores.end_seconds, now)
            told.append(self._lag_message())
        self._loop.call_soon_threadsafe(self._say, told)

    def _arrival(self, seconds: float, now: float) -> float:
        """When the last frame of a window came."""
        known = [arrived for time, arrived in tuple(self._arrivals) if time <= seconds + 1e-6]
        return known[-1] if known else now

    def _end_of_model(self, error: Exception | None) -> None:
        told: list[dict[str, Any]] = []
        if error is None and self._begun:
            told = [self._event(event) for event in self._detector.finish()]
            told.append(self._lag_message())
        self._loop.call_soon_threadsafe(self._say, told, True, error)

    def _lag_message(self) -> dict[str, Any]:
        return {
            "type": "lag",
            "frames_skipped": self._skipped,
            "windows_skipped": self._stream.passed_over,
            "lag_seconds": round(self._lag, 3),
        }

    def _event(self, event: Event) -> dict[str, Any]:
        return {
            "type": "event",
            "state": event.type,
            "label": self._model.label(event.class_index),
            "start_seconds": round(event.start_seconds, 3),
            "end_seconds": None if event.type == "start" else round(event.end_seconds, 3),
            "score": round(event.score, 4),
        }

    # Again in that of the loop

    def _say(
        self, told: Sequence[dict[str, Any]], last: bool = False, error: Exception | None = None
    ) -> None:
        full = len(self._out) > _UNREAD
        for message in told:
            if full and message.get("state") not in ("start", "end"):
                continue  # the caller reads too slowly: newer ones follow
            self._out.append(message)
        if len(self._out) > _MOST_UNREAD:
            self._out.clear()
            last, error = True, ProblemError(408, "nobody reads the answers", name="slow-reader")
        if last:
            self._finished, self._error = True, error or self._error
        self._said.set()


class _Jpeg:
    """A picture that is read, in a process of its own, only if the model sees it."""

    def __init__(self, content: bytes, service: Service):
        self._content, self._service = content, service

    def rgb(self, short_side: int) -> np.ndarray:
        """``(H, W, 3)`` uint8."""
        most = self._service.settings.stream_pixels
        reading = self._service.pictures.submit(
            read_picture, self._content, short_side, most, seconds=_PICTURE_SECONDS
        )
        parts, _, _ = reading.result()
        return parts[0].arrays[0].copy()


async def _message(websocket: WebSocket, service: Service, seconds: float) -> str | bytes | None:
    """The next message; None when the service is ending.

    Raises:
        ProblemError: If none comes in time.
        GoneError: If the caller hangs up.
    """
    coming = asyncio.ensure_future(websocket.receive())
    end = time.monotonic() + seconds
    try:
        while not coming.done():
            await asyncio.wait([coming], timeout=_LOOK_SECONDS)
            if coming.done():
                break
            if service.places.closed:
                return None
            if time.monotonic() > end:
                raise ProblemError(408, f"nothing came for {seconds:g} s", name="idle")
    finally:
        coming.cancel()
    message = coming.result()
    if message["type"] == "websocket.disconnect":
        raise GoneError
    text: str | None = message.get("text")
    if text is not None:
        if len(text) > _MOST_TEXT:
            raise UserError(f"a text message has at most {_MOST_TEXT} characters")
        return text
    return bytes(message.get("bytes") or b"")


async def _text(websocket: WebSocket, service: Service) -> str:
    message = await _message(websocket, service, service.settings.idle_seconds)
    if message is None:
        raise ProblemError(503, "the service is ending", name="ending")
    if not isinstance(message, str):
        raise UserError('the first message must be text: {"type": "start", …}')
    return message


def _object(text: str) -> dict[str, Any]:
    found = parse_json(text, "a message", _MOST_TEXT)
    if not isinstance(found, dict):
        raise UserError("a message must be a JSON object")
    return found


async def _close(websocket: WebSocket, code: int, last: dict[str, Any] | None = None) -> None:
    """Say the last word, if anybody still listens."""
    if websocket.application_state is not WebSocketState.CONNECTED:
        return
    try:
        if last is not None:
            text = json.dumps(last, ensure_ascii=False)
            await asyncio.wait_for(websocket.send_text(text), 5)
        await asyncio.wait_for(websocket.close(code), 5)
    except (RuntimeError, WebSocketDisconnect, asyncio.TimeoutError):
        return

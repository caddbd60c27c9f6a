"""One connection to a source: opened within a time, read within a time, with reasons in words.

An address is opened with the protocols and demuxers that its kind needs and no others, so that a
server cannot make FFmpeg open files or other kinds of addresses; see ``docs/strangers.md``.
"""

from __future__ import annotations

import errno
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

import av
import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ....errors import UserError, VideoError
from ..first_bytes import DEMUXERS, other_thing
from ..media import READ_ERRORS, Media, choose_stream, open_video, time_base, time_origin
from .address import Address
from .pipe import PipeReader, StoppedError
from .settings import LiveSettings

Skipping = Literal["DEFAULT", "NONREF", "NONKEY"]
"""What a decoder leaves out: nothing, pictures no other refers to, all but key frames."""

_PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,srtp,udp,tcp,tls",
    "http": "http,https,httpproxy,tcp,tls,crypto,data",
    "https": "http,https,httpproxy,tcp,tls,crypto,data",
    "udp": "udp",
}
_RTSP_DEMUXERS = "rtsp,sdp,rtp,mpegts,asf"
_WITHOUT_STAMPS = ("h264", "hevc", "mjpeg", "mpjpeg", "m4v", "mpegvideo", "rawvideo", "jpeg_pipe")
"""Formats whose time stamps FFmpeg makes up by counting pictures."""
_PROBE_MICROSECONDS = "2000000"
_ALLOWED_ERRORS = 100
"""Packets in a row that a decoder refuses; then the stream is taken for broken."""
_SCREEN_RATE = 15.0
_PIPE_AHEAD_SECONDS = 2.0


class Connection:
    """A source while it is open.

    Args:
        address: The source; no folder.
        settings: Waits, sizes and rates.
        stop: Set when nobody reads on.

    Raises:
        UserError: If it cannot be opened; one line, without credentials.
    """

    def __init__(self, address: Address, settings: LiveSettings, stop: threading.Event):
        self.address, self._settings, self._stop = address, settings, stop
        self.skipping: Skipping = "DEFAULT"
        """What the decoder leaves out from now on."""
        self.passed_over = 0
        """Pictures that were not decoded."""
        self._pipe: PipeReader | None = None
        self.container, self.stream = self._opened()

    @property
    def ahead_seconds(self) -> float | None:
        """How far ahead of its clock a picture is taken; None for as soon as it is there.

        Pieces of a playlist and files of a server come faster than they play.
        """
        if self.address.kind == "pipe":
            return _PIPE_AHEAD_SECONDS if self.use_stamps else None
        if self.address.kind == "file":
            return 0.0 if self._settings.realtime else None
        is_piecewise = self.container.format.name == "hls" or self.duration is not None
        return 0.0 if self.address.kind == "network" and is_piecewise else None

    @property
    def duration(self) -> float | None:
        """Seconds that it announces; None for one without end."""
        announced = self.container.duration
        return announced / av.time_base if announced and announced > 0 else None

    @property
    def use_stamps(self) -> bool:
        """Whether its time stamps come from whoever made the pictures."""
        return self.container.format.name not in _WITHOUT_STAMPS

    @property
    def origin(self) -> float:
        """Time stamp in seconds at which a player's clock shows 0."""
        return float(time_origin(self.container, self.stream) * time_base(self.stream))

    @property
    def frame_seconds(self) -> float:
        """From picture to picture by the nominal rate."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return 1 / float(rate) if rate else 1 / 30

    def pictures(self) -> Iterator[tuple[VideoFrame, float | None]]:
        """Decode picture by picture.

        Yields:
            The picture, and its time stamp in seconds, None where it has none.

        Raises:
            UserError: If no picture comes in time, or the source breaks off.
        """
        base, refused = time_base(self.stream), 0
        last = time.monotonic()
        try:
            # All streams, so that sound that goes on does not hide pictures that do not.
            for packet in self.container.demux():
                if self._stop.is_set():
                    return
                if self._is_silent(last):
                    raise self._error(self._nothing_came)
                if packet.stream_index != self.stream.index:
                    continue
                last = time.monotonic()
                self.stream.codec_context.skip_frame = self.skipping
                try:
                    frames = packet.decode()
                    refused = 0
                except READ_ERRORS as error:
                    if isinstance(error, av.error.EOFError):
                        return
                    frames, refused = [], refused + 1
                    if refused > _ALLOWED_ERRORS:
                        raise self._error("its pictures cannot be decoded") from None
                self.passed_over += self.skipping != "DEFAULT" and not frames
                for frame in frames:
                    assert isinstance(frame, VideoFrame)
                    yield frame, None if frame.pts is None else float(frame.pts * base)
                last = time.monotonic()
        except StoppedError:
            return
        except (*READ_ERRORS, OSError) as error:
            if isinstance(error, av.error.EOFError) or self._stop.is_set():
                return
            cause = TimeoutError() if self._is_silent(last) else error
            raise self._error(self._reason(cause, reading=True)) from None

    def interrupt(self) -> None:
        """Let a read that waits end at once; from another thread."""
        self._stop.set()
        # FFmpeg asks ten times a second whether the time is over.
        wait = getattr(self.container, "set_timeout", None)
        if wait is not None:
            wait(0.0)

    def close(self) -> None:
        """Release it."""
        self.container.close()

    @property
    def _nothing_came(self) -> str:
        return f"no picture for {self._settings.read_seconds:g} s"

    def _is_silent(self, last: float) -> bool:
        waits = self.address.kind in ("network", "camera", "screen")
        return waits and time.monotonic() - last > self._settings.read_seconds

    def _opened(self) -> tuple[InputContainer, VideoStream]:
        if self.address.kind == "file":
            return open_video(Media(self.address.target))
        begin = time.monotonic()
        try:
            container = self._container()
        except (*READ_ERRORS, OSError, ValueError) as error:
            # What is interrupted in the middle of an answer is called invalid data.
            late = time.monotonic() - begin >= self._settings.open_seconds
            raise self._error(self._reason(TimeoutError() if late else error)) from None
        if self._pipe is not None:
            self._pipe.seconds = None  # a writer may pause
        try:
            return container, choose_stream(self.address.shown, container)
        except VideoError as error:
            container.close()
            what = "there is no video in it" if "no video" in error.reason else error.reason
            raise self._error(what) from None

    def _container(self) -> InputContainer:
        settings, target = self._settings, self.address.target
        options: dict[str, str] = {"analyzeduration": _PROBE_MICROSECONDS}
        more: dict[str, Any] = {"timeout": (settings.open_seconds, settings.read_seconds)}
        if self.address.kind == "pipe":
            if sys.stdin is None or sys.stdin.isatty():
                raise ValueError("stdin is a terminal: pipe a video into it")
            self._pipe = PipeReader(sys.stdin.fileno(), self._stop, settings.open_seconds)
            options |= {"protocol_whitelist": "", "format_whitelist": DEMUXERS}
            if settings.raw_size:
                options |= {
                    "format_whitelist": "rawvideo",
                    "video_size": settings.raw_size,
                    "pixel_format": settings.raw_format,
                    "framerate": f"{settings.raw_rate:g}",
                }
                more["format"] = "rawvideo"
            return av.open(self._pipe, container_options=options, **more)
        if self.address.kind == "network":
            scheme = target.partition("://")[0].lower()
            options["protocol_whitelist"] = _PROTOCOLS[scheme]
            if scheme in ("rtsp", "rtsps"):
                options |= {"format_whitelist": _RTSP_DEMUXERS}
                options |= {"rtsp_transport": settings.transport}
            else:
                lists = ",hls" if self.address.is_playlist else ""
                options["format_whitelist"] = DEMUXERS + lists
            return av.open(target, container_options=options, **more)
        return av.open(*_device(self.address, settings, options), container_options=options, **more)

    def _error(self, reason: str) -> UserError:
        return UserError(f"{self.address.shown}: {reason}")

    def _reason(self, error: BaseException, *, reading: bool = False) -> str:
        """Why FFmpeg could not go on, in words."""
        settings, kind = self._settings, self.address.kind
        number = getattr(error, "errno", None)
        if isinstance(error, av.error.ExitError | TimeoutError):
            return self._nothing_came if reading else f"no answer in {settings.open_seconds:g} s"
        if kind in ("camera", "screen"):
            return _of_device(number, kind, error)
        words = _BY_CLASS.get(type(error)) or _BY_NUMBER.get(number or 0)
        if number == errno.EIO and kind == "network" and not _resolves(self.address.target):
            return f"unknown host {urlsplit(self.address.target).hostname}"
        if isinstance(error, av.error.InvalidDataError | av.error.ArgumentError) and not reading:
            if self._pipe is not None:
                other = other_thing(bytes(self._pipe.head))
                return f"not a video{f' but {other}' if other else ', or damaged'}"
            return (
                "not a video, or damaged; a playlist is followed only where its address ends in "
                ".m3u8"
            )
        return words or self.address.hide(getattr(error, "strerror", None) or str(error))


_BY_CLASS = {
    av.error.HTTPOtherClientError: "the server refuses the request (4xx)",
    av.error.HTTPServerError: "the server has failed (5xx)",
    av.error.HTTPUnauthorizedError: "wrong user or password, or none given (401)",
    av.error.HTTPForbiddenError: "access is forbidden (403)",
    av.error.HTTPNotFoundError: "there is nothing at this address (404)",
    av.error.InvalidDataError: "not a video, or damaged",
    av.error.EOFError: "the connection was closed",
    av.error.ProtocolNotFoundError: "FFmpeg knows no such protocol",
}
_BY_NUMBER = {
    errno.ECONNREFUSED: "the connection is refused; is it running, and is the port right?",
    errno.EHOSTUNREACH: "the host cannot be reached",
    errno.ENETUNREACH: "the network cannot be reached",
    errno.ECONNRESET: "the connection was broken off",
    errno.EPIPE: "the connection was broken off",
    errno.EIO: "the connection failed",
}


def _device(
    address: Address, settings: LiveSettings, options: dict[str, str]
) -> tuple[str, Literal["r"], str]:
    """What ``av.open`` takes for a camera or a screen: file, mode and format."""
    rate, size = settings.capture_rate, settings.capture_size
    if address.kind == "screen":
        rate = rate or _SCREEN_RATE
    options |= {"framerate": f"{rate:g}"} if rate else {}
    options |= {"video_size": size} if size else {}
    if sys.platform == "darwin":
        screen = "Capture screen 0" if address.kind == "screen" else address.target
        return screen, "r", "avfoundation"
    if sys.platform == "win32":
        if address.kind == "screen":
            return "desktop", "r", "gdigrab"
        return f"video={address.target}", "r", "dshow"
    if address.kind == "screen":
        return address.target, "r", "x11grab"
    return address.target, "r", "video4linux2,v4l2"


def _of_device(number: int | None, kind: str, error: BaseException) -> str:
    if kind == "screen":
        return "this X display cannot be captured; is it running, and is DISPLAY right?"
    known = {
        errno.ENOENT: "no such camera",
        errno.ENODEV: "the camera is gone",
        errno.ENXIO: "the camera is gone",
        errno.EBUSY: "the camera is in use by another program",
        errno.EACCES: "no permission to use the camera; is the user in the group video?",
        errno.ENOTTY: "not a camera",
        errno.EINVAL: "the camera has no such size or rate",
    }
    return known.get(number or 0) or getattr(error, "strerror", None) or str(error)


def _resolves(url: str) -> bool:
    try:
        socket.getaddrinfo(urlsplit(url).hostname, None)
    except (OSError, UnicodeError):
        return False
    return True

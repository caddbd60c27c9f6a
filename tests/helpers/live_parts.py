"""Real parts that tests of live sources talk to: servers on loopback, each a child process.

What is not installed makes a test skip with its name.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGES = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{base,good,bad,ugly}"


def free_port() -> int:
    """A TCP port of loopback that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def need(command: str) -> str:
    """Path of a command, or skip."""
    found = shutil.which(command) or shutil.which(command, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"the command {command} is not installed")
    return found


@functools.cache
def _has_rtsp() -> bool:
    code = (
        "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0');"
        "from gi.repository import Gst, GstRtspServer; Gst.init(None);"
        "assert all(map(Gst.ElementFactory.find, ('x264enc', 'rtph264pay', 'videotestsrc')))"
    )
    if not Path(SYSTEM_PYTHON).exists():
        return False
    return not subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True).returncode


class Child:
    """A child process that is frozen, killed and started again."""

    def __init__(self, command: list[str], **more: Any):
        self.command, self._more = command, more
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            **self._more,
        )

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def _send(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()


class RtspServer(Child):
    """A camera: an RTSP server with a moving ball, see ``rtsp_server.py``."""

    def __init__(
        self,
        size: tuple[int, int] = (320, 240),
        rate: int = 25,
        *,
        login: tuple[str, str] | None = None,
    ):
        if not _has_rtsp():
            pytest.skip(f"no GStreamer RTSP server: apt-get install {PACKAGES}")
        self.port = free_port()
        super().__init__([])
        self.show(size, rate, login)
        self.start()

    def show(
        self, size: tuple[int, int], rate: int = 25, login: tuple[str, str] | None = None
    ) -> None:
        """What it gives from the next start on."""
        server = str(Path(__file__).with_name("rtsp_server.py"))
        numbers = [str(number) for number in (self.port, *size, rate)]
        self.command = [SYSTEM_PYTHON, server, *numbers, *(login or ())]

    def start(self) -> None:
        super().start()
        assert self.process is not None
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def url(self, path: str = "live", login: str = "") -> str:
        return f"rtsp://{login}127.0.0.1:{self.port}/{path}"


class Broker(Child):
    """Mosquitto on loopback, without persistence: killed, it forgets everything."""

    def __init__(self, folder: Path, login: tuple[str, str] | None = None):
        program = need("mosquitto")
        self.port = free_port()
        config = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", "user root"]
        if login is None:
            lines.append("allow_anonymous true")
        else:
            passwords = folder / "passwords"
            subprocess.run(
                [need("mosquitto_passwd"), "-b", "-c", str(passwords), *login], check=True
            )
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        config.write_text("\n".join(lines) + "\n")
        super().__init__([program, "-c", str(config)])
        self.start()

    def start(self) -> None:
        super().start()
        wait_until(lambda: _answers(self.port), 10)

    def url(self, login: str = "", base: str = "") -> str:
        return f"mqtt://{login}127.0.0.1:{self.port}{base}"


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Screen(Child):
    """An X server without a screen of glass."""

    def __init__(self, width: int = 320, height: int = 240):
        program = need("Xvfb")
        read, write = os.pipe()
        super().__init__(
            [program, "-displayfd", str(write), "-screen", "0", f"{width}x{height}x24"],
            pass_fds=(write,),
        )
        self.start()
        os.close(write)
        with os.fdopen(read) as told:
            self.display = f":{told.readline().strip()}"


@contextlib.contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """Files of a folder by HTTP; gives the address."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any, **more: Any):
            super().__init__(*args, directory=str(folder), **more)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def motion_jpeg(pictures: list[bytes], seconds: float) -> Iterator[str]:
    """A camera of the simplest kind: JPEG pictures without time stamps, one after the other."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
            self.end_headers()
            with contextlib.suppress(OSError):
                for picture in pictures:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}"
                    self.wfile.write(head.encode() + b"\r\n\r\n" + picture + b"\r\n")
                    time.sleep(seconds)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/video.cgi"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Receiver:
    """A web hook that remembers what it was sent, and answers as it is told."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.answer = 200
        self._server: ThreadingHTTPServer | None = None
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/secret-path"

    def start(self) -> None:
        outer = self

        class Handler(SimpleHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.answer == 200:
                    outer.bodies.append(body)
                    outer.headers.append(dict(self.headers))
                self.send_response(outer.answer)
                if outer.answer == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
        self._server = None

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *args: object) -> None:
        self.stop()


def wait_until(condition: Any, seconds: float) -> None:
    """Wait for something to hold; fail where it does not in time."""
    patience = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < patience, "waited in vain"
        time.sleep(0.02)


def run_vmf(*words: str) -> list[str]:
    """The command line of ``vmf`` in this environment."""
    return [sys.executable, "-m", "video_mobile_former", *words]


def save_always_waving(folder: Path) -> Path:
    """A checkpoint that sees "waving" with a score of 0.95 in whatever it is shown."""
    from video_mobile_former import ClipSpec, create_model

    model: Any = create_model("vmf_500m", num_classes=2, num_frames=4, crop_size=64)
    model.clip = ClipSpec(
        num_frames=4, sampling="dense", stride=2, stride_fps=20.0, resize_size=64, crop_size=64
    )
    model.class_names = ("waving", "background")
    model.classifier.weight.data.zero_()
    model.classifier.bias.data[:] = model.classifier.bias.new_tensor([3.0, 0.0])
    model.save_pretrained(folder)
    return folder

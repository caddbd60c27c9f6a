"""A static server as anybody runs one, and web folders for tests."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
"""Headers with which browsers give threads."""


@dataclass
class Site:
    url: str
    paths: list[str] = field(default_factory=list)
    """What was asked for."""


@contextmanager
def served(folder: Path, headers: dict[str, str] | None = None) -> Iterator[Site]:
    """Python's own static server on loopback.

    Args:
        folder: What it serves.
        headers: Sent with every file.
    """
    site = Site("")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

        def do_GET(self) -> None:
            site.paths.append(self.path)
            super().do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        site.url = f"http://127.0.0.1:{server.server_port}/"
        try:
            yield site
        finally:
            server.shutdown()

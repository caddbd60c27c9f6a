"""``vmf serve`` in a process of its own, on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx


@dataclass
class RunningService:
    """A service that answers."""

    url: str
    process: subprocess.Popen[str]
    folder: Path
    """Where it keeps uploads."""
    said: list[str] = field(default_factory=list)
    """Lines on stderr so far."""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False, **options)

    def uploads(self) -> list[Path]:
        """Files of uploads that are there now."""
        return [path for path in self.folder.glob("*/*") if path.name != ".lock"]

    def workers(self) -> list[int]:
        """Processes that read videos."""
        return [
            int(line.partition(" ")[0])
            for line in _processes()
            if "multiprocessing.forkserver" in line and self._is_ours(int(line.partition(" ")[0]))
        ]

    def _is_ours(self, number: int) -> bool:
        """Whether it is a child of the fork server, itself a child of the service."""
        parent = _parent(number)
        return parent is not None and _parent(parent) == self.process.pid

    def stop(self, number: int = signal.SIGTERM, seconds: float = 40) -> int:
        """End it by a signal; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextlib.contextmanager
def running_service(
    folder: Path, *words: str, env: Mapping[str, str] | None = None
) -> Iterator[RunningService]:
    """``vmf serve`` with these words, on a free port; it is killed at the end."""
    command = [sys.executable, "-m", "video_mobile_former", "serve", *words]
    command += ["--port", "0", "--json", "--device", "cpu", "--threads", "1"]
    process = subprocess.Popen(
        [*command, "--folder", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said: list[str] = []
    listening = threading.Thread(target=said.extend, args=(process.stderr,), daemon=True)
    listening.start()
    try:
        line = process.stdout.readline()
        assert line, "".join(said)
        yield RunningService(json.loads(line)["url"], process, folder, said)
    finally:
        process.kill()
        process.wait()
        listening.join(5)
        process.stdout.close()
        process.stderr.close()


def until(condition: Any, seconds: float = 10.0) -> Any:
    """Wait until something holds, and give it."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found or time.monotonic() > end:
            assert found
            return found
        time.sleep(0.02)


def _processes() -> list[str]:
    return [
        f"{path.name} {(path / 'cmdline').read_bytes().replace(bytes(1), b' ').decode()}"
        for path in Path("/proc").glob("[0-9]*")
        if os.access(path / "cmdline", os.R_OK)
    ]


def _parent(number: int) -> int | None:
    try:
        return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None

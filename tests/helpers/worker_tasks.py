"""What workers of the service are asked in tests; in a module that they can import."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from video_mobile_former.errors import VideoError
from video_mobile_former.web.workers import Part

_begun = time.monotonic()


def give(facts: dict[str, Any], arrays: list[np.ndarray]) -> Iterator[Part]:
    yield Part(facts, tuple(arrays))
    yield Part({"last": True})


def number() -> Iterator[Part]:
    yield Part({"number": os.getpid()})


def die() -> Iterator[Part]:
    os.kill(os.getpid(), signal.SIGKILL)
    yield Part()


def die_once(marker: str) -> Iterator[Part]:
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    yield Part({"second": True})


def hang() -> Iterator[Part]:
    time.sleep(1000)
    yield Part()


def refuse(reason: str) -> Iterator[Part]:
    yield Part()
    raise VideoError("x.mp4", reason)


def fail() -> Iterator[Part]:
    yield Part()
    raise KeyError("x")


def count(most: int) -> Iterator[Part]:
    """Numbers, and how many more were sent than time would explain."""
    for i in range(most):
        yield Part({"number": i, "ahead": i})


def send_raw(content: bytes) -> Iterator[Part]:
    """What a worker might send that is no longer itself."""
    (connection,) = [
        one for one in gc.get_objects() if isinstance(one, Connection) and one.writable
    ][:1]
    connection.send_bytes(content)
    yield Part()

"""Memory and errors of fresh processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from video_mobile_former.errors import UserError
from video_mobile_former.profiling.child import in_child
from video_mobile_former.profiling.memory import memory_of

MEGABYTE = 1 << 20


def takes_memory(kept: int, used: int) -> Callable[[], object]:
    """Keep some megabytes, and use more for a moment in every call."""
    stays = b"\1" * (kept * MEGABYTE)

    def run() -> int:
        return len(stays) + len(b"\1" * (used * MEGABYTE))

    return run


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuses(value: int) -> None:
    raise UserError(f"not {value}")


def breaks() -> None:
    raise ArithmeticError("of ours")


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells all three")  # noqa: PTH110
def test_memory_that_is_kept_and_memory_of_a_moment() -> None:
    use = memory_of(takes_memory, 40, 60, what="a test")
    assert use is not None
    assert use.loaded is not None
    assert 38 * MEGABYTE < use.loaded < 60 * MEGABYTE
    assert 95 * MEGABYTE < use.peak < 130 * MEGABYTE
    assert use.peak_running is None or use.peak_running == use.peak


def test_an_error_of_the_user_passes_through() -> None:
    with pytest.raises(UserError, match="not 3"):
        in_child(refuses, 3, what="a test")


def test_a_death_is_told_with_its_signal() -> None:
    with pytest.raises(UserError, match="a test: the process was ended by SIGKILL, most likely"):
        in_child(dies, what="a test")


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)a test failed.*in breaks.*of ours"):
        in_child(breaks, what="a test")

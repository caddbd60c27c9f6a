"""Memory and errors of fresh processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

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


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells all three")  # noqa: PTH110
def test_memory_that_is_kept_and_memory_of_a_moment() -> None:
    use = memory_of(takes_memory, 40, 60, what="a test")
    assert use is not None
    assert use.loaded is not None
    assert 38 * MEGABYTE < use.loaded < 60 * MEGABYTE
    assert 95 * MEGABYTE < use.peak < 130 * MEGABYTE
    assert use.peak_running is None or use.peak_running == use.peak


@pytest.mark.slow
def test_an_error_of_the_user_passes_through() -> None:
    with pytest.raises(UserError, match="not 3"):
        in_child(refuses, 3, what="a test")


@pytest.mark.slow
def test_a_death_is_told_with_its_signal() -> None:
    with pytest.raises(UserError, match="a test: the process was ended by SIGKILL, most likely"):
        in_child(dies, what="a test")


@pytest.mark.slow
def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)a test failed.*in breaks.*of ours"):
        in_child(breaks, what="a test")


@pytest.mark.slow
def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys, time\n"
        "from video_mobile_former.profiling.child import in_child\n"
        "def wait(path):\n"
        "    open(path, 'w').write(str(os.getpid()))\n"
        "    time.sleep(600)\n"
        "if __name__ == '__main__':\n"
        "    in_child(wait, sys.argv[1], what='waiting')\n"
    )
    told = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, str(script), str(told)])
    until(lambda: told.exists() and told.read_text() != "")
    parent.kill()
    parent.wait()
    until(lambda: not running(int(told.read_text())))


def until(reached: Callable[[], bool]) -> None:
    for _ in range(600):
        if reached():
            return
        time.sleep(0.1)
    raise AssertionError("not reached in a minute")


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that has ended may wait to be collected.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"

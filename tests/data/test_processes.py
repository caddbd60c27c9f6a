from __future__ import annotations

import errno
import importlib.util
import os
import signal
import time
from collections.abc import Callable

import pytest

from video_mobile_former.data.processes import PRELOADED, TaskFailure, run_tasks
from video_mobile_former.errors import UserError, VideoError


def work(task: str, alive: Callable[[], None]) -> str:
    kind, _, rest = task.partition(" ")
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "hang":
        time.sleep(60)
    elif kind == "slow":
        for _ in range(int(rest)):
            time.sleep(0.1)
            alive()
    elif kind == "video":
        raise VideoError("a.mp4", "cut off")
    elif kind == "defect":
        raise KeyError("x")
    elif kind == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    return task.upper()


def run(tasks: list[str], num_workers: int = 2, timeout: float = 30.0) -> dict[str, object]:
    done = run_tasks(work, tasks, num_workers=num_workers, timeout_seconds=timeout)
    return {task: r.reason if isinstance(r, TaskFailure) else r for task, r in done}


def test_what_fails_costs_itself_alone():
    found = run(["a", "die", "video", "b", "defect", "c", "die 2", "d"])
    assert {found[task] for task in "abcd"} == {"A", "B", "C", "D"}
    assert found["video"] == "cut off"
    assert found["defect"] == "KeyError: 'x'"
    assert found["die"] == found["die 2"]
    assert "signal 9" in str(found["die"])
    assert len(found) == 8


def test_what_hangs_is_stopped_and_what_gets_on_is_not():
    begin = time.monotonic()
    found = run(["hang", "slow 25", "a"], timeout=2)
    assert "did not get on for 2 seconds" in str(found["hang"])
    assert (found["slow 25"], found["a"]) == ("SLOW 25", "A")
    assert time.monotonic() - begin < 30


def test_failures_tell_what_happened():
    done = run_tasks(work, ["video", "die", "hang"], num_workers=2, timeout_seconds=2)
    kinds = {task: r.kind for task, r in done if isinstance(r, TaskFailure)}
    assert kinds == {"video": "failed", "die": "died", "hang": "hung"}


def test_a_full_disk_ends_everything():
    with pytest.raises(UserError, match="No space left on device; the same command goes on"):
        run(["a", "full", *"bcdefgh"])


def test_leaving_early_ends_the_processes():
    tasks = run_tasks(work, ["a", "hang", "hang"], num_workers=2, timeout_seconds=60)
    assert next(tasks) == ("a", "A")
    begin = time.monotonic()
    tasks.close()
    assert time.monotonic() - begin < 10


def test_no_task_no_process():
    assert run([]) == {}


def test_what_workers_preload_exists():
    assert importlib.util.find_spec(PRELOADED) is not None

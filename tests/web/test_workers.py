"""Processes that read, and die, hang or are taken over."""

import concurrent.futures
import contextlib
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest

import worker_tasks
from running_service import until
from video_mobile_former.errors import VideoError
from video_mobile_former.web.failures import CancelledError, StoppedError, WorkerDiedError
from video_mobile_former.web.workers import Worker, WorkerPool


@pytest.fixture(scope="module")
def pool():
    found = WorkerPool(1)
    yield found
    found.close()


def ask(pool, function, *arguments, seconds=60.0):
    return pool.submit(function, *arguments, seconds=seconds).result()[0]


def test_parts_come_as_they_were_sent(pool):
    facts = {"x": [1.5, "ö\udc80"], "y": None}
    arrays = [np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.zeros((0, 3), np.uint8)]
    first, second = ask(pool, worker_tasks.give, facts, arrays)
    assert first.facts == facts
    for found, wanted in zip(first.arrays, arrays, strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert found.shape == wanted.shape
    assert second.facts == {"last": True}


def test_a_worker_that_dies_is_replaced_and_asked_once_more(tmp_path):
    deaths = []
    pool = WorkerPool(1, lambda: deaths.append(1))
    try:
        marker = tmp_path / "was here"
        (part,) = ask(pool, worker_tasks.die_once, str(marker))
        assert part.facts == {"second": True}
        assert len(deaths) == 1
        with pytest.raises(WorkerDiedError, match="signal 9"):
            ask(pool, worker_tasks.die)
        assert len(deaths) == 3
        (worker,) = ask(pool, worker_tasks.number)
        os.kill(worker.facts["number"], signal.SIGKILL)  # while it is idle
        assert ask(pool, worker_tasks.number)[0].facts != worker.facts
    finally:
        pool.close()


def test_one_that_hangs_is_ended_and_one_that_is_told_to_end_goes_on(pool):
    (worker,) = ask(pool, worker_tasks.number)
    os.kill(worker.facts["number"], signal.SIGTERM)  # a service manager tells all processes
    assert ask(pool, worker_tasks.number)[0].facts == worker.facts
    begun = time.monotonic()
    with pytest.raises(WorkerDiedError, match="too long") as died:
        ask(pool, worker_tasks.hang, seconds=0.3)
    assert died.value.timed_out
    assert time.monotonic() - begun < 30
    assert ask(pool, worker_tasks.number)[0].facts != worker.facts


def test_errors_keep_their_kind(pool):
    with pytest.raises(VideoError) as refused:
        ask(pool, worker_tasks.refuse, "cut off")
    assert refused.value.reason == "cut off"
    with pytest.raises(RuntimeError, match="KeyError"):
        ask(pool, worker_tasks.fail)
    assert ask(pool, worker_tasks.number)


def test_nothing_that_a_worker_sends_is_unpickled(pool, tmp_path):
    """A hostile file that takes a worker over cannot have this process run its code."""
    target = tmp_path / "taken over"
    code = pickle.dumps(_Evil(str(target)))
    with pytest.raises((WorkerDiedError, ValueError)):
        ask(pool, worker_tasks.send_raw, code)
    assert not target.exists()
    assert ask(pool, worker_tasks.number)


class _Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.slow
def test_a_stream_of_parts_waits_for_who_reads_it_and_can_be_cancelled(pool):
    cancelled = threading.Event()
    parts = pool.stream(worker_tasks.count, 10**9, seconds=60, cancelled=cancelled)
    with contextlib.closing(parts):
        assert [next(parts).facts["number"] for _ in range(3)] == [0, 1, 2]
        time.sleep(0.2)
        found = next(parts)
        assert found.facts["number"] == 3
        assert found.facts["ahead"] < 1000  # what a pipe holds, not all
        cancelled.set()
        with pytest.raises(CancelledError):
            next(parts)
    assert ask(pool, worker_tasks.number)


@pytest.mark.slow
def test_one_that_never_stops_sending_is_ended_when_its_time_is_over(pool):
    begun = time.monotonic()
    with pytest.raises(WorkerDiedError, match="too long") as died:
        for _ in pool.stream(worker_tasks.count, 10**9, seconds=0.5):
            pass
    assert died.value.timed_out
    assert time.monotonic() - begun < 30


@pytest.mark.slow
def test_the_end_of_a_pool_ends_its_processes_and_fails_what_waits():
    pool = WorkerPool(1)
    (worker,) = ask(pool, worker_tasks.number)
    waiting = [pool.submit(worker_tasks.hang, seconds=60) for _ in range(2)]
    time.sleep(0.2)
    pool.close()
    for future in waiting:
        with pytest.raises((WorkerDiedError, StoppedError, concurrent.futures.CancelledError)):
            future.result(10)
    until(lambda: not _runs(worker.facts["number"]))
    with pytest.raises((RuntimeError, StoppedError)):
        ask(pool, worker_tasks.number)


@pytest.mark.slow
def test_a_pipe_is_closed_once_and_by_the_thread_that_uses_it(monkeypatch):
    """The end of a pool and of the work in it meet; here the work's thread is always the first."""
    kill = Worker.kill

    def kill_and_wait(worker):
        kill(worker)
        time.sleep(0.3)

    monkeypatch.setattr(Worker, "kill", kill_and_wait)
    pool = WorkerPool(2)
    ask(pool, worker_tasks.number)
    waiting = [pool.submit(worker_tasks.hang, seconds=60) for _ in range(3)]
    until(lambda: len(pool.processes()) == 2)
    pool.close()
    for future in waiting:
        with pytest.raises((WorkerDiedError, StoppedError, concurrent.futures.CancelledError)):
            future.result(10)


@pytest.mark.slow
def test_a_process_that_starts_while_the_pool_ends_is_ended(monkeypatch):
    pool = WorkerPool(1)
    begin = Worker.__init__
    started = []

    def close_then_begin(worker):
        begin(worker)
        started.append(worker.pid)
        pool.close()

    monkeypatch.setattr(Worker, "__init__", close_then_begin)
    with pytest.raises(StoppedError):
        ask(pool, worker_tasks.number)
    until(lambda: not _runs(started[0]))
    assert pool.processes() == []


def _runs(number):
    try:
        os.kill(number, 0)
    except OSError:
        return False
    return True

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from video_mobile_former.training.run.interrupt import StopRequest, TrainingInterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_the_first_signal_asks_and_the_second_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_signals_can_be_taken_back() -> None:
    with StopRequest() as stop:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stop.listen()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested


def test_outside_the_main_thread_it_does_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with StopRequest() as stop:
            stop.listen()
            seen.append((stop.requested, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_a_forked_worker_ignores_ctrl_c_but_ends_on_sigterm() -> None:
    # In a process of its own, as forking one with many threads is not for a test run.
    code = """
import os, signal, time
from video_mobile_former.training.run.interrupt import StopRequest
with StopRequest() as stop:
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell, b"x")
        time.sleep(30)
        os._exit(0)
    os.read(ready, 1)
    os.kill(child, signal.SIGINT)
    time.sleep(0.2)
    assert os.waitpid(child, os.WNOHANG) == (0, 0), "ended by Ctrl-C"
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 143
    assert not stop.requested
"""
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_interrupted_training_counts_as_ctrl_c() -> None:
    assert issubclass(TrainingInterrupted, KeyboardInterrupt)

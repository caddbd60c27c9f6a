"""What is said of the machine."""

from __future__ import annotations

import time

import pytest

from video_mobile_former.profiling import machine


def test_the_line_names_processor_and_cores() -> None:
    line = machine.describe_machine()
    assert machine.processor_name() in line
    cores = machine.usable_cores()
    assert cores >= 1
    assert f"{cores} core" in line


def test_processor_time_of_all_programs_holds_our_own() -> None:
    before = machine.busy_seconds()
    if before is None:
        pytest.skip("this system does not tell")
    start = time.process_time()
    while time.process_time() - start < 0.2:
        pass
    after = machine.busy_seconds()
    assert after is not None
    assert after - before > 0.1  # counted in ticks of a hundredth


def test_versions_of_what_is_installed_and_what_is_not() -> None:
    assert machine.library_version("pytest") == pytest.__version__
    assert machine.library_version("no-such-distribution") is None

"""Memory kept and given back, each in a process of its own: this one's heap holds other things."""

import os
import platform
import subprocess
import sys

import pytest

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc knows mallopt")
FAULTS = """
import resource, sys
from video_mobile_former import memory
print(memory.keep_memory_of_tensors() if sys.argv[1] == "kept" else False)
import torch
for number in range(40):  # what else lives in the heap finds its place in the first ones
    if number == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(1 << 24)  # 64 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way, **environment):
    """Whether memory is kept, and the page faults of 20 tensors of 64 MiB."""
    own = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    command = [sys.executable, "-c", FAULTS, way]
    done = subprocess.run(
        command, env={**own, **environment}, capture_output=True, text=True, check=True
    )
    kept, count = done.stdout.split()
    return kept == "True", int(count)


@GLIBC
@pytest.mark.slow
def test_the_next_tensor_gets_the_memory_of_the_last():
    kept, few = faults("kept")
    assert kept
    _, many = faults("given back")
    assert many > 600  # of 2 MiB, where the system has such pages; else 300,000
    assert few < many / 20


@GLIBC
@pytest.mark.slow
@pytest.mark.parametrize(
    "own", [{"MALLOC_TRIM_THRESHOLD_": "1000000"}, {"GLIBC_TUNABLES": "glibc.malloc.top_pad=4096"}]
)
def test_what_the_environment_says_is_left_alone(own):
    assert faults("kept", **own)[0] is False


@pytest.mark.slow
@GLIBC
def test_memory_in_holes_goes_back_to_the_system() -> None:
    # In a process of its own: the heap of this one holds what other tests left.
    program = """
import os
from pathlib import Path
from video_mobile_former.memory import give_back_memory, keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

keep_freed_memory(32 << 20)
parts = [bytearray(1 << 20) for _ in range(200)]
kept = parts[-1:]
del parts[:-1]
before = resident()
give_back_memory()
print(before - resident())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 100

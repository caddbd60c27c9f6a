"""Operator times from ExecuTorch's event log (ETDump)."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...console import quiet
from ...errors import UserError
from ...optional import require
from .profile import OperatorProfile, OperatorTime

_WHOLE = "Method::execute"
_NATIVE = "native_call_"
_COVERS = ("DELEGATE_CALL", "OPERATOR_CALL", _WHOLE)
"""Events that contain others."""


def profile_executorch(
    path: str | Path, inputs: np.ndarray, *, num_threads: int, passes: int = 6
) -> OperatorProfile:
    """Profile a ``.pte`` program in ExecuTorch's Python runtime.

    Args:
        path: A program with one input.
        inputs: The input tensor.
        num_threads: Threads of its pool.
        passes: Forward passes to take the median of, after two of warm-up.

    Raises:
        UserError: If the installed ExecuTorch was built without its event log.
    """
    library = "executorch.extension.pybindings.portable_lib"
    runtime = require(library, extra="executorch", purpose="an ExecuTorch profile")
    devtools = require("executorch.devtools", extra="executorch", purpose="an ExecuTorch profile")
    runtime._unsafe_reset_threadpool(num_threads)
    program = runtime._load_for_executorch(str(path), enable_etdump=True)
    clip = torch.from_numpy(inputs)
    for _ in range(passes + 2):
        program.run_method("forward", (clip,))
    if not program.has_etdump():
        raise UserError("this ExecuTorch was built without its event log: no operator times")
    with tempfile.TemporaryDirectory(prefix="vmf-profile-") as folder:
        log = Path(folder) / "log.etdp"
        program.write_etdump_result_to_file(str(log))
        with quiet():  # it warns that tensors were not kept
            blocks = devtools.Inspector(etdump_path=str(log)).event_blocks
    events = next(block.events for block in blocks if block.name == "Execute")
    return profile_of_events(events, skip=2)


def profile_of_events(events: Iterable[Any], *, skip: int) -> OperatorProfile:
    """Operator times from the events of one program.

    Args:
        events: With ``name``, ``perf_data.raw`` (milliseconds of each pass) and
            ``_instruction_id``.
        skip: Warm-up passes at the start.
    """
    operators, whole = [], 0.0
    for event in events:
        if event.perf_data is None:
            continue
        median = statistics.median(event.perf_data.raw[skip:])
        if event.name == _WHOLE:
            whole = median
        if event.name not in _COVERS:
            kind, kernel, number = _words(event.name)
            name = f"{kind}{number} @{event._instruction_id}"
            operators.append(OperatorTime(name, kind, kernel, median))
    rest = whole - sum(operator.milliseconds for operator in operators)
    if rest > 0:
        operators.append(OperatorTime("between operators", "between operators", "", rest))
    return OperatorProfile(tuple(operators))


def _words(name: str) -> tuple[str, str, str]:
    """Type, kernel and number from ``Convolution (NHWC, F32) IGEMM #1``, ``native_call_gt.out``."""
    if name.startswith(_NATIVE):
        return name.removeprefix(_NATIVE), "portable", ""
    name, mark, number = name.partition(" #")
    kind, _, kernel = name.partition(" (")
    kernel = kernel.replace(")", "")
    return kind, f"XNNPACK {kernel}".rstrip(), mark + number

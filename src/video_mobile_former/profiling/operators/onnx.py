"""Operator times from ONNX Runtime's profiling file."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ...optional import require
from .profile import OperatorProfile, OperatorTime, shape_text

_KERNEL = "_kernel_time"


def profile_onnx(
    path: str | Path, inputs: np.ndarray, *, num_threads: int, passes: int = 10
) -> OperatorProfile:
    """Profile an ONNX file in ONNX Runtime on the CPU.

    Args:
        path: ``.onnx`` with one input.
        inputs: The input tensor.
        num_threads: Threads within an operator.
        passes: Forward passes to take the median of, after two of warm-up.
    """
    runtime = require("onnxruntime", extra="export", purpose="an ONNX Runtime profile")
    with tempfile.TemporaryDirectory(prefix="vmf-profile-") as folder:
        options = runtime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: inputs}
        for _ in range(passes + 2):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return profile_of_events(events, skip=2)


def profile_of_events(events: Iterable[dict[str, Any]], *, skip: int) -> OperatorProfile:
    """Operator times from the events of ONNX Runtime's profiling file.

    Args:
        events: Of several forward passes, in order.
        skip: Warm-up passes at the start.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            found.setdefault(event["name"].removesuffix(_KERNEL), []).append(event)
    return OperatorProfile(
        tuple(
            OperatorTime(
                name=name.rstrip("/"),
                kind=members[-1]["args"]["op_name"],
                kernel="",
                milliseconds=statistics.median(event["dur"] for event in members[skip:]) / 1e3,
                shape=_shape(members[-1]["args"].get("output_type_shape")),
            )
            for name, members in found.items()
            if len(members) > skip
        )
    )


def _shape(outputs: list[dict[str, list[int]]] | None) -> str:
    first = next(iter(outputs or []), {})
    return next((shape_text(sizes) for sizes in first.values()), "")

"""Operator times from OpenVINO's performance counters."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np

from ...optional import require
from .profile import OperatorProfile, OperatorTime, shape_text


def profile_openvino(
    path: str | Path, inputs: np.ndarray, *, num_threads: int, passes: int = 10
) -> OperatorProfile:
    """Profile an OpenVINO IR or an ONNX file in OpenVINO, in float32 where it is not INT8.

    Args:
        path: ``.xml`` or ``.onnx`` with one input.
        inputs: The input tensor.
        num_threads: Threads for inference.
        passes: Forward passes to take the median of, after two of warm-up.
    """
    openvino = require("openvino", extra="openvino", purpose="an OpenVINO profile")
    core = openvino.Core()
    settings = {
        "PERF_COUNT": True,
        # OpenVINO would use bfloat16 by default on processors that have it.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": num_threads,
        "NUM_STREAMS": 1,
    }
    compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
    request = compiled.create_infer_request()
    found: dict[str, list[Any]] = {}
    for number in range(passes + 2):
        request.infer([inputs])
        if number >= 2:
            for counter in request.profiling_info:
                if counter.status == counter.status.EXECUTED:
                    found.setdefault(counter.node_name, []).append(counter)
    shapes = _shapes(compiled)
    return OperatorProfile(
        tuple(
            OperatorTime(
                name=name,
                kind=counters[0].node_type,
                kernel=counters[0].exec_type,
                milliseconds=1e3
                * statistics.median(counter.real_time.total_seconds() for counter in counters),
                shape=shapes.get(name, ""),
            )
            for name, counters in found.items()
        )
    )


def _shapes(compiled: Any) -> dict[str, str]:
    shapes = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        if node.get_output_size():
            shape = node.get_output_partial_shape(0)
            shapes[node.get_friendly_name()] = shape_text(list(shape))
    return shapes

"""OpenVINO: an ``.xml`` graph with its weights in a ``.bin`` beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import CheckpointError, UserError
from ...optional import require
from ...untrusted import read_bytes
from ..artefact import INPUT_NAME, METADATA_KEY, OUTPUT_NAME, ArtefactInfo, ArtefactStream
from ..graph import ExportGraph
from ..quantize.parts import describe_parts
from ..quantize.with_nncf import import_nncf, quantize_openvino
from ..tracing import first_line
from . import to_onnx
from .table import Runner, WriteOptions

_MAX_COMPILED = 8
"""Input shapes for which a compiled network is kept."""


def write(
    graph: ExportGraph, info: ArtefactInfo, path: Path, options: WriteOptions
) -> dict[str, Any]:
    """Write ``.xml`` and ``.bin``; see :class:`..TargetModule`."""
    openvino = _openvino()
    if info.precision == "int8":
        import_nncf()  # better missed now than after tracing
    serialized = to_onnx.to_proto(graph, passing_states(info)).SerializeToString()
    try:
        # Reading ONNX goes without the converter, which would tell its makers of every call.
        model = openvino.Core().read_model(serialized)
    except RuntimeError as error:
        raise UserError(f"OpenVINO refuses this model: {first_line(error)}") from error
    settings: dict[str, Any] = {"opset": to_onnx.OPSET}
    if info.stream is not None and info.stream.stateful:
        _keep_states(model, info.stream)
    if info.precision == "int8":
        assert options.calibration is not None
        model = quantize_openvino(model, options.calibration)
        settings["quantization"] = describe_parts("nncf", "openvino") | {"rest": "bf16 or fp32"}
    model.set_rt_info(info.to_json(), [METADATA_KEY])
    openvino.save_model(model, str(path), compress_to_fp16=info.precision == "fp16")
    return settings


def load(path: Path, info: ArtefactInfo, threads: int, *, bf16: bool = False) -> Runner:
    """Load for the CPU; see :class:`..TargetModule`.

    Args:
        path: The ``.xml``.
        info: What it says of itself.
        threads: At least 1.
        bf16: Let it compute in bfloat16 where the processor can. Left to itself it would. What
            an ``int8`` artefact does not do in integers it always does in bfloat16: that is
            still more exact than they are.
    """
    openvino = _openvino()
    core, model = openvino.Core(), read(path)
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 or info.precision == "int8" else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    requests: dict[tuple[int, ...], Any] = {}

    def request_for(shape: tuple[int, ...]) -> Any:
        # A network compiled for one shape is faster than one for all, so each shape that comes
        # gets its own.
        if shape not in requests:
            if len(requests) >= _MAX_COMPILED:
                requests.pop(next(iter(requests)))
            if model.is_dynamic():
                fixed = model.clone()
                fixed.reshape({INPUT_NAME: list(shape)})
            else:
                fixed = model
            requests[shape] = core.compile_model(fixed, "CPU", settings).create_infer_request()
        return requests[shape]

    try:
        if not model.is_dynamic():
            request_for(tuple(model.input(INPUT_NAME).shape))
    except RuntimeError as error:
        raise CheckpointError(f"{path} cannot be loaded: {first_line(error)}") from error

    if info.stream is not None and info.stream.stateful:
        return KeptStates(request_for(tuple(model.input(INPUT_NAME).shape)), info.stream)

    def run(*inputs: np.ndarray) -> list[np.ndarray]:
        request = request_for(inputs[0].shape)
        found = request.infer(dict(zip(info.input_names, inputs, strict=True)), share_inputs=True)
        # Outputs lie in memory of the request, which the next call overwrites.
        return [found[name].copy() for name in info.output_names]

    return run


class KeptStates:
    """A compiled network that keeps the states of its streams.

    Args:
        request: Its infer request.
        stream: Names and order of the states.
    """

    def __init__(self, request: Any, stream: ArtefactStream):
        self.request = request
        variables = {state.name: state for state in request.query_state()}
        self.variables = [variables[state.variable_name] for state in stream.states]

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Logits (B, K), in a list, of the frames of a step."""
        return [self.request.infer({INPUT_NAME: inputs[0]}, share_inputs=True)[OUTPUT_NAME].copy()]

    def read(self) -> list[np.ndarray]:
        """States in the order of the artefact's stream."""
        return [variable.state.data.copy() for variable in self.variables]

    def write(self, states: Sequence[np.ndarray]) -> None:
        """Put other states in their place."""
        tensor = _openvino().Tensor
        for variable, value in zip(self.variables, states, strict=True):
            variable.state = tensor(np.ascontiguousarray(value))


def passing_states(info: ArtefactInfo) -> ArtefactInfo:
    """The same artefact before its runtime keeps the states."""
    if info.stream is None:
        return info
    return dataclasses.replace(info, stream=dataclasses.replace(info.stream, stateful=False))


def _keep_states(model: Any, stream: ArtefactStream) -> None:
    """Make variables, zero at first, of the pairs of an input and the output for the next step."""
    passes = require("openvino.passes", extra="openvino", purpose="OpenVINO")
    manager = passes.Manager()
    names = {state.name: state.next_name for state in stream.states}
    manager.register_pass(passes.MakeStateful(names))
    manager.run_passes(model)


def read(path: Path) -> Any:
    """The model of an ``.xml`` and its ``.bin``.

    Raises:
        CheckpointError: If one of them is damaged.
    """
    openvino = _openvino()
    graph, weights = read_bytes(path), read_bytes(path.with_suffix(".bin"))
    if not graph.lstrip().startswith((b"<?xml", b"<net")):
        raise CheckpointError(f"{path} is no graph of OpenVINO")
    try:
        # From memory: by a name it would also look for weights and formats of others.
        constants = openvino.Tensor(np.frombuffer(weights, np.uint8)) if weights else None
        return openvino.Core().read_model(graph, constants)
    except RuntimeError as error:
        raise CheckpointError(f"{path} cannot be loaded: {first_line(error)}") from error


def embedded(path: Path) -> str | None:
    """The JSON in the runtime information of the graph; see :class:`..TargetModule`."""
    model = read(path)
    if not model.has_rt_info([METADATA_KEY]):
        return None
    return str(model.get_rt_info([METADATA_KEY]).astype(str))


def _openvino() -> Any:
    return require("openvino", extra="openvino", purpose="OpenVINO")

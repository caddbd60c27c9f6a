"""ONNX, and ONNX Runtime to run it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...console import quiet
from ...errors import CheckpointError, UserError
from ...optional import require
from ...text import printable
from ..artefact import METADATA_KEY, ArtefactInfo
from ..graph import ExportGraph
from ..quantize.parts import describe_parts
from ..quantize.with_onnxruntime import quantize_onnx
from ..tracing import first_line, trace
from .table import Runner, WriteOptions

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 20
"""Of the graphs that are written: the first one with GELU as one operator."""
_FP16_MIN_ELEMENTS = 64
"""Smaller constants stay in float32: they are no weights worth saving."""


def write(
    graph: ExportGraph, info: ArtefactInfo, path: Path, options: WriteOptions
) -> dict[str, Any]:
    """Write one ``.onnx`` file, weights and description inside; see :class:`..TargetModule`."""
    model = to_proto(graph, info)
    settings: dict[str, Any] = {"opset": OPSET}
    if info.precision == "fp16":
        store_weights_as_fp16(model)
    elif info.precision == "int8":
        assert options.calibration is not None
        model = quantize_onnx(model, options.calibration)
        settings["quantization"] = describe_parts("onnxruntime", "onnx") | {"rest": "fp32"}
    onnx = require("onnx", extra="export", purpose="writing ONNX")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA_KEY: info.to_json()})
    onnx.save(model, path)
    return settings


def to_proto(graph: ExportGraph, info: ArtefactInfo) -> ModelProto:
    """Turn a graph into ONNX in float32, simplified, with the names of ``info``.

    Raises:
        UserError: If a library is missing, or an operator has no counterpart; says which.
    """
    for library in ("onnx", "onnxscript"):
        require(library, extra="export", purpose="writing ONNX")
    program = trace(graph, info)
    try:
        with quiet(), torch.no_grad():
            found = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=info.input_names,
                output_names=info.output_names,
                optimize=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise UserError(f"ONNX refuses this model: {_reason(error)}") from error
    assert found is not None
    model = found.model_proto
    _name_free_dimensions(model, info)
    # Where each node came from is of no use in a file for others, and names folders of this one.
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, model.graph):
        del part.metadata_props[:]
        part.doc_string = ""
    model.producer_name, model.doc_string = "video-mobile-former", ""
    return model


def store_weights_as_fp16(model: ModelProto) -> None:
    """Keep large constants in half precision and widen them where they are used, in place.

    ONNX Runtime widens them once, when it loads the graph, and then computes in float32: half the
    file, the same speed.
    """
    from onnx import TensorProto, helper, numpy_helper

    widen = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < _FP16_MIN_ELEMENTS:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.fp16"))
        widen.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*widen, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def load(path: Path, info: ArtefactInfo, threads: int) -> Runner:
    """Load for ONNX Runtime on the CPU; see :class:`..TargetModule`."""
    session = open_session(path, threads)

    def run(*inputs: np.ndarray) -> Sequence[np.ndarray]:
        return session.run(info.output_names, dict(zip(info.input_names, inputs, strict=True)))

    return run


def open_session(path: Path, threads: int) -> Any:
    """A session of ONNX Runtime on the CPU.

    Raises:
        CheckpointError: If the file is damaged.
    """
    runtime = require("onnxruntime", extra="export", purpose="ONNX Runtime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return start_session(path, options)


def start_session(path: Path, options: Any) -> Any:
    """The same with options of one's own, ``onnxruntime.SessionOptions``.

    Raises:
        CheckpointError: If the file is damaged, or keeps weights in another one.
    """
    runtime = require("onnxruntime", extra="export", purpose="ONNX Runtime")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    check_whole(_parsed(content, path), path)
    try:
        # What was looked at is what is run.
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CheckpointError(f"{path} cannot be loaded: {first_line(error)}") from error


def embedded(path: Path) -> str | None:
    """The JSON in the metadata of the file; see :class:`..TargetModule`."""
    model = _parsed(path.read_bytes(), path)
    return next((p.value for p in model.metadata_props if p.key == METADATA_KEY), None)


def _parsed(content: bytes, path: Path) -> ModelProto:
    onnx = require("onnx", extra="export", purpose="ONNX")
    try:
        return onnx.load_from_string(content)
    except Exception as error:
        raise CheckpointError(f"{path} is no ONNX file: {first_line(error)}") from error


def check_whole(model: ModelProto, path: str | Path) -> None:
    """Refuse a graph whose weights lie in other files: it would make the runtime open them.

    Raises:
        CheckpointError: It names the first such file.
    """
    waiting: list[Any] = [model]
    while waiting:
        message = waiting.pop()
        if message.DESCRIPTOR.name == "TensorProto":
            if message.data_location == message.EXTERNAL or message.external_data:
                files = [entry.value for entry in message.external_data if entry.key == "location"]
                raise CheckpointError(
                    f"{path} keeps weights in another file ({printable(files[0] if files else '')})"
                    ", which `vmf export` never does: it is refused"
                )
            continue
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting += [value] if hasattr(value, "ListFields") else value


def _name_free_dimensions(model: ModelProto, info: ArtefactInfo) -> None:
    """Call free dimensions what they are; the exporter numbers them."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, name, size in zip(dims, info.input.axes, info.input.shape, strict=True):
        if size is None:
            dim.dim_param = name
    if info.input.batch is None:
        model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    # Sizes of what is in between are worked out again by whoever reads the graph.
    del model.graph.value_info[:]


def _reason(error: BaseException) -> str:
    """Which operator it was, from the innermost error of a chain."""
    chain = list(_chain(error))
    named = [found for found in chain if "No ONNX function found" in str(found)]
    return first_line((named or chain)[-1])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

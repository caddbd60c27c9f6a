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
from ...untrusted import read_bytes
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
_DOMAINS = ("", "ai.onnx")
"""Whose operators a graph may use."""
_WITH_DOMAIN = ("NodeProto", "FunctionProto")
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
    content = read_bytes(path)
    _check_harmless(_parsed(content, path), path)
    session = open_session(path, threads, content)

    def run(*inputs: np.ndarray) -> Sequence[np.ndarray]:
        return session.run(info.output_names, dict(zip(info.input_names, inputs, strict=True)))

    return run


def open_session(path: Path, threads: int, content: bytes | None = None) -> Any:
    """A session of ONNX Runtime on the CPU.

    Args:
        path: The file.
        threads: At least 1.
        content: What stands in it, where that was judged; else it is opened by its name, with
            weights in other files where those are plain files beside it.

    Raises:
        CheckpointError: If the file is damaged.
    """
    runtime = require("onnxruntime", extra="export", purpose="ONNX Runtime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if content is None:
        _check_beside(path)
    given = str(path) if content is None else content
    try:
        return runtime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CheckpointError(f"{path} cannot be loaded: {first_line(error)}") from error


def embedded(path: Path) -> str | None:
    """The JSON in the metadata of the file; see :class:`..TargetModule`."""
    model = _parsed(read_bytes(path), path)
    return next((p.value for p in model.metadata_props if p.key == METADATA_KEY), None)


def _parsed(content: bytes, path: Path) -> ModelProto:
    onnx = require("onnx", extra="export", purpose="ONNX")
    try:
        return onnx.load_model_from_string(content)
    except Exception as error:
        raise CheckpointError(f"{path} is no ONNX file: {first_line(error)}") from error


def _check_harmless(model: ModelProto, path: Path) -> None:
    """Refuse a graph that refers to other files or calls operators of others.

    Raises:
        CheckpointError: If it does; `vmf export` writes no such thing.
    """
    for part in _parts(model):
        found = None
        if part.DESCRIPTOR.name == "TensorProto" and (part.external_data or part.data_location):
            found = "keeps weights in another file"
        elif part.DESCRIPTOR.name in _WITH_DOMAIN and part.domain not in _DOMAINS:
            found = f"calls operators of {part.domain[:60]!r}"
        if found:
            raise CheckpointError(
                f"{path} is refused: it {found}; `vmf export` writes no such thing"
            )


def _check_beside(path: Path) -> None:
    """Refuse a graph whose weights are in other files than plain ones beside it.

    Raises:
        CheckpointError: It names the file.
    """
    names = {
        entry.value
        for part in _parts(_parsed(read_bytes(path), path))
        if part.DESCRIPTOR.name == "TensorProto"
        for entry in part.external_data
        if entry.key == "location"
    }
    for name in sorted(names):
        beside = path.with_name(name) if name and name == Path(name).name != ".." else None
        if "\\" in name or beside is None or beside.is_symlink() or not beside.is_file():
            raise CheckpointError(
                f"{path} is refused: its weights are in {name[:200]!r}, which is no plain file "
                "beside it"
            )


def _parts(message: Any) -> Iterator[Any]:
    """A message of protobuf and all in it, subgraphs of operators and functions too."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        yield part
        for field, value in part.ListFields():
            if field.message_type is not None:
                waiting += [value] if hasattr(value, "DESCRIPTOR") else list(value)


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

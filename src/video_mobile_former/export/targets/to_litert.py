"""LiteRT (TensorFlow Lite), and its interpreter with XNNPACK to run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...console import quiet
from ...errors import CheckpointError, UserError
from ...optional import require
from ...untrusted import read_bytes
from ..artefact import INPUT_NAME, METADATA_KEY, ArtefactInfo
from ..graph import ExportGraph
from ..quantize import with_ai_edge
from ..quantize.parts import describe_parts, tool_version
from ..tracing import first_line
from .table import Runner, WriteOptions

_FILE_IDENTIFIER = b"TFL3"


class _Named(nn.Module):
    """A graph whose outputs have names: LiteRT takes them from the keys."""

    def __init__(self, graph: ExportGraph, info: ArtefactInfo):
        super().__init__()
        self.inner = graph  # "graph" itself is taken in modules that torch.export makes
        self.inputs, self.outputs = info.input_names, info.output_names

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        found = self.inner(*(inputs[name] for name in self.inputs))
        found = found if isinstance(found, tuple) else (found,)
        return dict(zip(self.outputs, found, strict=True))


def write(
    graph: ExportGraph, info: ArtefactInfo, path: Path, options: WriteOptions
) -> dict[str, Any]:
    """Write one ``.tflite`` file; see :class:`..TargetModule`.

    Its only signature has the names of ``info``; the description is in its metadata.
    ``fp16`` stores weights in half the space, ``int8`` also computes pointwise convolutions in
    whole numbers; both are made of the file in float32.

    Returns:
        ``tool`` of fp16; ``quantization`` of INT8: tool, and parts in INT8 and in floating point.
    """
    if info.precision != "fp32":
        with_ai_edge.import_quantizer()  # before the conversion, which takes minutes
    with quiet(output=True):
        converter = require("litert_torch", extra="litert", purpose="writing for LiteRT")
    examples = graph.examples(1 if info.input.batch is None else info.input.batch)
    named = dict(zip(info.input_names, examples, strict=True))
    try:
        with quiet(output=True), torch.no_grad():
            found = converter.convert(_Named(graph, info).eval(), sample_kwargs=named)
            found.export(str(path))
    except Exception as error:
        raise UserError(f"LiteRT refuses this model: {first_line(error)}") from error
    content, settings = _in_precision(path.read_bytes(), info, options)
    path.write_bytes(_with_metadata(content, info.to_json()))
    return settings


def load(path: Path, info: ArtefactInfo, threads: int) -> Runner:
    """Load for LiteRT's interpreter on the CPU; see :class:`..TargetModule`."""
    name = "ai_edge_litert.interpreter"
    content = _content(path)
    try:
        with quiet(output=True):
            library = require(name, extra="litert", purpose="LiteRT")
            interpreter = library.Interpreter(model_content=content, num_threads=threads)
            runner = interpreter.get_signature_runner()
            # The first run plans memory and says so.
            shape = [size or 1 for size in info.input.shape]
            states = () if info.stream is None else info.stream.states
            zeros = {state.name: np.zeros(state.shape, np.float32) for state in states}
            runner(**{INPUT_NAME: np.zeros(shape, info.input.dtype), **zeros})
    except (ValueError, RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be loaded: {first_line(error)}") from error

    def run(*inputs: np.ndarray) -> list[np.ndarray]:
        found = runner(**dict(zip(info.input_names, inputs, strict=True)))
        return [found[name] for name in info.output_names]

    return run


def embedded(path: Path) -> str | None:
    """The JSON in the metadata of the file; see :class:`..TargetModule`."""
    content = _content(path)
    schema = _schema()
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        for entry in model.metadata or []:
            if _text(entry.name) == METADATA_KEY:
                return bytes(model.buffers[entry.buffer].data).decode("utf-8")
    except Exception as error:
        raise CheckpointError(f"{path} is damaged: {first_line(error)}") from error
    return None


def _in_precision(
    content: bytes, info: ArtefactInfo, options: WriteOptions
) -> tuple[bytes, dict[str, Any]]:
    """The model in float32 as it was asked for, and what its JSON says of that."""
    tool = with_ai_edge.TOOL
    if info.precision == "fp16":
        return with_ai_edge.halve_weights(content), {"tool": tool_version(tool)}
    if info.precision == "int8":
        assert options.calibration is not None
        threads = torch.get_num_threads()
        found = with_ai_edge.quantize_litert(content, options.calibration, threads=threads)
        return found, {"quantization": describe_parts(tool, "litert")}
    return content, {}


def _with_metadata(content: bytes, text: str) -> bytes:
    """The model with one more entry in its metadata."""
    import flatbuffers  # comes with ai_edge_litert

    schema = _schema()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for constant in model.buffers:
        # The quantiser puts constants behind the model, at places that would no longer be right.
        if constant.offset > 1:
            constant.data = np.frombuffer(content, np.uint8, constant.size, constant.offset)
            constant.offset = constant.size = 0
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA_KEY, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(content) + len(text))
    builder.Finish(model.Pack(builder), file_identifier=_FILE_IDENTIFIER)
    return bytes(builder.Output())


def _content(path: Path) -> bytes:
    """A model of this kind: the interpreter does not survive all else."""
    content = read_bytes(path)
    if content[4:8] != _FILE_IDENTIFIER:
        raise CheckpointError(f"{path} is no LiteRT model")
    return content


def _schema() -> Any:
    with quiet(output=True):
        return require("ai_edge_litert.schema_py_generated", extra="litert", purpose="LiteRT")


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name

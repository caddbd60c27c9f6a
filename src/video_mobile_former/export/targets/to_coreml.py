"""Core ML. Written anywhere, run on Apple's systems only: what is written here was not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ...console import quiet
from ...errors import CheckpointError, UserError
from ...optional import require
from ..artefact import INPUT_NAME, METADATA_KEY, OUTPUT_NAME, ArtefactInfo
from ..graph import ExportGraph
from ..tracing import first_line, trace
from .table import Runner, WriteOptions

MINIMUM = "iOS16"
"""Oldest system that reads what is written, with the macOS of that year."""


def write(
    graph: ExportGraph, info: ArtefactInfo, path: Path, options: WriteOptions
) -> dict[str, Any]:
    """Write one ``.mlpackage``, an ML program; see :class:`..TargetModule`.

    ``fp16`` also computes in half precision, as Core ML does for the Neural Engine.

    Returns:
        ``minimum_deployment_target``, and ``run``: False, since nothing here can run it.
    """
    if info.input.dtype == "uint8":
        raise UserError("Core ML programs take no uint8 input; export with float32 input")
    with quiet(output=True):
        tools = require("coremltools", extra="coreml", purpose="writing for Core ML")
    half = info.precision == "fp16"
    program = trace(graph, info)
    try:
        with quiet(output=True), torch.no_grad():
            model = tools.convert(
                program.run_decompositions({}),
                convert_to="mlprogram",
                inputs=[tools.TensorType(name=INPUT_NAME, shape=info.input.shape)],
                outputs=[tools.TensorType(name=OUTPUT_NAME)],
                minimum_deployment_target=getattr(tools.target, MINIMUM),
                compute_precision=tools.precision.FLOAT16 if half else tools.precision.FLOAT32,
                skip_model_load=True,
            )
            model.short_description = f"Video classification: {info.num_classes} classes"
            model.input_description[INPUT_NAME] = (
                f"{info.clip.num_frames} frames in a row, RGB, normalised"
            )
            model.output_description[OUTPUT_NAME] = "Logits"
            model.user_defined_metadata[METADATA_KEY] = info.to_json()
            model.save(str(path))
    except Exception as error:  # converters raise errors of many kinds
        raise UserError(f"Core ML refuses this model: {first_line(error)}") from error
    return {"minimum_deployment_target": MINIMUM, "run": False}


def load(path: Path, info: ArtefactInfo, threads: int) -> Runner:
    """Refuse; see :class:`..TargetModule`.

    Raises:
        UserError: Always.
    """
    raise UserError(f"{path} runs on Apple's systems only, with Core ML")


def embedded(path: Path) -> str | None:
    """The JSON in the metadata of the package; see :class:`..TargetModule`."""
    with quiet(output=True):
        tools = require("coremltools", extra="coreml", purpose="Core ML")
        try:
            spec = tools.utils.load_spec(str(path))
        except Exception as error:  # converters raise errors of many kinds
            raise CheckpointError(f"{path} is no Core ML package: {first_line(error)}") from error
    return spec.description.metadata.userDefined.get(METADATA_KEY)

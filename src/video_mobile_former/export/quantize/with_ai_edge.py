"""Half-size and INT8 files for LiteRT with its own quantiser.

Only pointwise convolutions run in INT8: their weights have a scale for each
output channel, their inputs and outputs one scale and zero point. Everything else is left as it
is, see :mod:`.parts`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from torch import Tensor

from ...console import quiet, track
from ...errors import UserError
from ...optional import require
from ..artefact import INPUT_NAME

TOOL = "ai-edge-quantizer"
"""Distribution that does it."""
_WITH_WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def halve_weights(model: bytes) -> bytes:
    """Store the weights of convolutions and linear layers in half precision.

    Each gets an operator that widens it; XNNPACK does that once, when it loads the file.

    Args:
        model: A ``.tflite`` file in float32.

    Raises:
        UserError: If the quantiser is not installed.
    """
    tools = import_quantizer()
    work = tools.Quantizer(model)
    for name in _WITH_WEIGHTS:
        work.update_quantization_recipe(
            ".*",
            _operation(name),
            _half_weights(),
            tools.AlgorithmName.FLOAT_CASTING,
        )
    return _quantized(work, None)


def quantize_litert(model: bytes, inputs: Sequence[Tensor], *, threads: int) -> bytes:
    """Quantise a model of LiteRT after training.

    Args:
        model: A ``.tflite`` file in float32 with one signature.
        inputs: Inputs to measure the ranges of activations on, for example
            :meth:`.Calibration.inputs`.
        threads: For running the model on them.

    Raises:
        UserError: If the quantiser is not installed, or the model has nothing to quantise.
    """
    tools = import_quantizer()
    names = pointwise_convolutions(model)
    if not names:
        raise UserError("the graph has no pointwise convolution that could run in INT8")
    work = tools.Quantizer(model)
    for name in names:
        # Operators are chosen by what they write; a name may be the beginning of another one.
        work.add_static_config(f"^{re.escape(name)};$", _operation("CONV_2D"), 8, 8)
    return _quantized(work, _ranges(model, work.get_quantization_recipe(), inputs, threads))


def pointwise_convolutions(model: bytes) -> list[str]:
    """What the convolutions with a kernel of one place and constant weights write, by name.

    Depthwise convolutions are operators of another kind and not among them.
    """
    schema = require("ai_edge_litert.schema_py_generated", extra="litert", purpose="LiteRT")
    found = schema.ModelT.InitFromPackedBuf(model, 0)
    codes = [code.builtinCode for code in found.operatorCodes]
    names: list[str] = []
    for graph in found.subgraphs:
        for op in graph.operators:
            if codes[op.opcodeIndex] != schema.BuiltinOperator.CONV_2D:
                continue
            weight = graph.tensors[op.inputs[1]]
            _, height, width, channels = weight.shape
            constant = found.buffers[weight.buffer].data is not None
            if constant and height == width == 1 and channels > 1:
                names.append(graph.tensors[op.outputs[0]].name.decode())
    return names


def import_quantizer() -> ModuleType:
    """Import the quantiser, without its many messages.

    Raises:
        UserError: If it is not installed.
    """
    with quiet(output=True):
        return _module("quantizer")


def _module(name: str) -> ModuleType:
    purpose = "fp16 and INT8 for LiteRT"
    return require(f"ai_edge_quantizer.{name}", extra="litert", purpose=purpose)


def _ranges(
    model: bytes, recipe: Any, inputs: Sequence[Tensor], threads: int
) -> dict[str, dict[str, Any]]:
    """Ranges of what goes into and comes out of the chosen operators, by name."""
    with quiet(output=True):
        calibrator = _module("calibrator")
        qsv_utils = _module("utils.qsv_utils")
        mode = calibrator.CalibrationMode.CALIBRATION_PRESERVE_ALL_TENSORS
        # By default ranges are moving averages, in which the first clip weighs most of all.
        work = calibrator.Calibrator(
            model, num_threads=threads, mode=mode, qsv_update_func=qsv_utils.min_max_update
        )
        run = calibrator.CalibrationSignatureRunner(work, None, mode, recipe)
    # One at a time: the quantiser's own loop would hold all of them in memory at once.
    for x in track(inputs, description="calibrating", total=len(inputs)):
        with quiet(output=True):
            run(**{INPUT_NAME: x.numpy()})
    return work.get_model_qsvs()


def _quantized(work: Any, ranges: dict[str, dict[str, Any]] | None) -> bytes:
    with quiet(output=True):
        done = work.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    assert done.quantized_model is not None
    return bytes(done.quantized_model)


def _half_weights() -> Any:
    qtyping = _module("qtyping")
    return qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=16, dtype=qtyping.TensorDataType.FLOAT
        ),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )


def _operation(name: str) -> Any:
    qtyping = _module("qtyping")
    return qtyping.TFLOperationName[name]

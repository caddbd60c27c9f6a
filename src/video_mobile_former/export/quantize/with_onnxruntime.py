"""INT8 for ONNX Runtime with its own quantiser.

Only pointwise convolutions run in INT8. ONNX Runtime's INT8 kernels for depthwise
convolutions in space and time are far slower than those for float32, and so is the one for the
stem, see ``docs/lab-notes.md``. Weights have a scale for each output channel; activations are
unsigned with a zero point, which is what its kernels for x86 take.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ...console import track
from ...errors import UserError
from ...optional import require

if TYPE_CHECKING:
    from onnx import ModelProto


def quantize_onnx(model: ModelProto, inputs: Sequence[Tensor]) -> ModelProto:
    """Quantise an ONNX graph after training, as pairs of QuantizeLinear and DequantizeLinear.

    Args:
        model: In float32, with one input.
        inputs: Inputs to measure the ranges of activations on, for example
            :meth:`.Calibration.inputs`.

    Returns:
        The quantised graph.

    Raises:
        UserError: If ONNX Runtime is not installed, or the graph has nothing to quantise.
    """
    require("onnxruntime", extra="export", purpose="INT8 for ONNX Runtime")
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="vmf-int8-") as folder, _quiet():
        given, prepared, quantized = (Path(folder) / f"{name}.onnx" for name in "abc")
        onnx.save(model, given)
        # Folds constants and gives names and shapes to what the quantiser looks at.
        quant_pre_process(given, prepared, skip_symbolic_shape=True)
        graph = onnx.load(prepared)
        names = pointwise_convolutions(graph)
        if not names:
            raise UserError("the graph has no pointwise convolution that could run in INT8")
        quantize_static(
            graph,
            quantized,
            _reader(graph.graph.input[0].name, inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=names,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(quantized)


def pointwise_convolutions(model: ModelProto) -> list[str]:
    """Names of the convolutions with a kernel of one place and constant weights, not depthwise."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes = {
        node.name: weights[node.input[1]]
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in weights
    }
    return [
        name
        for name, (_, channels, *kernel) in shapes.items()
        if channels > 1 and all(size == 1 for size in kernel)
    ]


def _reader(name: str, inputs: Sequence[Tensor]):
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(track(inputs, description="calibrating", total=len(inputs)))

        def get_next(self) -> dict[str, np.ndarray]:
            found = next(self.left, None)
            # Something empty marks the end, as None does in the documentation.
            return {} if found is None else {name: found.numpy()}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice on how to call it from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)

"""INT8 for ExecuTorch with PyTorch's own quantisation of exported programs (PT2E).

Only pointwise convolutions run in INT8, with the activation that follows. With everything
else in INT8 too XNNPACK is no faster and less exact, see ``docs/lab-notes.md``. Weights
have a scale for each output channel; activations one for the whole tensor, with a zero point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from ...console import quiet, track
from ...errors import UserError
from ...optional import require

_ACTIVATIONS = {
    torch.ops.aten.relu.default,
    torch.ops.aten.hardtanh.default,
    torch.ops.aten.relu6.default,
}
"""XNNPACK clamps within the convolution before them."""


def quantize_program(program: ExportedProgram, inputs: Sequence[Tensor]) -> ExportedProgram:
    """Quantise a ``frames`` program after training.

    Args:
        program: In float32, with one input of fixed shape.
        inputs: Inputs to measure the ranges of activations on, for example
            :meth:`.Calibration.inputs`.

    Returns:
        The program with quantised and widened values around each pointwise convolution, which
        XNNPACK turns into its own convolutions in INT8.

    Raises:
        UserError: If ExecuTorch is not installed, or the program has nothing to quantise.
    """
    with quiet(output=True):
        require("executorch.exir", extra="executorch", purpose="INT8 for ExecuTorch")
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    module = program.module()
    if not pointwise_convolutions(module):
        raise UserError("the graph has no pointwise convolution that could run in INT8")
    with quiet(), torch.no_grad():  # advice on other ways to quantise
        observed = prepare_pt2e(module, _quantizer())
        for example in track(inputs, description="calibrating", total=len(inputs)):
            observed(example)
        quantized = convert_pt2e(observed)
        return torch.export.export(quantized, (inputs[0],))


def pointwise_convolutions(module: fx.GraphModule) -> list[fx.Node]:
    """Convolutions with a kernel of one place that are not depthwise, in order."""
    found = []
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target is torch.ops.aten.conv2d.default:
            _, channels, *kernel = _shape(node.args[1])
            if channels > 1 and kernel == [1, 1]:
                found.append(node)
    return found


def _quantizer() -> Any:
    """XNNPACK's way to quantise, for the chosen convolutions alone.

    Its own quantiser takes all convolutions or none: depthwise ones bring padding in time with
    them, to which it gives other scales before and after, and XNNPACK then does not load it.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantizer import (
        QuantizationAnnotation,
        Quantizer,
        get_input_act_qspec,
        get_weight_qspec,
    )
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    config = get_symmetric_quantization_config(is_per_channel=True)
    values, weights = get_input_act_qspec(config), get_weight_qspec(config)

    class PointwiseQuantizer(Quantizer):
        def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
            for node in pointwise_convolutions(model):
                given, weight = cast("tuple[fx.Node, fx.Node]", node.args[:2])
                users = list(node.users)
                clamped = len(users) == 1 and users[0].target in _ACTIVATIONS
                self._say(node, {given: values, weight: weights}, None if clamped else values)
                if clamped:
                    self._say(users[0], {}, values)
            return model

        def validate(self, model: fx.GraphModule) -> None:
            """Nothing to object to."""

        @staticmethod
        def _say(node: fx.Node, inputs: dict[Any, Any], output: Any) -> None:
            node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
                input_qspec_map=inputs, output_qspec=output, _annotated=True
            )

    return PointwiseQuantizer()


def _shape(argument: Any) -> tuple[int, ...]:
    return tuple(argument.meta["val"].shape)

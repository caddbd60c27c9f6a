"""INT8 for OpenVINO with NNCF.

Convolutions that mix channels run in INT8: their weights have a scale for each output
channel, their inputs one symmetric scale for the whole tensor. Depthwise convolutions do not: in
INT8 they are no faster than in float32 and need an extra pass to round their input, see
``docs/lab-notes.md``. Everything else is left as it is, see :mod:`.parts`.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ...console import quiet, track
from ...errors import UserError
from ...optional import require

if TYPE_CHECKING:
    from openvino import Model, Node

_TELEMETRY = "openvino_telemetry"
_NO_OPERATIONS = {"Parameter", "Constant", "Result"}


def quantize_openvino(model: Model, inputs: Sequence[Tensor]) -> Model:
    """Quantise a model of OpenVINO after training.

    Args:
        model: In float32; constants in it are folded in place.
        inputs: Inputs to measure the ranges of activations on, for example
            :meth:`.Calibration.inputs`.

    Returns:
        The quantised model.

    Raises:
        UserError: If NNCF is not installed, or the model has nothing to quantise.
    """
    nncf = import_nncf()
    from nncf.common.quantization.structs import QuantizationScheme
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        QuantizationParameters,
    )

    fold_constants(model)
    kept = kept_operators(model)
    per_tensor = QuantizationParameters(mode=QuantizationScheme.SYMMETRIC, per_channel=False)
    # NNCF prints on stdout, where results go; it also lists what it excludes.
    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        return nncf.quantize(
            model,
            nncf.Dataset(_Tracked(inputs)),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(inputs),
            ignored_scope=nncf.IgnoredScope(names=kept, validate=False),
            advanced_parameters=AdvancedQuantizationParameters(
                activations_quantization_params=per_tensor
            ),
        )


def fold_constants(model: Model) -> None:
    """Compute in place what depends on constants alone.

    Weights behind an Unsqueeze would not be quantised at all, and those behind a Reshape, as
    grouped ones are read from ONNX, would get scales by kernel column and then run in float32.
    """
    from openvino import passes

    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(model)


def kept_operators(model: Model) -> list[str]:
    """Names of the operators that are not to run in INT8.

    Raises:
        UserError: If those are all.
    """
    operators = [op for op in model.get_ops() if op.get_type_name() not in _NO_OPERATIONS]
    kept = [op.get_friendly_name() for op in operators if not is_mixing_convolution(op)]
    if len(kept) == len(operators):
        raise UserError("the graph has no convolution that could run in INT8")
    return kept


def is_mixing_convolution(op: Node) -> bool:
    """Whether an operator is a convolution with constant weights that is not depthwise."""
    kind = op.get_type_name()
    if kind not in ("Convolution", "GroupConvolution"):
        return False
    if op.input_value(1).get_node().get_type_name() != "Constant":
        return False
    # (C_out, C_in, …), of a grouped one (groups, C_out / groups, C_in / groups, …).
    return op.get_input_shape(1)[2 if kind == "GroupConvolution" else 1] > 1


def import_nncf() -> ModuleType:
    """Import NNCF such that nothing is sent to anyone.

    NNCF reports every call to its makers through another package unless that cannot be imported;
    so that package is hidden for the moment.

    Raises:
        UserError: If NNCF is not installed.
    """
    if "nncf" in sys.modules:
        return sys.modules["nncf"]
    absent = object()
    before: Any = sys.modules.get(_TELEMETRY, absent)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # importing it now fails
    try:
        return require("nncf", extra="int8", purpose="INT8 for OpenVINO")
    finally:
        if before is absent:
            del sys.modules[_TELEMETRY]
        else:
            sys.modules[_TELEMETRY] = before


class _Tracked:
    """Inputs as NNCF takes them, with a progress bar over them."""

    def __init__(self, inputs: Sequence[Tensor]):
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def __iter__(self) -> Iterator[np.ndarray]:
        for x in track(self.inputs, description="calibrating", total=len(self.inputs)):
            yield x.numpy()

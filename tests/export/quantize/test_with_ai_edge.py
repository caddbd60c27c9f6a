"""LiteRT's quantiser: pointwise convolutions in whole numbers, weights in half precision."""

import importlib
import importlib.util
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from video_mobile_former.console import quiet
from video_mobile_former.errors import UserError

pytestmark = [
    pytest.mark.skipif(
        any(
            importlib.util.find_spec(name) is None for name in ("ai_edge_quantizer", "litert_torch")
        ),
        reason="ai-edge-quantizer is not installed (make test-all installs it)",
    ),
]

INPUTS = [torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(4)]


def network(*, pointwise: bool = True) -> nn.Module:
    """A stem, a depthwise convolution, two pointwise ones where asked for, and a linear layer."""
    torch.manual_seed(0)
    mixing = [nn.Conv2d(16, 32, 1), nn.ReLU(), nn.Conv2d(32, 16, 1)] if pointwise else []
    return nn.Sequential(
        nn.Conv2d(3, 16, 3),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, groups=16),
        *mixing,
        nn.Flatten(),
        nn.Linear(16 * 16, 4),
    ).eval()


class Named(nn.Module):
    """A network whose input and output have the names of artefacts."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, clip: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.inner(clip)}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> bytes:
    return convert(network(), tmp_path_factory.mktemp("lite") / "x.tflite")


def convert(model: nn.Module, path) -> bytes:
    with quiet(output=True), torch.no_grad():
        converter: Any = importlib.import_module("litert_torch")
        converter.convert(Named(model), sample_kwargs={"clip": INPUTS[0]}).export(str(path))
    return path.read_bytes()


def kernels(content: bytes) -> Counter[tuple[str, str]]:
    """How often each operator has weights of each type; of a widened weight, as it is stored."""
    schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    types = {value: name for name, value in vars(schema.TensorType).items()}
    (graph,) = model.subgraphs
    widened: dict[int, int] = {}
    found: Counter[tuple[str, str]] = Counter()
    for op in graph.operators:
        name = names[model.operatorCodes[op.opcodeIndex].builtinCode]
        if name == "DEQUANTIZE":
            widened[op.outputs[0]] = op.inputs[0]
        elif name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            weight = widened.get(op.inputs[1], op.inputs[1])
            found[name, types[graph.tensors[weight].type]] += 1
    return found


def logits(content: bytes) -> np.ndarray:
    with quiet(output=True):
        library: Any = importlib.import_module("ai_edge_litert.interpreter")
        run = library.Interpreter(model_content=content).get_signature_runner()
        return np.concatenate([run(clip=x.numpy())["logits"] for x in INPUTS])


def test_weights_are_stored_in_half_and_compute_nearly_the_same(written, capfd):
    from video_mobile_former.export.quantize.with_ai_edge import halve_weights

    half = halve_weights(written)
    assert capfd.readouterr() == ("", "")
    assert {kind for _, kind in kernels(half)} == {"FLOAT16"}
    assert kernels(half).total() == kernels(written).total() == 5
    difference = np.abs(logits(half) - logits(written)).max()
    assert 0 < difference < 1e-3


def test_only_pointwise_convolutions_run_on_whole_numbers(written, capfd):
    from video_mobile_former.export.quantize.with_ai_edge import quantize_litert

    found = quantize_litert(written, INPUTS, threads=1)
    assert capfd.readouterr().out == ""
    assert kernels(found) == {
        ("CONV_2D", "FLOAT32"): 1,
        ("CONV_2D", "INT8"): 2,
        ("DEPTHWISE_CONV_2D", "FLOAT32"): 1,
        ("FULLY_CONNECTED", "FLOAT32"): 1,
    }
    wanted = logits(written)
    error = np.sqrt(((logits(found) - wanted) ** 2).mean() / wanted.var())
    assert 0 < error < 0.1


def test_ranges_cover_every_clip_whatever_the_order(written):
    from video_mobile_former.export.quantize.with_ai_edge import quantize_litert

    one = logits(quantize_litert(written, INPUTS, threads=1))
    other = logits(quantize_litert(written, INPUTS[::-1], threads=1))
    np.testing.assert_array_equal(one, other)


def test_a_graph_without_pointwise_convolutions_is_refused(tmp_path):
    from video_mobile_former.export.quantize.with_ai_edge import quantize_litert

    content = convert(network(pointwise=False), tmp_path / "x.tflite")
    with pytest.raises(UserError, match="no pointwise convolution that could run in INT8"):
        quantize_litert(content, INPUTS, threads=1)

"""INT8 for ONNX Runtime: what is quantised and how near it stays."""

import numpy as np
import pytest
import torch

from video_mobile_former.errors import UserError
from video_mobile_former.export.quantize.with_onnxruntime import (
    pointwise_convolutions,
    quantize_onnx,
)

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def small_graph(kinds=("stem", "depthwise", "pointwise")):
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    shapes = {
        "stem": ((16, 3, 1, 3, 3), {"strides": [1, 2, 2], "pads": [0, 1, 1, 0, 1, 1]}),
        "depthwise": ((16, 1, 3, 3, 3), {"group": 16, "pads": [1, 1, 1, 1, 1, 1]}),
        "pointwise": ((5, 16, 1, 1, 1), {}),
    }
    nodes, weights, name = [], [], "clip"
    for kind in kinds:
        shape, attributes = shapes[kind]
        values = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"{kind}.weight"))
        nodes.append(
            helper.make_node(
                "Conv", [name, f"{kind}.weight"], [f"{kind}.out"], name=kind, **attributes
            )
        )
        nodes.append(helper.make_node("Relu", [f"{kind}.out"], [f"{kind}.relu"], name=f"{kind}_r"))
        name = f"{kind}.relu"
    nodes.append(helper.make_node("GlobalAveragePool", [name], ["logits"], name="pool"))
    clip = helper.make_tensor_value_info("clip", TensorProto.FLOAT, [1, 3, 4, 16, 16])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "small", [clip], [out], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def logits(model, clips: list[torch.Tensor]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    outs = [np.asarray(session.run(None, {"clip": clip.numpy()})[0]) for clip in clips]
    return np.concatenate(outs)


def test_only_pointwise_convolutions_are_chosen():
    assert pointwise_convolutions(small_graph()) == ["pointwise"]


def test_they_run_on_whole_numbers_and_stay_near(capfd):
    generator = torch.Generator().manual_seed(0)
    clips = [torch.randn(1, 3, 4, 16, 16, generator=generator) for _ in range(8)]
    wanted = logits(small_graph(), clips)
    model = quantize_onnx(small_graph(), clips)
    found = logits(model, clips)
    error = np.sqrt(((found - wanted) ** 2).mean() / wanted.var())
    assert 0 < error < 0.05
    int8 = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8]
    shapes = {tuple(t.dims) for t in int8 if len(t.dims) == 5}
    assert shapes == {(5, 16, 1, 1, 1)}
    assert capfd.readouterr().out == ""


def test_a_graph_without_them_is_refused():
    clips = [torch.zeros(1, 3, 4, 16, 16)]
    with pytest.raises(UserError, match="no pointwise convolution"):
        quantize_onnx(small_graph(("stem", "depthwise")), clips)

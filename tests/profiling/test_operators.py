"""Operator tables, from what profilers say."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from video_mobile_former.profiling.operators import OperatorProfile, OperatorTime, format_profile
from video_mobile_former.profiling.operators.eager import profile_eager
from video_mobile_former.profiling.operators.executorch import (
    profile_of_events as executorch_events,
)
from video_mobile_former.profiling.operators.onnx import profile_of_events, profile_onnx
from video_mobile_former.profiling.operators.openvino import profile_openvino


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution and a softmax."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weight = np.ones((4, 3, 3, 3), np.float32)
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Conv", ["x", "w"], ["y"], name="stem"),
                helper.make_node("Softmax", ["y"], ["z"], name="end", axis=1),
            ],
            "graph",
            [helper.make_tensor_value_info("x", kind, [1, 3, 34, 34])],
            [helper.make_tensor_value_info("z", kind, [1, 4, 32, 32])],
            [onnx.numpy_helper.from_array(weight, "w")],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    path = tmp_path_factory.mktemp("graph") / "graph.onnx"
    onnx.save(model, path)
    return path


INPUTS = np.ones((1, 3, 34, 34), np.float32)


def test_shares_of_types_and_slowest_nodes() -> None:
    profile = OperatorProfile(
        (
            OperatorTime("a", "Conv", "fast", 3.0, shape="1×8×16"),
            OperatorTime("b" * 100, "Conv", "slow", 5.0, shape="1×8×16"),
            OperatorTime("c", "Conv", "fast", 1.0, calls=2),
            OperatorTime("d", "Add", "", 0.96),
            OperatorTime("e", "Mul", "", 0.04),
        )
    )
    assert profile.milliseconds == pytest.approx(10.0)
    rows = profile.by_kind()
    assert [(row["kind"], row["kernel"]) for row in rows[:2]] == [
        ("Conv", "slow"),
        ("Conv", "fast"),
    ]
    assert rows[1] == {
        "kind": "Conv",
        "kernel": "fast",
        "calls": 3,
        "milliseconds": 4.0,
        "share": 0.4,
    }
    text = format_profile(profile, nodes=2)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "1 more" in text
    assert "Mul" not in text
    slowest = text[text.index("slowest") :]
    assert slowest.index("bbb") < slowest.index(" a fast")
    assert profile.to_dict(nodes=1)["slowest"][0]["kernel"] == "slow"


def test_openvino_counters(graph: Path) -> None:
    pytest.importorskip("openvino")
    profile = profile_openvino(graph, INPUTS, num_threads=1, passes=2)
    assert {"Convolution", "Softmax"} <= {operator.kind for operator in profile.operators}
    stem = next(operator for operator in profile.operators if operator.name == "stem")
    assert stem.shape == "1×4×32×32"
    assert stem.kernel.endswith("f32")  # and not the bfloat16 that it would take by itself
    assert profile.milliseconds > 0


def test_onnx_runtime_events(graph: Path) -> None:
    pytest.importorskip("onnxruntime")
    before = set(Path.cwd().iterdir())
    profile = profile_onnx(graph, INPUTS, num_threads=1, passes=2)
    shapes = {operator.kind: operator.shape for operator in profile.operators}
    assert shapes["Softmax"] == "1×4×32×32"
    assert "Conv" in shapes
    assert set(Path.cwd().iterdir()) == before


def test_warm_up_passes_of_onnx_runtime_are_excluded() -> None:
    args = {"op_name": "Conv", "output_type_shape": [{"float": [1, 2]}]}
    events = [
        {"cat": "Session", "name": "model_run", "dur": 9},
        *(
            {"cat": "Node", "name": "stem_kernel_time", "dur": duration, "args": args}
            for duration in (9000, 8000, 1000, 3000, 2000)
        ),
        {"cat": "Node", "name": "stem_fence_before", "dur": 7, "args": args},
    ]
    (stem,) = profile_of_events(events, skip=2).operators
    assert stem == OperatorTime("stem", "Conv", "", 2.0, shape="1×2")


def test_executorch_events_without_those_that_contain_others() -> None:
    def event(name: str, *milliseconds: float, at: int = 0) -> SimpleNamespace:
        raw = SimpleNamespace(raw=[9.0, 9.0, *milliseconds]) if milliseconds else None
        return SimpleNamespace(name=name, perf_data=raw, _instruction_id=at)

    events = [
        event("Method::init"),
        event("Convolution (NHWC, F32) IGEMM #2", 3.0, 1.0, 2.0),
        event("HardSwish (NC) #1", 1.0, 1.0, 1.0),
        event("DELEGATE_CALL", 3.5, 3.5, 3.5),
        event("native_call_where.self_out", 0.5, 0.5, 0.5, at=3),
        event("OPERATOR_CALL", 0.6, 0.6, 0.6, at=3),
        event("Method::execute", 4.0, 4.0, 4.0),
    ]
    profile = executorch_events(events, skip=2)
    assert [(each.name, each.kind, each.kernel) for each in profile.operators] == [
        ("Convolution #2 @0", "Convolution", "XNNPACK NHWC, F32 IGEMM"),
        ("HardSwish #1 @0", "HardSwish", "XNNPACK NC"),
        ("where.self_out @3", "where.self_out", "portable"),
        ("between operators", "between operators", ""),
    ]
    assert [each.milliseconds for each in profile.operators] == pytest.approx([2, 1, 0.5, 0.5])
    assert profile.milliseconds == pytest.approx(4.0)


def test_eager_operators(capfd: pytest.CaptureFixture[str]) -> None:
    model, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softmax(1)), torch.ones(2, 3, 16, 16)

    def run() -> None:
        with torch.inference_mode():
            model(x)

    profile = profile_eager(run, passes=2)
    found = {operator.kind: operator for operator in profile.operators}
    assert found["aten::_softmax"].shape == "2×4×14×14"
    assert found["aten::_softmax"].calls == 1
    assert any("conv" in kind for kind in found)
    assert capfd.readouterr().err == ""

"""INT8 for OpenVINO: what is quantised, how near it stays, and that nobody is told."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from video_mobile_former.errors import UserError
from video_mobile_former.export.quantize.with_nncf import (
    fold_constants,
    kept_operators,
    quantize_openvino,
)

openvino = pytest.importorskip("openvino")


def small_graph():
    """Stem, depthwise in space and time behind a Reshape, and a pointwise convolution."""
    from openvino import opset13 as ops

    rng = np.random.default_rng(0)

    def weights(*shape: int):
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    clip = ops.parameter([-1, 3, 4, 16, 16], np.float32, name="clip")
    stem = ops.convolution(
        clip, weights(16, 3, 1, 3, 3), [1, 2, 2], [0, 1, 1], [0, 1, 1], [1, 1, 1], name="stem"
    )
    shaped = ops.reshape(weights(16, 1, 3, 3, 3), np.array([16, 1, 1, 3, 3, 3]), False)
    depthwise = ops.group_convolution(
        ops.relu(stem), shaped, [1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1], name="depthwise"
    )
    narrow = ops.unsqueeze(weights(8, 16, 1, 1), np.array([4]))
    zeros = [0, 0, 0]
    pointwise = ops.convolution(
        ops.relu(depthwise), narrow, [1, 1, 1], zeros, zeros, [1, 1, 1], name="pointwise"
    )
    pooled = ops.reduce_mean(pointwise, np.array([2, 3, 4]), False)
    logits = ops.matmul(pooled, weights(8, 5), False, False, name="head")
    return openvino.Model([ops.result(logits)], [clip], "small")


def inputs(count: int = 8) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 3, 4, 16, 16, generator=generator) for _ in range(count)]


def logits(model, clips: list[torch.Tensor]) -> np.ndarray:
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    return np.concatenate([next(iter(compiled(clip.numpy()).values())) for clip in clips])


def test_convolutions_that_mix_channels_are_quantised_and_nothing_else():
    model = small_graph()
    fold_constants(model)
    kept = set(kept_operators(model))
    assert {"depthwise", "head"} <= kept
    assert not {"stem", "pointwise"} & kept


def test_a_graph_without_such_convolutions_is_refused():
    from openvino import opset13 as ops

    clip = ops.parameter([1, 3], np.float32)
    model = openvino.Model([ops.result(ops.relu(clip))], [clip], "nothing")
    with pytest.raises(UserError, match="no convolution that could run in INT8"):
        kept_operators(model)


@pytest.mark.slow
def test_whole_numbers_with_scales_by_channel_stay_near(capfd):
    clips = inputs()
    wanted = logits(small_graph(), clips)
    model = quantize_openvino(small_graph(), clips)
    found = logits(model, clips)
    error = np.sqrt(((found - wanted) ** 2).mean() / wanted.var())
    assert 0 < error < 0.05
    stored = {
        op.get_friendly_name(): op.get_shape()
        for op in model.get_ops()
        if op.get_type_name() == "Constant" and op.get_element_type() == openvino.Type.i8
    }
    assert sorted(map(tuple, stored.values())) == [(8, 16, 1, 1, 1), (16, 3, 1, 3, 3)]
    # An input each of stem and pointwise, one scale for the tensor.
    rounded = [op for op in model.get_ops() if op.get_type_name() == "FakeQuantize"]
    assert len(rounded) == 2
    assert all(np.prod(op.get_input_shape(1)) == 1 for op in rounded)
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_importing_nncf_tells_nobody(tmp_path):
    program = """
import socket, sys
def refuse(*args): raise AssertionError("network")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from video_mobile_former.export.quantize.with_nncf import import_nncf
nncf = import_nncf()
import openvino, numpy as np
from openvino import opset13 as ops
x = ops.parameter([1, 3, 8, 8], np.float32)
y = ops.convolution(x, np.ones((4, 3, 1, 1), np.float32), [1, 1], [0, 0], [0, 0], [1, 1])
model = openvino.Model([ops.result(y)], [x], "m")
nncf.quantize(model, nncf.Dataset([np.ones((1, 3, 8, 8), np.float32)]), subset_size=1)
assert "openvino_telemetry" not in sys.modules
"""
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert not list(tmp_path.iterdir())

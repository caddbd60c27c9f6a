"""Caps of the graphs that are written: each is passed, and every runtime caps as the model does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import caps
from video_mobile_former.export.exporting import export_model
from video_mobile_former.export.graph import ExportGraph
from video_mobile_former.export.loading import load_artefact
from video_mobile_former.export.lowering import lower
from video_mobile_former.export.quantize.with_nncf import quantize_openvino
from video_mobile_former.export.quantize.with_onnxruntime import quantize_onnx
from video_mobile_former.export.request import ExportRequest, describe
from video_mobile_former.export.targets import to_onnx
from video_mobile_former.export.targets.table import TARGETS
from video_mobile_former.models import VideoMobileFormer
from video_mobile_former.models.baselines.movinet import MoViNet
from video_mobile_former.models.baselines.tsm import TSMMobileNetV2
from video_mobile_former.models.baselines.x3d import X3D
from video_mobile_former.models.variants import down, lite, mobile

COMMON: dict[str, Any] = {"num_classes": 5, "num_frames": 3, "crop_size": 40}


def clips(batch: int = 2) -> Tensor:
    return 2 * torch.randn(batch, 3, 3, 40, 40, generator=torch.Generator().manual_seed(1))


def family(**arguments: Any) -> nn.Module:
    chosen: dict[str, Any] = {
        "blocks": (lite(2, 8, stride=2), down(2, 8), mobile(2, 8)),
        "stem_channels": 4,
        "num_tokens": 2,
        "token_dim": 16,
        "groups": 2,
        "head_dim": 24,
    }
    return VideoMobileFormer(**{**COMMON, **chosen, **arguments})


MAKERS: dict[str, Any] = {
    "family": family,
    "family_relu_head": lambda: family(head_activation="relu"),
    "light_cnn": lambda: family(num_tokens=0),
    "tsm": lambda: TSMMobileNetV2(
        stages=((1, 8, 1, 1), (2, 8, 2, 2)), stem_channels=8, head_channels=32, **COMMON
    ),
    "x3d": lambda: X3D(stages=((8, 2), (16, 1)), stem_channels=8, head_dim=16, **COMMON),
    "movinet": lambda: MoViNet(
        blocks=((8, 16, 3, 3, 2), (8, 24, 3, 3)), stem_channels=8, head_channels=16, **COMMON
    ),
}


def driven(name: str) -> Any:
    torch.manual_seed(0)
    model = MAKERS[name]().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dim() == 0:
            nn.init.ones_(parameter)  # MoViNet's residuals start at nothing
    return caps.drive(model, clips(4))


def graph_input(form: str, x: Tensor) -> Tensor:
    return x if form == "volume" else x.transpose(1, 2).flatten(0, 1)


def near(found: Tensor, wanted: Tensor, part: float = 1e-5) -> None:
    torch.testing.assert_close(found, wanted, atol=part * float(wanted.abs().max()), rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
@pytest.mark.parametrize("name", MAKERS)
def test_lowered_graphs_pass_every_bound_as_the_model_does(name: str, form: Any) -> None:
    model, x = driven(name), clips()
    graph = lower(model, form=form, num_frames=3)
    given = graph_input(form, x)
    with torch.no_grad():
        near(graph(given), model(x))
    missed = caps.not_reached(caps.watched(lambda: graph(given)))
    # What is averaged behind the head's ReLU is never below 0.
    allowed = ["hardswish low"] if isinstance(model, VideoMobileFormer) else []
    assert [text.split(" ", 1)[1] for text in missed] == allowed, missed
    hidden = caps.hidden_bounds(lambda: graph(given), 1e-6)
    assert [text.split(" ", 1)[1] for text in hidden] == allowed, hidden


@pytest.mark.slow
@pytest.mark.parametrize("name", ["family", "light_cnn", "tsm"])
@pytest.mark.parametrize(
    "target",
    [
        pytest.param(name, marks=[] if name == "onnx" else [pytest.mark.slow])
        for name, target in TARGETS.items()
        if target.runs_here and target.own_runtime
    ],
)
def test_artefacts_cap_as_the_model_does(target: str, name: str, tmp_path: Any) -> None:
    for package in TARGETS[target].packages:
        pytest.importorskip(package.replace("-", "_"))
    model, x = driven(name), clips(1)
    if target == "litert":
        pytest.importorskip("litert_torch")
    out = tmp_path / f"model{TARGETS[target].suffix}"
    export_model(model, out, ExportRequest(target=target, batch=1, keep_unequal=True))
    with torch.no_grad():
        near(load_artefact(out)(x), model(x), 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_whole_numbers_keep_the_cap_of_the_head(kind: str) -> None:
    pytest.importorskip("onnxruntime")
    calibration = list(clips(12).split(1))
    torch.manual_seed(0)
    model: Any = family()
    model(clips(4))
    # Only the head is driven: rounding would add up behind many caps.
    nn.init.uniform_(model.head_conv.norm.weight, 2.0, 5.0)
    nn.init.uniform_(model.head_conv.norm.bias, -4.0, 8.0)
    nn.init.normal_(model.classifier.weight)
    model.eval()
    with torch.no_grad():
        capped = model(torch.cat(calibration))
        model.head_act = torch.relu
        uncapped = model(torch.cat(calibration))
        model.head_act = torch.nn.functional.relu6
    found = quantized(kind, model, calibration)
    error = float((found - capped).square().mean() / capped.var())
    apart = float((found - uncapped).square().mean() / capped.var())
    assert error < 0.1, error
    assert apart > 10 * error, (apart, error)


def quantized(kind: str, model: Any, calibration: list[Tensor]) -> Tensor:
    request = ExportRequest(target="onnx", form="volume", batch=1)
    info = describe(model, request)
    graph = ExportGraph(
        lower(model, form="volume", num_frames=3), info.clip, form="volume", dtype="float32"
    )
    proto = to_onnx.to_proto(graph, info)
    if kind == "onnx":
        import onnxruntime

        whole = quantize_onnx(proto, calibration).SerializeToString()
        session = onnxruntime.InferenceSession(whole, providers=["CPUExecutionProvider"])
        rows = [np.asarray(session.run(None, {"clip": x.numpy()})[0]) for x in calibration]
        return torch.from_numpy(np.concatenate(rows))
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    core = openvino.Core()
    model = quantize_openvino(core.read_model(proto.SerializeToString()), calibration)
    run = core.compile_model(model, "CPU")
    return torch.from_numpy(
        np.concatenate([run({"clip": x.numpy()})["logits"] for x in calibration])
    )

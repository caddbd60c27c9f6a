"""INT8 artefacts: written, loaded and run like all others, and they say how they were made."""

import importlib.util
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from video_mobile_former.cli.main import main
from video_mobile_former.errors import UserError
from video_mobile_former.export.artefact import info_path
from video_mobile_former.export.exporting import export_model
from video_mobile_former.export.loading import load_model
from video_mobile_former.export.lowering import lower
from video_mobile_former.export.quantize import sample_calibration
from video_mobile_former.export.quantize.with_pt2e import pointwise_convolutions
from video_mobile_former.export.request import ExportRequest
from video_mobile_former.models.video_mobile_former import VideoMobileFormer


def small_model() -> VideoMobileFormer:
    """One block of each kind, whose BatchNorms have seen data."""
    torch.manual_seed(0)
    model = VideoMobileFormer(
        blocks=[["lite", 2, 8], ["down", 2, 16, 2, 2], ["mobile", 2, 16]],
        stem_channels=8,
        num_classes=5,
        num_tokens=3,
        token_dim=32,
        head_dim=64,
        num_frames=4,
        crop_size=32,
    )
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(2, 3, 4, 32, 32))
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "ending", "tool", "dtype"),
    [
        ("openvino", ".xml", "nncf", "uint8"),
        ("onnx", ".onnx", "onnxruntime", "float32"),
        ("litert", ".tflite", "ai-edge-quantizer", "uint8"),
        ("executorch", ".pte", "torchao", "float32"),
    ],
)
def test_an_int8_artefact_stays_near_and_tells_how_it_was_made(
    target, ending, tool, dtype, procedural_index, tmp_path, capfd
):
    if importlib.util.find_spec(tool.replace("-", "_")) is None:
        pytest.skip(f"{tool} is not installed")
    model = small_model()
    calibration = sample_calibration(procedural_index, model.clip, num_clips=8)
    out = tmp_path / f"small{ending}"
    request = ExportRequest(target, precision="int8", dtype=dtype)
    made = export_model(model, out, request, index=procedural_index, calibration=calibration)
    assert capfd.readouterr().out == ""
    assert logging.root.manager.disable == 0

    said = json.loads(info_path(out).read_text())
    assert said["precision"] == "int8"
    assert said["options"]["calibration"] == calibration.to_dict()
    quantization = said["options"]["quantization"]
    assert quantization["tool"].startswith(f"{tool} ")
    assert "pointwise convolutions" in quantization["int8"]
    assert "bridges and their softmax" in quantization["kept"]

    loaded = load_model(out)
    clips = torch.stack(list(calibration.clips[:4]))
    with torch.no_grad():
        normal = torch.cat(
            list(calibration.inputs(model.clip, layout="BCTHW", dtype="float32")[:4])
        )
        wanted = model(normal).numpy()
    found = loaded(clips if dtype == "uint8" else normal).numpy()
    error = np.sqrt(((found - wanted) ** 2).mean() / wanted.var())
    assert 0 < error < 0.25
    assert made.parity is not None
    assert made.parity.passed


@pytest.mark.slow
def test_only_pointwise_convolutions_are_quantised():
    model = small_model()
    graph = lower(model, form="frames", num_frames=4)
    with torch.no_grad():
        module = torch.export.export(graph, (torch.randn(4, 3, 32, 32),)).module()
    found = pointwise_convolutions(module)
    # Of the three blocks: one projection, two reductions, expansion and projection; the head.
    assert len(found) == 6
    convolutions = [node for node in module.graph.nodes if "conv2d" in str(node.target)]
    assert len(convolutions) > 2 * len(found)


def test_int8_without_clips_to_calibrate_on_is_refused(tmp_path):
    pytest.importorskip("openvino")
    request = ExportRequest("openvino", precision="int8")
    with pytest.raises(UserError, match="--calibrate DATA"):
        export_model(small_model(), tmp_path / "x.xml", request)
    assert not list(tmp_path.iterdir())


def test_a_target_without_int8_says_what_it_has(tmp_path):
    request = ExportRequest("torch", precision="int8")
    with pytest.raises(UserError, match=r"takes precision fp32, not int8"):
        export_model(small_model(), tmp_path / "x.pt2", request)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    small_model().save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--calibrate", "DATA"], "7 clips are too few to calibrate on"),
        (["--calibrate", "DATA", "--calibrate_clips", "3"], "--calibrate_clips: must be"),
        (["--calibrate_clips", "9"], "--calibrate_clips goes with --calibrate DATA"),
    ],
)
def test_what_cannot_be_calibrated_on_is_one_line_and_writes_nothing(
    words, message, checkpoint, with_broken, tmp_path, capsys
):
    pytest.importorskip("onnxruntime")
    clips = with_broken(5, 2).clips
    lines = ["path,label,split", *(f"{clip.path},a,train" for clip in clips)]
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n")
    out = tmp_path / "out" / "model.onnx"
    data = [str(tmp_path / "clips.csv") if word == "DATA" else word for word in words]
    call = ["export", str(checkpoint), "--to", "onnx", "--out", str(out), "--precision", "int8"]
    assert main([*call, *data]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert not out.parent.exists() or not list(out.parent.iterdir())

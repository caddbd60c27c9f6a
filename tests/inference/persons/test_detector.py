"""Detectors in ONNX: each output layout, letterboxing, overlaps, and files that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnx_detectors import write_detector
from video_mobile_former.errors import UserError
from video_mobile_former.inference.persons.detector import (
    Detector,
    layout_of,
    letterbox,
    overlaps,
    suppressed,
)

pytest.importorskip("onnxruntime")
LAYOUTS = ["columns", "rows", "objectness", "corners", "detr", "labelled"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bright_squares_are_found_whatever_the_layout(tmp_path: Path, layout: str) -> None:
    detector = Detector(write_detector(tmp_path / "a.onnx", layout), threshold=0.7)
    assert detector.layout == layout
    # 128 × 64 pixels become 64 × 32 with 16 rows of grey above and below.
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[16:32, 96:112] = 255
    picture[48:64, 0:16] = 230
    found = detector(picture)
    assert found.corners.round().tolist() == [[96, 16, 112, 32], [0, 48, 16, 64]]
    assert found.scores[0] > found.scores[1] > 0.7
    assert len(detector(np.zeros((64, 64, 3), np.uint8)).scores) == 0


def test_another_class_is_nobody(tmp_path: Path) -> None:
    path = write_detector(tmp_path / "a.onnx", "columns")
    picture = np.full((64, 64, 3), 255, np.uint8)
    assert len(Detector(path, threshold=0.7)(picture).scores) == 64
    assert len(Detector(path, threshold=0.7, person=1)(picture).scores) == 0
    with pytest.raises(UserError, match="class 5 is to be persons, but the detector has 2"):
        Detector(path, person=5)


def test_letterbox_keeps_proportions() -> None:
    picture = np.zeros((30, 60, 3), np.uint8)
    picture[:, 30:] = 200
    out, scale, left, top = letterbox(picture, 64, 64)
    assert (scale, left, top) == (pytest.approx(64 / 60), 0, 16)
    assert (out[:16] == 114).all()
    assert (out[16 + 32 :] == 114).all()
    assert out[32, 60].tolist() == pytest.approx([200] * 3, abs=2)


def test_overlapping_boxes_leave_the_surest() -> None:
    corners = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [5, 0, 15, 10]], float)
    assert overlaps(corners[0], corners[1:]) == pytest.approx([9 / 11, 0, 1 / 3])
    scores = np.array([0.5, 0.9, 0.4, 0.3])
    assert suppressed(corners, scores, 0.5).tolist() == [1, 2, 3]
    assert suppressed(corners, scores, 0.3).tolist() == [1, 2]


@pytest.mark.parametrize(
    "shapes",
    [[(1, 1000)], [(1, 1, 64)], [(2, 84, 8400)], [(1, 100, 4), (1, 90, 91)], [(1, 3, 20, 20)] * 3],
)
def test_unknown_outputs(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(UserError, match="no known detector"):
        layout_of(shapes, "a.onnx")


@pytest.mark.parametrize(
    ("shapes", "layout"),
    [
        ([(1, 84, 8400)], "columns"),
        ([(1, 5, 8400)], "columns"),
        ([(1, 8400, 84)], "rows"),
        ([(1, 25200, 85)], "objectness"),
        ([(1, 300, 6)], "corners"),
        ([(1, 300, 80), (1, 300, 4)], "detr"),
        ([(1, 300), (1, 300, 4), (1, 300)], "labelled"),
    ],
)
def test_public_layouts(shapes: list[tuple[int, ...]], layout: str) -> None:
    assert layout_of(shapes, "a.onnx") == layout


def test_files_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        Detector(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(UserError, match=r"no ONNX file|cannot be loaded"):
        Detector(tmp_path / "text.onnx")
    with pytest.raises(UserError, match="no known detector"):
        Detector(write_detector(tmp_path / "scores.onnx", "classifier"))
    good = onnx.load(write_detector(tmp_path / "good.onnx", "columns"))
    outside = tmp_path / "outside.onnx"
    onnx.save(good, outside, save_as_external_data=True, size_threshold=0, location="weights.bin")
    with pytest.raises(UserError, match="weights in another file"):
        Detector(outside)
    value = helper.make_tensor_value_info
    node = helper.make_node("Own", ["picture"], ["out"], domain="someone")
    graph = helper.make_graph(
        [node],
        "own",
        [value("picture", TensorProto.FLOAT, [1, 3, 64, 64])],
        [value("out", TensorProto.FLOAT, [1, 84, 100])],
    )
    domains = [helper.make_opsetid("", 18), helper.make_opsetid("someone", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=9), tmp_path / "own.onnx")
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        Detector(tmp_path / "own.onnx")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="threshold"):
        Detector(tmp_path / "good.onnx", threshold=1.5)
    with pytest.raises(UserError, match="iou"):
        Detector(tmp_path / "good.onnx", iou=1.5)

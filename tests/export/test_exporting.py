"""Exports that cannot be: one clear line, and nothing left behind."""

import dataclasses

import pytest
import torch
from torch import nn

from video_mobile_former.errors import UserError
from video_mobile_former.export import exporting, parity
from video_mobile_former.export.exporting import export_model
from video_mobile_former.export.request import ExportRequest, describe
from video_mobile_former.export.targets import to_onnx


@pytest.mark.parametrize(
    ("wishes", "out", "message"),
    [
        ({"target": "onx"}, "m.onnx", "did you mean 'onnx'"),
        ({"target": "onnx"}, "m.xml", r"m\.xml: an artefact for ONNX Runtime ends in \.onnx"),
        ({"target": "onnx", "precision": "int3"}, "m.onnx", "takes precision fp32, .*int3"),
        ({"target": "onnx", "form": "rows"}, "m.onnx", "frames or volume, not rows"),
        ({"target": "onnx", "batch": 0}, "m.onnx", "batch must be at least 1 or 'dynamic', not 0"),
        ({"target": "onnx", "num_frames": 0}, "m.onnx", "num_frames must be a whole number"),
        ({"target": "onnx", "size": 16}, "m.onnx", "at least 32 pixels"),
        (
            {"target": "onnx", "form": "frames", "dynamic": True},
            "m.onnx",
            "fixed number of frames; use --form volume",
        ),
    ],
)
def test_wishes_that_cannot_be_fulfilled(wishes, out, message, model, tmp_path):
    with pytest.raises(UserError, match=message):
        export_model(model, tmp_path / out, ExportRequest(**wishes))
    assert not list(tmp_path.iterdir())


def test_a_missing_library_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"needs onnxscript: pip install.*\[export\]"):
        export_model(model, tmp_path / "m.onnx", ExportRequest("onnx"))


class Colours(nn.Module):
    """Three logits that have nothing to do with any model."""

    def forward(self, clip):
        return clip.mean(dim=(2, 3, 4))


@pytest.mark.slow
def test_an_unequal_artefact_is_not_kept(model, tmp_path, monkeypatch):
    old = tmp_path / "m.pt2"
    old.write_bytes(b"what stood there before")

    monkeypatch.setattr(exporting, "lower", lambda *_, **__: Colours())
    request = ExportRequest("torch", form="volume", batch=1)
    with pytest.raises(UserError, match=r"not written by vmf.*--overwrite"):
        export_model(model, old, request)
    request = dataclasses.replace(request, overwrite=True)
    with pytest.raises(UserError, match=r"is not written: .* on the clip '\w+.*NOT EQUAL"):
        export_model(model, old, request)
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"]
    assert old.read_bytes() == b"what stood there before"
    kept = export_model(model, old, dataclasses.replace(request, keep_unequal=True))
    assert kept.parity is not None
    assert not kept.parity.passed
    assert kept.info.parity == kept.parity.to_dict()
    assert kept.parity.max_difference > 1e-2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.pt2", "m.pt2.json"]


class Factored(nn.Module):
    """A graph with an operator that ONNX lacks."""

    def forward(self, clip):
        return torch.linalg.qr(clip.mean(dim=(2, 3))).R


@pytest.mark.slow
def test_the_operator_that_a_target_refuses_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "lower", lambda *_, **__: Factored())
    with pytest.raises(UserError, match=r"ONNX refuses this model: .*linalg_qr"):
        export_model(model, tmp_path / "m.onnx", ExportRequest("onnx"))
    assert not list(tmp_path.iterdir())


def test_half_precision_leaves_large_values_alone():
    onnx = pytest.importorskip("onnx")
    import numpy as np

    helper, arrays = onnx.helper, onnx.numpy_helper
    big = np.full(100, 1e6, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "big"], ["y"]), helper.make_node("Add", ["y", "w"], ["z"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [100])],
        [helper.make_tensor_value_info("z", 1, [100])],
        [arrays.from_array(big, "big"), arrays.from_array(big / 1e6, "w")],
    )
    found = helper.make_model(graph)
    to_onnx.store_weights_as_fp16(found)
    assert {i.name: i.data_type for i in found.graph.initializer} == {
        "big": onnx.TensorProto.FLOAT,
        "w.fp16": onnx.TensorProto.FLOAT16,
    }
    onnx.checker.check_model(found, full_check=True)


@pytest.mark.slow
def test_other_frames_and_sizes_change_the_clip_and_the_cost(model):
    native = describe(model, ExportRequest("onnx"))
    larger = describe(model, ExportRequest("onnx", num_frames=8, size=128))
    assert (larger.clip.num_frames, larger.clip.crop_size, larger.clip.resize_size) == (8, 128, 144)
    assert 7 < larger.macs_per_view / native.macs_per_view < 9
    assert larger.input.shape == (8, 3, 128, 128)
    free = describe(model, ExportRequest("onnx", num_frames=8, size=128, batch="dynamic"))
    assert free.input.shape == (None, 3, 8, 128, 128)


@pytest.mark.slow
def test_clips_to_compare_on_are_the_same_every_time(model):
    first, data = parity.parity_clips(model.clip)
    second, _ = parity.parity_clips(model.clip)
    assert data == "procedural clips"
    assert [name for name, _ in first] == [name for name, _ in second]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(first, second, strict=True))
    assert len({clip.float().std().item() for _, clip in first}) == 12
    free, _ = parity.parity_clips(model.clip, free=("num_frames", "size"))
    assert [tuple(clip.shape) for _, clip in free[4:6]] == [(3, 7, 64, 64), (3, 4, 96, 128)]


def test_a_difference_that_is_no_number_never_passes():
    bar = parity.Bar(1e-4, 1.0)
    clip = parity.ParityClip("a", float("nan"), 0, 0)
    found = parity.Parity((clip,), bar, "x", 1.0)
    assert not found.passed
    assert found.to_dict()["max_difference"] is None
    assert found.worst() is clip

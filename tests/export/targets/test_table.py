"""Every target of this table writes what loads again and computes the same."""

import itertools
import json

import pytest
import torch

from video_mobile_former.data.transforms import normalize
from video_mobile_former.errors import UserError
from video_mobile_former.export.artefact import info_path
from video_mobile_former.export.loading import load_artefact, read_info
from video_mobile_former.export.targets.table import TARGETS, get_target, target_of
from video_mobile_former.models.registry import list_models

MINE = ("onnx", "openvino", "torch")


def clips(batch=3, frames=4, height=64, width=64):
    generator = torch.Generator().manual_seed(1)
    shape = (batch, 3, frames, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def difference(model, exported, pixels):
    normal = normalize(pixels, model.clip)
    given = exported(pixels if exported.takes_uint8 else normal)
    assert given.dtype == torch.float32
    return (model(normal) - given).abs().max().item()


@pytest.mark.slow
@torch.no_grad()
def test_an_artefact_computes_what_the_model_does(quick, model):
    parity = quick.info.parity
    assert (parity["passed"], parity["same_top1"], parity["num_clips"]) == (True, 12, 12)
    exported = load_artefact(quick.path)
    assert difference(model, exported, clips()) < 1e-5
    assert exported.class_names == model.class_names
    assert exported.clip == model.clip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "form", "dtype", "channels"),
    [
        # Both orders of channels with both types in all, not in each form of each target.
        (target, form, dtype, "first" if (dtype == "uint8") == (form == "volume") else "last")
        for target in MINE
        for form, dtype in itertools.product(TARGETS[target].forms, ("float32", "uint8"))
    ],
)
@torch.no_grad()
def test_forms_types_and_orders_are_equal(target, form, dtype, channels, model, artefacts):
    written = artefacts(target=target, form=form, dtype=dtype, batch=2, channels=channels)
    exported = load_artefact(written.path)
    # Three clips for an artefact that takes two: the last call is filled up.
    assert difference(model, exported, clips()) < 1e-5
    assert exported.takes_uint8 == (dtype == "uint8")
    rows, places = ((2,), (4, 64, 64)) if form == "volume" else ((8,), (64, 64))
    shape = (*rows, 3, *places) if channels == "first" else (*rows, *places, 3)
    assert written.info.input.shape == shape


@pytest.mark.slow
@pytest.mark.parametrize("target", MINE)
@torch.no_grad()
def test_frames_and_size_may_stay_free(target, model, artefacts):
    written = artefacts(target=target, dynamic=True, form="volume")
    free = [name for name in written.info.input.axes if name != "channels"]
    assert free == ["batch", "num_frames", "height", "width"]
    shape = dict(zip(written.info.input.axes, written.info.input.shape, strict=True))
    assert shape == dict.fromkeys(free) | {"channels": 3}
    exported = load_artefact(written.path)
    assert difference(model, exported, clips(2, 7, 96, 80)) < 1e-5


@pytest.mark.slow
@torch.no_grad()
def test_a_free_batch_is_run_clip_by_clip_or_at_once(model, artefacts):
    exported = load_artefact(artefacts(target="onnx", batch="dynamic").path)
    assert exported.artefact.input.batch is None
    calls = []
    runner = exported.runner

    def counted(*given):
        calls.append(len(given[0]))
        return runner(*given)

    exported.runner = counted
    assert difference(model, exported, clips()) < 1e-5
    exported.at_once = None
    assert difference(model, exported, clips()) < 1e-5
    assert calls == [1, 1, 1, 3]


@pytest.mark.slow
@torch.no_grad()
def test_half_precision_weights_take_half_the_space(model, artefacts):
    whole, half = artefacts(target="onnx"), artefacts(target="onnx", precision="fp16")
    values = sum(p.numel() for p in model.parameters() if p.numel() >= 64)
    assert whole.path.stat().st_size - half.path.stat().st_size == pytest.approx(
        2 * values, rel=0.25
    )
    exported = load_artefact(half.path)
    assert 1e-6 < difference(model, exported, clips()) < 2e-2


@pytest.mark.slow
@torch.no_grad()
def test_openvino_computes_in_bfloat16_only_when_asked(model, artefacts):
    path = artefacts(target="openvino").path
    rough = load_artefact(path, precision="bf16")
    assert difference(model, load_artefact(path), clips()) < 1e-5
    # On a processor without bfloat16 it is float32 again.
    assert difference(model, rough, clips()) < 0.5
    assert rough.runs_precisions == ("bf16",)
    with pytest.raises(UserError, match="ONNX Runtime do not compute in bf16"):
        load_artefact(artefacts(target="onnx").path, precision="bf16")


def test_what_stands_inside_is_what_stands_beside(quick, tmp_path):
    written, row = quick, TARGETS[quick.info.target]
    for ending, file in row.files(written.path).items():
        (tmp_path / "copy").with_suffix(ending or row.suffix).write_bytes(file.read_bytes())
    inside = read_info((tmp_path / "copy").with_suffix(row.suffix))
    beside = read_info(written.path)
    assert (
        inside.to_json()
        == beside.__class__.from_dict(beside.to_dict() | {"options": {}}, "x").to_json()
    )
    assert inside.model_info == {"training": {"seed": 7}, "license": "CC0"}
    described = json.loads(info_path(written.path).read_text(encoding="utf-8"))
    assert described["class_names"] == ["push", "pull", "Größe | 手"]
    assert described["parity"]["max_difference"] < 1e-5
    assert described["macs_per_view"] > described["parameters"] > 0
    assert described["clip"]["mean"] == [0.4, 0.5, 0.6]


@pytest.mark.slow
def test_onnx_names_what_it_takes_and_gives(artefacts):
    onnx = pytest.importorskip("onnx")
    written = artefacts(target="onnx", batch="dynamic")
    graph = onnx.load(written.path)
    onnx.checker.check_model(graph, full_check=True)
    assert [o.version for o in graph.opset_import if o.domain == ""] == [20]
    assert written.info.options["opset"] == 20
    (given,), (taken,) = graph.graph.output, graph.graph.input
    dims = taken.type.tensor_type.shape.dim
    assert (taken.name, given.name) == ("clip", "logits")
    assert [d.dim_param or d.dim_value for d in dims] == ["batch", 3, 4, 64, 64]
    assert not {node.domain for node in graph.graph.node} - {""}
    # No folder of the machine that wrote it.
    assert str(__file__).rsplit("/tests", 1)[0].encode() not in written.path.read_bytes()


def test_onnx_runtime_has_nothing_to_warn_of(artefacts, capfd):
    load_artefact(artefacts(target="onnx").path)
    assert capfd.readouterr().err == ""


def test_a_target_is_found_by_name_and_ending():
    assert get_target("onnx").suffix == ".onnx"
    assert target_of("a/B.ONNX") is TARGETS["onnx"]
    assert target_of("clip.mp4") is None
    assert not any(target_of(name) for name in list_models())
    with pytest.raises(UserError, match="'openvin'; did you mean 'openvino'"):
        get_target("openvin")
    with pytest.raises(UserError, match="tensorrt") as caught:
        get_target("tensorrt")
    assert "did you mean" not in str(caught.value)  # nothing near: all are listed

"""ExecuTorch: one delegate, the logits of the model, the description inside."""

import dataclasses
import gc
from pathlib import Path

import pytest
import torch

from mobile_models import small_model
from video_mobile_former.errors import CheckpointError, UserError
from video_mobile_former.export.exporting import Exported, export_model
from video_mobile_former.export.graph import ExportGraph
from video_mobile_former.export.loading import load_artefact, read_info
from video_mobile_former.export.request import ExportRequest, describe
from video_mobile_former.export.targets.table import WriteOptions, get_target

pytest.importorskip("executorch.version", reason="ExecuTorch is not installed")

CLIPS = torch.randn(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
def test_a_program_is_one_delegate_and_gives_the_logits_of_the_model(tmp_path, capfd):
    request = ExportRequest(target="executorch")
    done = export_model(small_model(), tmp_path / "model.pte", request)
    assert done.info.options["not_delegated"] == {}
    assert done.parity is not None
    assert done.parity.passed
    assert done.parity.max_difference < 1e-5
    model = load_artefact(done.path, threads=1)
    with torch.no_grad():
        torch.testing.assert_close(model(CLIPS), small_model()(CLIPS), atol=1e-5, rtol=0)
    assert capfd.readouterr() == ("", ""), "what the libraries print stays inside"


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Exported:
    path = tmp_path_factory.mktemp("executorch") / "model.pte"
    return export_model(small_model(every_kind=True), path, ExportRequest(target="executorch"))


@pytest.mark.slow
def test_programs_with_other_numbers_of_threads_live_side_by_side(exported):
    one, two = load_artefact(exported.path, threads=1), load_artefact(exported.path, threads=2)
    expected = one(CLIPS)
    for model in (two, one, two):
        assert torch.equal(model(CLIPS), expected)
    del two
    gc.collect()
    assert torch.equal(one(CLIPS), expected)


@pytest.mark.slow
def test_the_description_is_inside(exported, tmp_path):
    alone = tmp_path / "alone.pte"
    alone.write_bytes(exported.path.read_bytes())
    inside = read_info(alone)
    assert inside.class_names == ("north", "öst", "south", "west")
    assert inside.clip == exported.info.clip


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"no program", None])
def test_a_damaged_program_is_refused_in_one_line(exported, tmp_path, content):
    path = tmp_path / "damaged.pte"
    path.write_bytes(exported.path.read_bytes()[:2000] if content is None else content)
    with pytest.raises(CheckpointError, match=r"damaged\.pte is damaged or no ExecuTorch program"):
        read_info(path)


@pytest.mark.slow
def test_a_3d_convolution_is_refused_by_name(tmp_path):
    model = small_model()
    info = describe(model, ExportRequest(target="executorch"))
    volume = dataclasses.replace(
        info,
        form="volume",
        input=dataclasses.replace(info.input, layout="BCTHW", shape=(1, 3, 3, 32, 32)),
    )
    model.set_form("volume")
    graph = ExportGraph(model.fuse(), model.clip, form="volume", dtype="float32")
    with pytest.raises(UserError, match=r"3-D convolution \(aten\.conv3d, node conv3d"):
        get_target("executorch").code.write(graph, volume, tmp_path / "x.pte", WriteOptions())
    assert not list(Path(tmp_path).iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_variant_of_the_family_is_one_delegate(tmp_path, dtype, capfd):
    from video_mobile_former.models import create_model

    model = create_model("vmf_500m", num_classes=5, num_frames=4, crop_size=64).eval()
    request = ExportRequest(target="executorch", dtype=dtype)
    done = export_model(model, tmp_path / "model.pte", request)
    assert done.parity is not None
    assert done.parity.passed
    conversion = {"dim_order_ops._to_dim_order_copy.default": 1}
    assert done.info.options["not_delegated"] == ({} if dtype == "float32" else conversion)
    assert ("portable kernels" in capfd.readouterr().err) == (dtype == "uint8")

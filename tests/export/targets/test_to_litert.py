"""LiteRT: the logits of the model, named input and output, the description inside."""

import importlib
import importlib.util
from typing import Any

import pytest
import torch

from mobile_models import small_model
from video_mobile_former.errors import CheckpointError
from video_mobile_former.export.exporting import Exported, export_model
from video_mobile_former.export.loading import load_artefact, read_info
from video_mobile_former.export.request import ExportRequest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None,
    reason="litert-torch is not installed (make test-all installs it)",
)

CLIPS = torch.randn(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=["float32", "uint8"])
def exported(tmp_path_factory, request) -> Exported:
    path = tmp_path_factory.mktemp("litert") / "model.tflite"
    wish = ExportRequest(target="litert", dtype=request.param)
    return export_model(small_model(), path, wish)


def test_the_artefact_is_proven_equal(exported):
    assert exported.parity is not None
    assert exported.parity.passed
    assert exported.parity.max_difference < 1e-5


def test_it_runs_as_a_model(exported):
    model = load_artefact(exported.path, threads=1)
    clips = CLIPS if not model.takes_uint8 else (CLIPS * 50 + 128).to(torch.uint8)
    assert model(clips).shape == (2, 4)
    if not model.takes_uint8:
        with torch.no_grad():
            torch.testing.assert_close(model(clips), small_model()(clips), atol=1e-5, rtol=0)


def test_input_and_output_have_names(exported):
    from video_mobile_former.console import quiet

    with quiet(output=True):
        library: Any = importlib.import_module("ai_edge_litert.interpreter")
        signatures = library.Interpreter(str(exported.path)).get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["clip"], "outputs": ["logits"]}}


def test_the_description_is_inside(exported, tmp_path):
    alone = tmp_path / "alone.tflite"
    alone.write_bytes(exported.path.read_bytes())
    assert read_info(alone).class_names == ("north", "öst", "south", "west")


def test_another_file_is_refused_in_one_line(tmp_path):
    path = tmp_path / "other.tflite"
    path.write_bytes(b"no model")
    with pytest.raises(CheckpointError, match=r"other\.tflite is no LiteRT model"):
        read_info(path)


@pytest.mark.slow
def test_half_weights_stay_near_and_keep_the_description(tmp_path):
    pytest.importorskip("ai_edge_quantizer")
    path = tmp_path / "half.tflite"
    done = export_model(small_model(), path, ExportRequest(target="litert", precision="fp16"))
    assert done.parity is not None
    assert done.parity.passed
    assert done.parity.max_difference > 0
    assert done.info.options["tool"].startswith("ai-edge-quantizer ")
    alone = tmp_path / "alone.tflite"
    alone.write_bytes(path.read_bytes())
    assert read_info(alone).precision == "fp16"

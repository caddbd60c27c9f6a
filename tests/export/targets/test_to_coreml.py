"""Core ML: written with names and description; never run here."""

import importlib
import importlib.util
from typing import Any

import pytest

from mobile_models import small_model
from video_mobile_former.errors import CheckpointError, UserError
from video_mobile_former.export.exporting import export_model
from video_mobile_former.export.loading import load_artefact, read_info
from video_mobile_former.export.request import ExportRequest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("coremltools") is None,
    reason="coremltools is not installed (make test-all installs it)",
)


@pytest.mark.slow
def test_uint8_input_is_refused_before_anything_is_written(tmp_path):
    request = ExportRequest(target="coreml", dtype="uint8")
    with pytest.raises(UserError, match="Core ML programs take no uint8 input"):
        export_model(small_model(), tmp_path / "model.mlpackage", request)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_is_no_package_is_refused_in_one_line(tmp_path):
    path = tmp_path / "other.mlpackage"
    path.mkdir()
    with pytest.raises(CheckpointError, match=r"other\.mlpackage is no Core ML package"):
        read_info(path)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_package_says_what_it_is_and_that_it_was_not_run(tmp_path, precision):
    coremltools: Any = importlib.import_module("coremltools")
    path = tmp_path / "model.mlpackage"
    done = export_model(small_model(), path, ExportRequest(target="coreml", precision=precision))
    assert done.parity is None
    assert done.info.options["run"] is False
    spec = coremltools.utils.load_spec(str(path))
    assert [entry.name for entry in spec.description.input] == ["clip"]
    assert [entry.name for entry in spec.description.output] == ["logits"]
    assert list(spec.description.input[0].type.multiArrayType.shape) == [3, 3, 32, 32]
    assert read_info(path).class_names == ("north", "öst", "south", "west")
    with pytest.raises(UserError, match="cannot be run here"):
        load_artefact(path)

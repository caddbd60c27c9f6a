"""The files of examples/ do what they say, on small clips and networks."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from video_files import write_video
from video_mobile_former import Predictor, UserError, create_model, list_models, register_model
from video_mobile_former.data.index.formats import FORMATS
from video_mobile_former.errors import DataError
from video_mobile_former.models import registry

FOLDER = Path(__file__).resolve().parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def two_classes(tmp_path: Path) -> Path:
    for label, level in (("dark", 40), ("light", 200)):
        for i in range(6):
            picture = np.full((48, 64, 3), level + i, dtype=np.uint8)
            write_video(tmp_path / "clips" / label / f"{i}.mp4", [picture] * 10)
    return tmp_path / "clips"


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    torch.manual_seed(0)
    model = create_model("vmf_500m", num_classes=2, num_frames=4, crop_size=32)
    model.class_names = ("up", "down")
    model.save_pretrained(tmp_path / "run" / "best")
    return str(tmp_path / "run")


def test_the_page_names_them() -> None:
    names = {path.name for path in FOLDER.glob("*.py")}
    assert names == {
        "fine_tune.py",
        "own_data_format.py",
        "embed.py",
        "export.py",
        "add_model.py",
        "ray_train.py",
    }
    page = (FOLDER.parent / "docs" / "api.md").read_text(encoding="utf-8")
    assert all(f"examples/{name}" in page for name in names)


@pytest.mark.slow
def test_fine_tune(two_classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("fine_tune").main(str(two_classes), str(tmp_path / "run"), epochs=1)
    out = capsys.readouterr().out
    assert "top-1" in out
    assert out.splitlines()[-1].split()[0].endswith(".mp4")
    assert (tmp_path / "run" / "last" / "model.safetensors").is_file()


def test_own_data_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "sheets", None)  # what the example adds is taken out again
    write_video(tmp_path / "cam1.mp4", 60)
    sheet = tmp_path / "monday.txt"
    sheet.write_text("00:00-00:01 jump cam1.mp4\n00:01-00:02 run cam1.mp4\n")
    index = example("own_data_format").main(str(tmp_path))
    assert index.class_names == ("jump", "run")
    assert [(clip.start_seconds, clip.group) for clip in index.clips] == [
        (0.0, "monday"),
        (1.0, "monday"),
    ]
    sheet.write_text("from the beginning jump cam1.mp4\n")
    with pytest.raises(DataError, match=r"monday\.txt:1: expected a line such as"):
        example("own_data_format").main(str(tmp_path))


@pytest.mark.slow
def test_embed(checkpoint: str, tmp_path: Path) -> None:
    write_video(tmp_path / "long.mp4", 105, fps=30)
    found = example("embed").main(checkpoint, str(tmp_path / "long.mp4"))
    assert [round(seconds, 1) for seconds, _ in found] == [1.0, 2.0, 3.0]
    assert {best.labels[0] for _, best in found} <= {"up", "down"}


@pytest.mark.slow
def test_export(checkpoint: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    write_video(tmp_path / "clip.mp4", 12)
    before, after = example("export").main(
        checkpoint, str(tmp_path / "model.onnx"), str(tmp_path / "clip.mp4")
    )
    assert before.labels == after.labels
    assert after.scores == pytest.approx(before.scores, abs=1e-4)


@pytest.mark.slow
def test_add_model(two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("add_model")
    monkeypatch.setattr(registry, "BASELINES", registry.BASELINES.copy())
    monkeypatch.setattr(registry, "ARCHITECTURES", registry.ARCHITECTURES.copy())
    model = module.main(str(two_classes), str(tmp_path / "run"), epochs=1)
    assert isinstance(model, module.SeparableNet)
    assert model.class_names == ("dark", "light")
    # The same weights in both graph forms, and folded for inference.
    x = torch.randn(2, 3, 5, 64, 64)
    with torch.no_grad():
        logits = model(x)
        model.set_form("volume")
        torch.testing.assert_close(model(x), logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.fuse()(x), logits, atol=1e-4, rtol=1e-4)
    found = Predictor(model).predict(two_classes / "dark" / "0.mp4")
    assert set(found.labels) == {"dark", "light"}


def test_a_name_that_is_taken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BASELINES", registry.BASELINES.copy())
    monkeypatch.setattr(registry, "ARCHITECTURES", registry.ARCHITECTURES.copy())
    net = example("add_model").SeparableNet
    with pytest.raises(UserError, match="'vmf_1g' is there already"):
        register_model("vmf_1g", net, {})
    with pytest.raises(UserError, match="takes no argument 'depth'"):
        register_model("deep", net, {"depth": 3})
    register_model("wide", net, {"channels": [32, 64]})
    assert "wide" in list_models()
    assert create_model("wide", 3, num_frames=4).architecture["channels"] == [32, 64]
    other = example("add_model").SeparableNet  # another class of the same name
    with pytest.raises(UserError, match="class named SeparableNet is registered already"):
        register_model("other", other, {})

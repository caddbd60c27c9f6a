"""The public 2-D release loads, exactly and safely."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from video_mobile_former.errors import CheckpointError
from video_mobile_former.models import load_mobile_former
from video_mobile_former.models.variants import VARIANTS


@pytest.fixture(scope="session")
def parity(shared_data: Path) -> Path:
    return shared_data / "parity"


@pytest.fixture(scope="session")
def release(parity: Path) -> dict[str, Tensor]:
    return load_file(parity / "mobile_former_26m.safetensors")


def random_release(parity: Path, parent: str) -> dict[str, Tensor]:
    shapes = json.loads((parity / f"mobile_former_{parent}.json").read_text())
    torch.manual_seed(0)
    return {
        key: torch.zeros(shape, dtype=torch.long) if key.endswith("tracked") else torch.rand(shape)
        for key, shape in shapes.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
@pytest.mark.parametrize(
    ("frames", "overrides"),
    [
        (1, {"temporal_kernel": 1, "stem_temporal_kernel": 1}),
        (4, {}),
        (3, {"temporal_conv": "2plus1d", "temporal_kernel": 5}),
    ],
)
def test_golden_logits(parity: Path, frames: int, overrides: dict[str, Any], form: str) -> None:
    golden = load_file(parity / "mobile_former_26m_golden.safetensors")
    model = load_mobile_former(
        parity / "mobile_former_26m.safetensors",
        "vmf_500m",
        keep_classifier=True,
        form=form,
        **overrides,
    ).eval()
    still = golden["image"].unsqueeze(2).expand(-1, -1, frames, -1, -1)
    with torch.no_grad():
        torch.testing.assert_close(model(still), golden["logits"], atol=1e-4, rtol=0)
        torch.testing.assert_close(model.fuse()(still), golden["logits"], atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float32, 1e-3), (torch.float64, 1e-9)], ids=str
)
def test_golden_logits_beyond_the_cap_of_the_head(
    parity: Path, form: str, dtype: torch.dtype, limit: float
) -> None:
    golden = load_file(parity / "mobile_former_26m_capped_golden.safetensors")
    model = load_mobile_former(
        parity / "mobile_former_26m_capped.safetensors",
        "vmf_500m",
        keep_classifier=True,
        form=form,
        temporal_kernel=1,
        stem_temporal_kernel=1,
    )
    model = model.eval().to(dtype)
    still, wanted = golden["image"].unsqueeze(2).to(dtype), golden["logits"]
    with torch.no_grad():
        found, fused = model(still), model.fuse()(still)
        model.head_act = torch.relu
        uncapped = model(still)
    # The golden values themselves are rounded to float32.
    torch.testing.assert_close(found.float(), wanted, atol=limit, rtol=2e-7 if limit < 1e-6 else 0)
    torch.testing.assert_close(fused.float(), wanted, atol=1e-3, rtol=0)
    assert (uncapped.float() - wanted).abs().max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_names_of_every_parent_are_mapped(parity: Path, tmp_path: Path, variant: str) -> None:
    state = random_release(parity, VARIANTS[variant].parent)
    path = tmp_path / "release.safetensors"
    save_file(state, path)
    model = load_mobile_former(path, variant, keep_classifier=True)
    own = model.state_dict()
    temporal = [k for k in own if k.endswith("temporal.weight")]
    assert len(own) == len(state) + len(temporal)
    # Each tensor arrives once: the sums over all of them agree.
    total = sum(v.double().sum() for v in state.values())
    arrived = sum(v.double().sum() for k, v in own.items() if k not in temporal)
    assert math.isclose(float(total), float(arrived), rel_tol=1e-9)


@pytest.mark.parametrize("suffix", [".pth", ".pth.tar", ".safetensors"])
def test_file_kinds_and_wrappings(release: dict[str, Tensor], tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"release{suffix}"
    if suffix == ".safetensors":
        save_file(release, path)
    elif suffix == ".pth":
        torch.save(release, path)
    else:
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in release.items()}}, path)
    model = load_mobile_former(path, "vmf_500m", num_classes=5)
    assert model.num_classes == 5
    assert torch.equal(model.state_dict()["tokens"], release["tokens.weight"])


def test_light_cnn_takes_what_it_can_use(release: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "release.safetensors"
    save_file(release, path)
    model = load_mobile_former(path, "vmf_500m", num_classes=5, num_tokens=0)
    weight = model.state_dict()["head_linear.weight"]
    assert torch.equal(weight, release["classifier.fc.0.weight"][:, : weight.shape[1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.3.conv9.0.weight": torch.zeros(1)}, "features.3.conv9.0.weight"),
        ({"features.42.conv1.0.weight": torch.zeros(1)}, "features.42.conv1.0.weight"),
        ({"surprise": torch.zeros(1)}, "'surprise'"),
        ({"stem.0.weight": None}, "missing: stem.conv.weight"),
        ({"stem.0.weight": torch.zeros(2, 2)}, "of another shape: stem.conv.weight"),
        ({"features.1.conv2.0.weight": torch.zeros(9, 1, 3, 3)}, "depthwise.conv.weight"),
        ({"classifier.classifier.1.weight": None}, "missing: classifier.weight"),
    ],
)
def test_entries_that_do_not_fit_are_named(
    release: dict[str, Tensor], tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    changed = {k: v for k, v in {**release, **change}.items() if v is not None}
    path = tmp_path / "release.safetensors"
    save_file(changed, path)
    with pytest.raises(CheckpointError, match=message):
        load_mobile_former(path, "vmf_500m", keep_classifier=True)


def test_another_parent_is_refused(parity: Path) -> None:
    with pytest.raises(CheckpointError, match=r"another shape|not one of the 2-D parent"):
        load_mobile_former(parity / "mobile_former_26m.safetensors", "vmf_3g", num_classes=2)


def test_classifier_is_never_dropped_silently(parity: Path) -> None:
    path = parity / "mobile_former_26m.safetensors"
    with pytest.raises(CheckpointError, match="num_classes for a new head, or keep_classifier"):
        load_mobile_former(path, "vmf_500m")
    with pytest.raises(CheckpointError, match="has 1000 classes, not 7"):
        load_mobile_former(path, "vmf_500m", keep_classifier=True, num_classes=7)


class Bomb:
    """Pickles to a call; reading it must never make that call."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_code_in_a_file_never_runs(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"state_dict": Bomb(trace)}, tmp_path / "bomb.pth")
    with pytest.raises(CheckpointError, match="cannot be read safely"):
        load_mobile_former(tmp_path / "bomb.pth", "vmf_500m", num_classes=2)
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 broken zip"])
def test_broken_files_are_named(tmp_path: Path, content: bytes) -> None:
    for name in ("broken.pth", "broken.safetensors"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=name):
            load_mobile_former(path, "vmf_500m", num_classes=2)
    with pytest.raises(CheckpointError, match="no checkpoint file"):
        load_mobile_former(tmp_path / "absent.pth", "vmf_500m", num_classes=2)

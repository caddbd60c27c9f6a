"""Public MoViNet weights load by name, exactly and safely."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import plain_movinet
from video_mobile_former.errors import CheckpointError, UserError
from video_mobile_former.models import load_movinet
from video_mobile_former.models.baselines.movinet_tables import MOVINETS


@pytest.fixture(scope="module")
def release() -> dict[str, Tensor]:
    return plain_movinet.random_release(MOVINETS["movinet_a0"], 600)


@pytest.fixture(scope="module")
def path(release: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("movinet") / "modelA0_statedict_v3"
    torch.save(release, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
@pytest.mark.parametrize("size", [(44, 44), (43, 64)])
def test_loaded_weights_give_the_plainly_written_logits(
    release: dict[str, Tensor], path: Path, size: tuple[int, int], form: str
) -> None:
    torch.manual_seed(2)
    x = torch.rand(2, 3, 4, *size)
    model = load_movinet(path, "movinet_a0", keep_classifier=True, form=form).eval()
    with torch.no_grad():
        expected = plain_movinet.logits(release, MOVINETS["movinet_a0"], x)
        assert expected.std() > 0.1
        torch.testing.assert_close(model(x), expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(model.fuse()(x), expected, atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["movinet_a1", "movinet_a2"])
def test_the_larger_ones_load_alike(tmp_path: Path, name: str) -> None:
    state = plain_movinet.random_release(MOVINETS[name], 5)
    save_file(state, tmp_path / "weights.safetensors")
    model = load_movinet(tmp_path / "weights.safetensors", name, keep_classifier=True).eval()
    assert len(model.state_dict()) == len(state)
    x = torch.rand(1, 3, 3, 40, 40)
    with torch.no_grad():
        expected = plain_movinet.logits(state, MOVINETS[name], x)
        torch.testing.assert_close(model(x), expected, atol=1e-4, rtol=0)


def test_names_are_those_of_the_release(release: dict[str, Tensor]) -> None:
    assert release["conv1.conv_1.conv3d.weight"].shape == (8, 3, 1, 3, 3)
    assert release["blocks.b2_l0.deep.conv_1.conv3d.weight"].shape == (184, 1, 5, 3, 3)
    assert release["blocks.b4_l0.res.1.conv_1.conv3d.weight"].shape == (104, 56, 1, 1, 1)
    assert "blocks.b3_l0.res.0.conv_1.conv3d.weight" not in release
    assert release["classifier.3.conv_1.conv3d.weight"].shape == (600, 2048, 1, 1, 1)


def test_a_new_head_for_other_classes(release: dict[str, Tensor], path: Path) -> None:
    model = load_movinet(path, "movinet_a0", num_classes=3, drop_rate=0.2, num_frames=16)
    assert model.training
    assert (model.num_classes, model.drop_rate, model.clip.num_frames) == (3, 0.2, 16)
    kept = release["classifier.0.conv_1.conv3d.weight"].flatten(1)
    assert torch.equal(model.head_linear.weight, kept)


def test_training_wrappers_are_looked_through(release: dict[str, Tensor], tmp_path: Path) -> None:
    wrapped = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in release.items()}}
    torch.save(wrapped, tmp_path / "run.pth")
    assert load_movinet(tmp_path / "run.pth", "movinet_a0", num_classes=2).num_classes == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks.b0_l0.bonus.weight": torch.zeros(1)}, "'blocks.b0_l0.bonus.weight' is not one"),
        ({"blocks.b9_l0.alpha": torch.zeros(())}, "'blocks.b9_l0.alpha' is not one of movinet_a0"),
        ({"blocks.b0_l0.res.0.conv_1.norm.bias": torch.zeros(8)}, "res.0.conv_1.norm.bias' is not"),
        ({"surprise": torch.zeros(1)}, "'surprise'"),
        ({"blocks": torch.zeros(1)}, "'blocks'"),
        ({"blocks.b1_l1.alpha": None}, "missing: blocks.2.scale"),
        ({"conv7.conv_1.conv3d.weight": torch.zeros(480, 9, 1, 1, 1)}, "head_conv.conv.weight"),
        ({"blocks.b1_l1.deep.conv_1.conv3d.weight": torch.zeros(80, 1, 1, 3, 3)}, "another shape"),
        ({"classifier.3.conv_1.conv3d.weight": None}, "missing: classifier.weight"),
        ({"conv1.conv_1.conv2d.weight": torch.zeros(8, 3, 3, 3)}, "of a streaming MoViNet"),
    ],
)
def test_entries_that_do_not_fit_are_named(
    release: dict[str, Tensor], tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    changed = {k: v for k, v in {**release, **change}.items() if v is not None}
    save_file(changed, tmp_path / "changed.safetensors")
    with pytest.raises(CheckpointError, match=message) as caught:
        load_movinet(tmp_path / "changed.safetensors", "movinet_a0", keep_classifier=True)
    assert "changed.safetensors" in str(caught.value)


def test_the_wrong_member_is_refused(path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"another shape|missing"):
        load_movinet(path, "movinet_a1", num_classes=2)


def test_what_is_asked_for_must_be_clear(path: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="num_classes for a new head, or keep_classifier"):
        load_movinet(path, "movinet_a0")
    with pytest.raises(CheckpointError, match="has 600 classes, not 7"):
        load_movinet(path, "movinet_a0", keep_classifier=True, num_classes=7)
    with pytest.raises(UserError, match="no MoViNet named 'movinet_a7'"):
        load_movinet(path, "movinet_a7", num_classes=2)
    (tmp_path / "broken").write_bytes(b"PK\x03\x04 broken zip")
    with pytest.raises(CheckpointError, match="broken cannot be read"):
        load_movinet(tmp_path / "broken", "movinet_a0", num_classes=2)

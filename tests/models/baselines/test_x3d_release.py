"""Public X3D weights load by name from either release, exactly and safely."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import plain_x3d
from baseline_networks import clips
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.labels import label_names
from video_mobile_former.errors import CheckpointError, RecipeError, UserError
from video_mobile_former.models import create_model, load_x3d
from video_mobile_former.training.objectives.distill import load_teacher
from video_mobile_former.training.recipe.fields import DistillRecipe

NORM = "s2.pathway0_res0.branch1_bn"


@pytest.fixture(scope="module")
def release() -> dict[str, Tensor]:
    return plain_x3d.random_release(400)


@pytest.fixture(scope="module")
def path(release: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("x3d") / "x3d_s.pyth"
    torch.save({"epoch": 3, "model_state": release, "cfg": "TRAIN:\n  DATASET: kinetics\n"}, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
def test_slowfast_weights_give_the_plainly_written_logits(
    release: dict[str, Tensor], path: Path, form: str
) -> None:
    model = load_x3d(path, "x3d_s", keep_classifier=True, form=form).eval()
    assert (model.num_classes, model.clip.num_frames) == (400, 13)
    with torch.no_grad():
        expected = plain_x3d.logits(release, clips())
        assert expected.std() > 0.1
        assert (expected[0] - expected[1]).abs().max() > 1e-3
        torch.testing.assert_close(model(clips()), expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(model.fuse()(clips()), expected, atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "model."])
def test_pytorchvideo_weights_give_the_plainly_written_logits(
    release: dict[str, Tensor], tmp_path: Path, prefix: str
) -> None:
    without = {k: v for k, v in release.items() if not k.startswith(NORM)}
    named = plain_x3d.pytorchvideo_names(release)
    assert named["blocks.0.conv.conv_xy.weight"].shape == (24, 1, 5, 1, 1)
    assert named["blocks.1.res_blocks.0.branch2.norm_b.1.block.0.weight"].shape[:2] == (8, 54)
    torch.save({"model_state": {prefix + k: v for k, v in named.items()}}, tmp_path / "X3D_XS.pyth")
    model = load_x3d(tmp_path / "X3D_XS.pyth", "x3d_xs", keep_classifier=True).eval()
    assert sum(p.numel() for p in model.parameters()) == 3_794_274
    assert sum(v.numel() for k, v in named.items() if "running" not in k and "num_b" not in k) == (
        3_794_274
    )
    with torch.no_grad():
        expected = plain_x3d.logits(without, clips())
        torch.testing.assert_close(model(clips()), expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_a_new_head_for_other_classes(release: dict[str, Tensor], path: Path) -> None:
    model = load_x3d(path, "x3d_m", num_classes=3, drop_rate=0.5)
    assert model.training
    assert (model.num_classes, model.drop_rate, model.clip.num_frames) == (3, 0.5, 16)
    assert torch.equal(model.head_linear.weight, release["head.lin_5.weight"].flatten(1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s2.pathway0_res0.bonus": torch.zeros(1)}, "'s2.pathway0_res0.bonus' is not one of X3D"),
        ({"s2.pathway0_res3.branch2.a.weight": torch.zeros(1)}, "res3.branch2.a.weight' is not"),
        ({"surprise": torch.zeros(1)}, "'surprise'"),
        ({"s3.pathway0_res1.branch2.c_bn.bias": None}, "missing: blocks.4.project.norm.bias"),
        ({f"{NORM}.running_var": None}, "unknown: blocks.0.shortcut.norm.bias"),
        ({"head.conv_5.weight": torch.zeros(432, 9, 1, 1, 1)}, "head_conv.conv.weight"),
        ({"head.projection.weight": None}, "missing: classifier.weight"),
    ],
)
def test_entries_that_do_not_fit_are_named(
    release: dict[str, Tensor], tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    changed = {k: v for k, v in {**release, **change}.items() if v is not None}
    save_file(changed, tmp_path / "changed.safetensors")
    with pytest.raises(CheckpointError, match=message) as caught:
        load_x3d(tmp_path / "changed.safetensors", "x3d_s", keep_classifier=True)
    assert "changed.safetensors" in str(caught.value)


def test_what_is_asked_for_must_be_clear(path: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="load_x3d needs num_classes for a new head"):
        load_x3d(path, "x3d_s")
    with pytest.raises(CheckpointError, match="has 400 classes, not 7"):
        load_x3d(path, "x3d_s", keep_classifier=True, num_classes=7)
    with pytest.raises(UserError, match="no X3D named 'x3d_l'"):
        load_x3d(path, "x3d_l", num_classes=2)
    with pytest.raises(UserError, match="takes no argument 'num_tokens'"):
        load_x3d(path, "x3d_s", num_classes=2, num_tokens=3)
    (tmp_path / "broken.pyth").write_bytes(b"PK\x03\x04 broken zip")
    with pytest.raises(CheckpointError, match=r"broken.pyth cannot be read"):
        load_x3d(tmp_path / "broken.pyth", "x3d_s", num_classes=2)


@pytest.mark.slow
def test_the_weights_teach_a_student_of_the_same_classes(path: Path) -> None:
    student = create_model("vmf_500m_cnn", 400, num_frames=4, crop_size=64)
    student.class_names = label_names("kinetics400")
    recipe = DistillRecipe(teacher="x3d_s", weights=str(path), label_file="kinetics400")
    teacher = load_teacher(recipe, student.train())
    assert teacher is not None
    model = load_x3d(path, "x3d_s", keep_classifier=True, num_frames=4, crop_size=64).eval()
    pixels = torch.rand(2, 3, 4, 64, 64)

    def normalised(clip: ClipSpec) -> Tensor:
        mean, std = (torch.tensor(v).view(1, 3, 1, 1, 1) for v in (clip.mean, clip.std))
        return (pixels - mean) / std

    with torch.no_grad():
        expected = model(normalised(model.clip))
    torch.testing.assert_close(
        teacher.logits(normalised(student.clip)), expected, atol=1e-3, rtol=1e-3
    )
    with pytest.raises(RecipeError, match=r"does not name its classes; --distill\.label_file"):
        load_teacher(DistillRecipe(teacher="x3d_s", weights=str(path)), student)

"""Models of other makers as teachers: what they are not told by their file, the recipe tells."""

from __future__ import annotations

import functools
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from video_mobile_former import create_model
from video_mobile_former.errors import RecipeError
from video_mobile_former.models import VideoModel
from video_mobile_former.training.fit import fit
from video_mobile_former.training.objectives.distill import load_teacher
from video_mobile_former.training.recipe.fields import DistillRecipe, Recipe

CLASSES = ("fall", "jump", "walk")
SHAPE = (2, 3, 4, 32, 32)


class Theirs(nn.Module):
    """Mean brightness of each colour: three scores."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(3, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean((2, 3, 4)))


THREE, TWO = Theirs(), Theirs(2)


def student(names: tuple[str, ...] = CLASSES) -> VideoModel:
    torch.manual_seed(0)
    model = create_model("vmf_500m_cnn", len(names), num_frames=4, crop_size=32)
    model.class_names = names
    return model.train()


@functools.cache
def exported(model: nn.Module, free: bool) -> bytes:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    shapes: Any = {"x": {0: torch.export.Dim("batch")}} if free else None
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        path = Path(folder, "t.onnx")
        torch.onnx.export(model, (torch.rand(SHAPE),), path, dynamic_shapes=shapes, verbose=False)
        return path.read_bytes()


def written(path: Path, model: nn.Module, *, free: bool = True) -> str:
    path.write_bytes(exported(model, free))
    return str(path)


@pytest.fixture
def labels(tmp_path: Path) -> str:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(CLASSES), encoding="utf-8")
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("free", [True, False])
def test_it_gives_its_scores_in_its_own_normalisation(
    free: bool, labels: str, tmp_path: Path
) -> None:
    theirs = Theirs().eval()
    recipe = DistillRecipe(
        teacher=written(tmp_path / "t.onnx", theirs, free=free),
        label_file=labels,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    model = student()
    teacher = load_teacher(recipe, model)
    assert teacher is not None
    pixels = torch.rand(3, *SHAPE[1:])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1, 1) for v in (model.clip.mean, model.clip.std))
    with torch.no_grad():
        expected = theirs(pixels)
    torch.testing.assert_close(teacher.logits((pixels - mean) / std), expected, atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"t\.onnx does not name its classes; --distill\.label_file FILE names them"),
        ({"label_file": "four.txt"}, "has 4 classes and the data 3; they differ in sit"),
        (
            {"teacher": "two.onnx", "label_file": "three.txt"},
            r"distill\.label_file: two\.onnx gives \(2, 2\) for .*, not logits \(2, 3\)",
        ),
        ({"label_file": "other.txt"}, "in another order"),
        ({"label_file": "none.txt"}, r"label file none\.txt: No such file"),
        ({"weights": "w.pyth"}, r"distill\.weights goes with the name of a network"),
    ],
)
def test_what_is_missing_or_wrong_is_said(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("four.txt").write_text("fall\njump\nwalk\nsit", encoding="utf-8")
    Path("other.txt").write_text("walk\njump\nfall", encoding="utf-8")
    Path("three.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    written(Path("t.onnx"), THREE)
    written(Path("two.onnx"), TWO)
    with pytest.raises(RecipeError, match=message):
        load_teacher(DistillRecipe(**{"teacher": "t.onnx", **changes}), student())


@pytest.mark.slow
def test_a_damaged_file_and_a_field_that_tells_nothing_are_refused(
    tmp_path: Path, labels: str
) -> None:
    for absent in ("absent.onnx", "absent.pt"):
        with pytest.raises(RecipeError, match=r"no artefact at absent|no checkpoint folder at abs"):
            load_teacher(DistillRecipe(teacher=absent, label_file=labels), student())
    (tmp_path / "X3D_M.pyth").write_bytes(b"")
    with pytest.raises(RecipeError, match=r"has weights alone; give --distill\.weights .*X3D_M"):
        load_teacher(DistillRecipe(teacher=str(tmp_path / "X3D_M.pyth")), student())
    script = tmp_path / "t.pt"
    script.write_bytes(b"a program")
    with pytest.raises(RecipeError, match=r"distill\.label_file: .*t\.pt tells that itself"):
        load_teacher(DistillRecipe(teacher=str(script), label_file=labels), student())
    with pytest.raises(RecipeError, match=r"distill\.mean describes distill\.teacher"):
        DistillRecipe(mean=(0.0, 0.0, 0.0))
    with pytest.raises(RecipeError, match=r"distill\.std must be above 0"):
        DistillRecipe(teacher="x", std=(0.0, 1.0, 1.0))
    folder = tmp_path / "folder"
    own = student().eval()
    own.save_pretrained(folder)
    with pytest.raises(RecipeError, match=r"distill\.label_file: .*folder tells that itself"):
        load_teacher(DistillRecipe(teacher=str(folder), label_file=labels), student())


@pytest.mark.slow
def test_a_run_learns_from_one(
    small_recipe: Callable[..., Recipe], clips_csv: Path, tmp_path: Path
) -> None:
    names = sorted({line.split(",")[1] for line in clips_csv.read_text().splitlines()[1:]})
    labels = tmp_path / "names.txt"
    labels.write_text("\n".join(names), encoding="utf-8")
    path = written(tmp_path / "t.onnx", Theirs(len(names)))
    changes: dict[str, Any] = {"distill__teacher": path, "distill__label_file": str(labels)}
    result = fit(small_recipe(train__epochs=1, model__name="vmf_500m_cnn", **changes))
    assert result.epochs == 1

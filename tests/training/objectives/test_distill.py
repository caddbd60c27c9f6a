"""Distillation: the loss is what its equation says, and only a teacher that fits is taken."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.loading.dataset import Batch
from video_mobile_former.data.transforms import normalize
from video_mobile_former.errors import RecipeError, UserError
from video_mobile_former.export.artefact import ArtefactInfo, ArtefactInput, InputDtype
from video_mobile_former.export.runner import ExportedModel
from video_mobile_former.models import VideoModel, create_model
from video_mobile_former.training.fit import fit
from video_mobile_former.training.loop import Learner, Training
from video_mobile_former.training.objectives import distill
from video_mobile_former.training.objectives.choose import Known, make_objective
from video_mobile_former.training.objectives.distill import (
    Distillation,
    Teacher,
    distillation_loss,
    load_teacher,
)
from video_mobile_former.training.recipe.fields import DistillRecipe, Recipe

Make = Callable[..., Recipe]
Read = Callable[[Any], list[dict[str, str]]]

CLASSES = ("fall", "jump", "walk")


def student(**overrides: Any) -> VideoModel:
    torch.manual_seed(0)
    model = create_model("vmf_500m_cnn", 3, num_frames=4, crop_size=32, **overrides)
    model.class_names = CLASSES
    return model.train()


def save_teacher(
    folder: Path,
    names: tuple[str, ...] | None = CLASSES,
    *,
    multi_label: bool = False,
    name: str = "vmf_500m_cnn",
) -> str:
    torch.manual_seed(1)
    model = create_model(name, 3 if names is None else len(names), num_frames=4, crop_size=32)
    model.class_names, model.multi_label = names, multi_label
    model.eval().save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_softmaxes_are_compared_as_the_equation_says(temperature: float) -> None:
    torch.manual_seed(0)
    ours, theirs = torch.randn(4, 5), torch.randn(4, 5)
    p, q = (theirs / temperature).softmax(1), (ours / temperature).softmax(1)
    expected = temperature**2 * (p * (p / q).log()).sum(1).mean()
    found = distillation_loss(ours, theirs, temperature=temperature, kind="cross_entropy")
    torch.testing.assert_close(found, expected)
    same = distillation_loss(ours, ours + 2, temperature=temperature, kind="cross_entropy")
    assert same.abs() < 1e-6


def test_classes_by_themselves_are_compared_as_the_equation_says() -> None:
    torch.manual_seed(0)
    ours, theirs = 3 * torch.randn(4, 5), 3 * torch.randn(4, 5)
    p, q = (theirs / 2).sigmoid(), (ours / 2).sigmoid()
    expected = 4 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    found = distillation_loss(ours, theirs, temperature=2.0, kind="bce")
    torch.testing.assert_close(found, expected)
    far = distillation_loss(ours, torch.full_like(ours, 200.0), temperature=1.0, kind="bce")
    assert far.isfinite()


def test_the_teacher_sees_the_same_pixels_in_its_own_normalisation() -> None:
    class Watcher(nn.Module):
        clip = ClipSpec(num_frames=4, crop_size=32, mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
        takes_uint8 = False
        seen: Tensor

        def forward(self, x: Tensor) -> Tensor:
            self.seen = x
            return x.flatten(1)[:, :3]

    pixels = torch.rand(2, 3, 4, 32, 32)
    spec = ClipSpec()
    shape = (1, 3, 1, 1, 1)
    clips = (pixels - torch.tensor(spec.mean).view(shape)) / torch.tensor(spec.std).view(shape)
    watcher = Watcher()
    Teacher(watcher, spec).logits(clips)
    own = (pixels - torch.tensor((0.1, 0.2, 0.3)).view(shape)) / torch.tensor((0.5, 1.0, 2.0)).view(
        shape
    )
    torch.testing.assert_close(watcher.seen, own, atol=1e-5, rtol=0)
    Watcher.takes_uint8 = True
    Teacher(watcher, spec).logits(clips)
    assert torch.equal(watcher.seen, (pixels * 255).round().to(torch.uint8))


def test_a_teacher_of_one_device_gets_the_clips_there() -> None:
    class CpuOnly(nn.Module):
        clip = ClipSpec(num_frames=4, crop_size=32)
        only_device = torch.device("meta")  # any but that of the clips
        seen: Tensor

        def forward(self, x: Tensor) -> Tensor:
            self.seen = x
            return torch.zeros(len(x), 3)

    teacher = CpuOnly()
    logits = Teacher(teacher, ClipSpec()).logits(torch.rand(2, 3, 4, 32, 32))
    assert teacher.seen.device.type == "meta"
    assert logits.device.type == "cpu"


def objective(recipe: Recipe, model: VideoModel) -> Distillation:
    made = make_objective(Known(recipe, model))
    assert isinstance(made, Distillation)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_loss_and_gradients_are_mixed(tmp_path: Path, small_recipe: Make, weight: float) -> None:
    model = student()
    recipe = small_recipe(
        distill__teacher=save_teacher(tmp_path / "t"),
        distill__weight=weight,
        distill__temperature=4.0,
        optim__label_smoothing=0.0,
    )
    taught = objective(recipe, model)
    teacher = taught.teacher
    before = {k: v.clone() for k, v in teacher.model.state_dict().items()}
    batch = Batch(
        clips=torch.randint(0, 256, (2, 1, 3, 4, 32, 32), dtype=torch.uint8),
        labels=torch.tensor([0, 2]),
        indices=torch.arange(2),
        failures=[],
        padded=[],
    )
    clips = normalize(batch["clips"].flatten(0, 1), model.clip)
    logits = model(clips)
    label_loss = nn.functional.cross_entropy(logits, batch["labels"])
    expected = (1 - weight) * label_loss + weight * distillation_loss(
        logits, teacher.model(clips), temperature=4.0, kind="cross_entropy"
    )
    found, figures = taught.step(model, batch, [0, 0, 0, 0])
    torch.testing.assert_close(found, expected)
    assert figures["top1"] == (logits.argmax(1) == batch["labels"]).sum()
    found.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert all(p.grad is None and not p.requires_grad for p in teacher.model.parameters())
    assert not teacher.model.training
    assert all(torch.equal(v, before[k]) for k, v in teacher.model.state_dict().items())


@pytest.mark.slow
def test_a_teacher_is_no_part_of_what_is_trained(tmp_path: Path, small_recipe: Make) -> None:
    model = student()
    taught = objective(small_recipe(distill__teacher=save_teacher(tmp_path / "t")), model)
    learner = Learner(model, taught)
    assert len(list(learner.parameters())) == len(list(model.parameters()))
    assert learner.state_dict().keys() == {f"model.{key}" for key in model.state_dict()}
    learner.train()
    assert not taught.teacher.model.training
    assert copy.deepcopy(taught).teacher is taught.teacher


def test_no_teacher_is_none() -> None:
    assert load_teacher(DistillRecipe(), student()) is None


@pytest.mark.parametrize(
    ("names", "multi_label", "message"),
    [
        (None, False, "does not name its classes"),
        (("jump", "fall", "walk"), False, r"another order; .*data\.label_file"),
        (("fall", "jump"), False, "has 2 classes and the data 3; they differ in walk"),
        (("fall", "jump", "sit"), False, "differ in sit, walk"),
        (CLASSES, True, "trained for several classes a clip, the data has one class a clip"),
    ],
)
def test_other_classes_are_refused(
    tmp_path: Path, names: tuple[str, ...] | None, multi_label: bool, message: str
) -> None:
    folder = save_teacher(tmp_path / "t", names, multi_label=multi_label)
    with pytest.raises(RecipeError, match=message) as caught:
        load_teacher(DistillRecipe(teacher=folder), student())
    assert str(caught.value).startswith(f"distill.teacher: {folder}")


def test_what_is_no_teacher_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="whose weights are random; give a checkpoint folder"):
        load_teacher(DistillRecipe(teacher="vmf_1g"), student())
    with pytest.raises(RecipeError, match=r"distill\.teacher: no checkpoint folder at .*nothing"):
        load_teacher(DistillRecipe(teacher=str(tmp_path / "nothing")), student())

    class Narrow(nn.Module):
        clip, class_names, multi_label = ClipSpec(num_frames=8), CLASSES, False

        def forward(self, x: Tensor) -> Tensor:
            raise UserError(f"takes 8 frames of 224×224, not {x.shape[2]} of {x.shape[3]}")

    monkeypatch.setattr(distill, "load_model", lambda name: Narrow())
    with pytest.raises(RecipeError, match=r"teacher\.onnx does not take .*not 4 of 32; set clip"):
        load_teacher(DistillRecipe(teacher="teacher.onnx"), student())


def artefact(model: VideoModel, dtype: InputDtype) -> ExportedModel:
    """The model as an artefact for one clip at a time that computes in eager torch."""
    size = (model.clip.crop_size,) * 2
    shape = (1, 3, model.clip.num_frames, *size)
    info = ArtefactInfo(
        target="torch",
        form="volume",
        precision="fp32",
        input=ArtefactInput("clip", dtype, "BCTHW", shape, (), 1),
        clip=model.clip,
        num_classes=3,
        class_names=CLASSES,
        multi_label=False,
        architecture={"class": type(model).__name__, "arguments": model.architecture},
        parameters=1,
        macs_per_view=1,
    )
    fused = model.eval().fuse()

    def run(*given: np.ndarray) -> Sequence[np.ndarray]:
        (inputs,) = given
        x = torch.from_numpy(inputs)
        if dtype == "uint8":
            x = normalize(x, model.clip)
        with torch.no_grad():
            return [fused(x).numpy()]

    return ExportedModel(info, run, path="teacher.pt2", threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_an_artefact_teaches_as_the_model_it_came_from(
    dtype: InputDtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    origin = create_model("movinet_a0", 3, num_frames=4, crop_size=32)
    monkeypatch.setattr(distill, "load_model", lambda name: artefact(origin, dtype))
    model = student()
    teacher = load_teacher(DistillRecipe(teacher="teacher.pt2"), model)
    assert teacher is not None
    pixels = torch.randint(0, 256, (3, 3, 4, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        expected = origin.eval()(normalize(pixels, origin.clip))
    found = teacher.logits(normalize(pixels, model.clip))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    other = create_model("vmf_500m_cnn", 3, num_frames=8, crop_size=32)
    other.class_names = CLASSES
    with pytest.raises(RecipeError, match=r"clips of this run: teacher\.pt2 takes .* 4, 32, 32"):
        load_teacher(DistillRecipe(teacher="teacher.pt2"), other)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"distill__weight": 1.5}, r"distill\.weight must be 0 to 1"),
        ({"distill__temperature": 0.0}, r"distill\.temperature must be above 0"),
        ({"distill__teacher": ""}, r"distill\.teacher must be a checkpoint folder"),
    ],
)
def test_values_out_of_range_are_named(
    small_recipe: Make, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        small_recipe(**values)


@pytest.mark.slow
def test_training_with_a_teacher_resumes(
    small_recipe: Make, tmp_path: Path, read_metrics: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fit(small_recipe(out=str(tmp_path / "teacher"), train__epochs=1))
    changes = {"distill__teacher": str(first.last), "model__name": "vmf_500m_cnn"}
    changes |= {"train__checkpoint_every_n_steps": 1, "train__epochs": 1}

    def run(name: str, **more: Any) -> Path:
        fit(small_recipe(out=str(tmp_path / name), **changes | more))
        return tmp_path / name

    whole, alone = run("whole"), run("alone", distill__teacher=None)
    assert read_metrics(whole) != read_metrics(alone)
    original = Training.step
    crashes = [True]

    def crash_once(self: Training, batch: Any) -> Tensor:
        if self.position.step == 2 and crashes:
            crashes.pop()
            raise RuntimeError("a crash")
        return original(self, batch)

    monkeypatch.setattr(Training, "step", crash_once)
    with pytest.raises(RuntimeError, match="a crash"):
        run("broken")
    assert read_metrics(run("broken")) == read_metrics(whole)
    one, other = (load_file(f / "last" / "model.safetensors") for f in (whole, tmp_path / "broken"))
    assert all(torch.equal(one[key], other[key]) for key in one)

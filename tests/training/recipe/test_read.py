from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.errors import RecipeError
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.keys import types_by_key
from video_mobile_former.training.recipe.read import (
    load_recipe,
    recipe_differences,
    recipe_from_dict,
    recipe_to_dict,
    save_recipe,
)


def test_defaults_without_any_word() -> None:
    assert recipe_from_dict({}) == Recipe()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim:\n  lrr: 1", "unknown key optim.lrr; did you mean optim.lr?"),
        ("optimm:\n  lr: 1", "unknown section optimm; did you mean optim?"),
        ("lr: 1", "did you mean optim.lr?"),
        ("optim:\n  lr: fast", "optim.lr must be a number, not 'fast'"),
        ("optim:\n  lr: true", "optim.lr must be a number, not True"),
        ("optim:\n  lr: {a: 1}", "optim.lr must be a number"),
        ("train:\n  epochs: 1.5", "train.epochs must be a whole number, not 1.5"),
        ("seed:\n  a: 1", "seed must be a whole number, 0 to 4294967295, not a section"),
        ("optim: 3", "unknown key optim"),
        ("optim:\n  lr: 1\n  lr: 2", "line 3: the key lr is given twice"),
        ("optim: [", "line"),
        ("- a\n- b", "must hold keys and values"),
        ("data:\n  val_fraction: 1.5", "data.val_fraction must be 0 to 0.9, not 1.5"),
        ("!!python/object/apply:os.system ['true']", "line 1"),
    ],
)
def test_wrong_files(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError) as error:
        load_recipe(file)
    assert str(file) in str(error.value)
    assert message in str(error.value)


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="no UTF-8"):
        load_recipe(tmp_path / "r.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load_recipe(tmp_path / "empty.yaml") == Recipe()
    (tmp_path / "hollow.yaml").write_text("optim:\n  # lr: 1\n")
    assert load_recipe(tmp_path / "hollow.yaml") == Recipe()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optim.lr", 0.0),
        ("optim.lr", float("inf")),
        ("optim.lr", float("nan")),
        ("optim.min_lr", 1.0),
        ("optim.betas", [0.9, 1.0]),
        ("optim.lr_batch", -1),
        ("optim.layer_decay", 0.0),
        ("optim.layer_decay", 1.1),
        ("optim.momentum", 1.0),
        ("optim.steps", [0.5, 0.0]),
        ("optim.step_factor", 0.0),
        ("optim.gradient_clip", 0.0),
        ("optim.label_smoothing", 1.0),
        ("optim.warmup_epochs", -1.0),
        ("train.epochs", 0),
        ("train.batch_size", 1),
        ("train.accumulate", 0),
        ("train.ema_decay", 1.0),
        ("train.patience", -1),
        ("train.checkpoint_every_minutes", 0.0),
        ("augment.scale", [0.0, 1.0]),
        ("augment.scale", [0.9, 0.5]),
        ("augment.ratio", [0.0, 1.0]),
        ("augment.color_jitter", 2.0),
        ("clip.num_frames", 0),
        ("data.num_workers", -1),
        ("model.name", ""),
        ("model.temporal_kernel", 2),
        ("model.drop_rate", 1.0),
        ("seed", -1),
    ],
)
def test_values_out_of_range_name_their_key(key: str, value: Any) -> None:
    with pytest.raises(RecipeError, match=f"{key} must be "):
        recipe_from_dict({key: value})


_VALUES = {
    "optim.lr": st.floats(1e-5, 1.0),
    "optim.betas": st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
    "optim.steps": st.lists(st.floats(0.1, 90), max_size=4).map(tuple),
    "optim.gradient_clip": st.none() | st.floats(0.1, 10),
    "train.epochs": st.integers(1, 500),
    "train.precision": st.sampled_from(["fp32", "bf16", "fp16"]),
    "data.path": st.none() | st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
    "data.class_balanced": st.booleans(),
    "clip.sampling": st.sampled_from([None, "uniform", "dense"]),
    "seed": st.integers(0, 2**32 - 1),
}


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(values=st.fixed_dictionaries({}, optional=_VALUES))
def test_saved_recipe_reads_back_equal(
    values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    recipe = recipe_from_dict(values)
    file = tmp_path_factory.mktemp("recipe") / "r.yaml"
    save_recipe(recipe, file)
    assert load_recipe(file) == recipe
    assert recipe_from_dict(recipe_to_dict(recipe)) == recipe
    changed = {key for key in values if recipe_from_dict({key: values[key]}) != Recipe()}
    assert set(recipe_differences(recipe, Recipe())) == changed


def test_an_old_name_of_a_field_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("pretrain:\n  drawing: [speed=0.5]\n")
    assert load_recipe(path).pretrain.procedural == ("speed=0.5",)
    path.write_text("pretrain.drawing: [speed=0.5]\npretrain.procedural: [speed=1]\n")
    with pytest.raises(RecipeError, match=r"given twice: pretrain\.procedural"):
        load_recipe(path)


def test_how_a_run_is_started_is_not_part_of_it(tmp_path: Path) -> None:
    recipe = recipe_from_dict({"overwrite": True, "resume": False})
    save_recipe(recipe, tmp_path / "r.yaml")
    assert load_recipe(tmp_path / "r.yaml") == Recipe()
    assert recipe_differences(recipe, Recipe()) == {}


def test_differences_name_keys_and_both_values() -> None:
    one, two = recipe_from_dict({"optim.lr": 0.1}), recipe_from_dict({"seed": 3})
    assert recipe_differences(one, two) == {"optim.lr": (0.1, 1e-3), "seed": (0, 3)}


def test_recipes_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().seed = 1  # type: ignore[misc]  # the point of the test


def test_reading_a_recipe_imports_neither_torch_nor_lightning() -> None:
    code = (
        "import sys, video_mobile_former.training.recipe.read as r;"
        "r.recipe_from_dict({'seed': 1});"
        "assert not {'lightning', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_yaml_reads_every_key_as_text() -> None:
    """YAML 1.1 takes on, off, yes and no for true and false, also as keys."""
    for key in types_by_key():
        for part in key.split("."):
            assert list(yaml.safe_load(f"{part}: 1")) == [part]

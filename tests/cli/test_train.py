"""The options of ``vmf train``, which are the keys of a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from video_mobile_former.cli.main import main
from video_mobile_former.cli.train import recipe_from_words
from video_mobile_former.errors import RecipeError, UserError
from video_mobile_former.ranges import docs, hints, in_words
from video_mobile_former.training.recipe.fields import OptimRecipe, Recipe
from video_mobile_former.training.recipe.keys import home, types_by_key
from video_mobile_former.training.recipe.read import load_recipe, recipe_from_dict


def test_options_of_other_commands_are_short_forms() -> None:
    recipe = recipe_from_words(["--format", "jester", "--fold=2", "--multi_label", "--data", "x"])
    assert recipe.data.format == "jester"
    assert (recipe.data.fold, recipe.data.multi_label, recipe.data.path) == (2, True, "x")
    with pytest.raises(UserError, match=r"unknown option --formt; did you mean --format\?"):
        recipe_from_words(["--formt", "jester"])
    with pytest.raises(RecipeError, match=r"recipe: unknown key format; did you mean data\.format"):
        recipe_from_dict({"format": "jester"})


def test_options_are_fields() -> None:
    line = (
        "--data clips --model=vmf_1g --optim.lr 2e-3 --train.epochs 30 --augment.scale [0.3,1] "
        "--optim.gradient_clip null --clip.stride 2 --out runs/x --seed 7 --overwrite "
        "--data.class_balanced"
    )
    recipe = recipe_from_words(line.split())
    assert recipe.data.path == "clips"
    assert recipe.model.name == "vmf_1g"
    assert recipe.optim == OptimRecipe(lr=2e-3, gradient_clip=None)
    assert recipe.train.epochs == 30
    assert recipe.augment.scale == (0.3, 1.0)
    assert recipe.clip.stride == 2
    assert (recipe.out, recipe.seed, recipe.overwrite) == ("runs/x", 7, True)
    assert recipe.data.class_balanced
    assert recipe_from_words(["--data.class_balanced", "false"]) == Recipe()


def test_options_win_over_the_file_and_the_last_option_over_the_first(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("model: vmf_1g\noptim:\n  lr: 1e-2\n  weight_decay: 0.1\n")
    recipe = recipe_from_words([str(file), "--optim.lr", "3", "--optim.lr=4e-3"])
    assert recipe.optim == OptimRecipe(lr=4e-3, weight_decay=0.1)
    assert recipe.model.name == "vmf_1g"
    assert load_recipe(file).optim.lr == 1e-2  # YAML 1.1 would read 1e-2 as text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--optim.lrr", "1"], "unknown option --optim.lrr; did you mean --optim.lr?"),
        (["--optim.l", "1"], "unknown option --optim.l; did you mean --optim.lr?"),
        (["--lrr", "1"], "did you mean --lr?"),
        (["--train.batch-size", "8"], "did you mean --train.batch_size?"),
        (["--optim.batch_size", "8"], "did you mean --train.batch_size?"),
        (["--train.device", "cude"], "--device: must be one of auto, cpu, cuda, mps, gpu"),
        (["--dat", "x"], "did you mean --data?"),
        (["--zzzzzz", "1"], "unknown option --zzzzzz (see vmf train --help)"),
        (["--optim.lr"], "--lr: expected one argument"),
        (["--optim.lr", "--seed", "1"], "--lr: expected one argument"),
        (["--optim.lr", "fast"], "--lr: must be a number, not 'fast'"),
        (["--train.epochs", "2.5"], "--epochs: must be a whole number, not '2.5'"),
        (["--train.precision", "int8"], "one of fp32, bf16, fp16"),
        (["--optim.betas", "0.9"], "--optim.betas: must be 2 numbers in a list"),
        (["--optim.steps", "x"], "--optim.steps: must be numbers in a list such as [0.5, 0.75]"),
        (["--optim.schedule", "step", "--optim.steps", "[]"], "optim.steps must be one or more"),
        (["--model.num_tokens", "-1"], "--model.num_tokens: must be 0 to 1024, or null, not"),
        (["-x"], "unknown option -x"),
        (["clips"], "'clips' is neither an option, nor a .yaml file, nor a shipped recipe"),
        (["./clips"], "'./clips' is neither an option nor a .yaml recipe"),
        (["folder_smal"], "nor a shipped recipe; did you mean folder_small?"),
        (["a.yaml", "b.yaml"], "one recipe file at most"),
        (["missing.yaml"], "cannot read the recipe missing.yaml"),
    ],
)
def test_wrong_words(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        recipe_from_words(words)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_help_shows_every_field_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        recipe_from_words(["--data", "x", "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    flat = " ".join(shown.split())
    for key in types_by_key():
        assert f"--{key} " in shown
        section, name = home(key)
        text = docs(section)[name]
        assert len(text) > 10, f"{key} has no docstring"
        assert text in flat
        assert in_words(hints(section)[name])
    assert "Default: 0.001." in flat


def test_short_names_of_the_common_options() -> None:
    line = "--epochs 3 --size 96 --frames 8 --batch 4 --lr 0.01 --device cpu"
    recipe = recipe_from_words(line.split())
    assert (recipe.train.epochs, recipe.train.batch_size, recipe.train.device) == (3, 4, "cpu")
    assert (recipe.clip.crop_size, recipe.clip.num_frames, recipe.optim.lr) == (96, 8, 0.01)
    assert recipe_from_words(["--train.accelerator", "gpu"]).train.device == "gpu"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--extend", "2"], "takes the folder of the run"),
        (["--extend", "2", "--out", "nowhere"], "nowhere holds no run"),
        (["--extend", "2", "--out", "nowhere", "--lr", "1"], "not --optim.lr too"),
        (["--extend", "0", "--out", "nowhere"], "1 to 1000000"),
    ],
)
def test_what_cannot_be_extended_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line

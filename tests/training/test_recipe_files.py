"""Every file in recipes/ loads, says only what differs from the defaults, and takes a step."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe import Recipe, load_recipe, recipe_differences

FILES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def test_there_are_recipes() -> None:
    assert {"folder_small.yaml", "demo.yaml"} <= {file.name for file in FILES}


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


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recipe_takes_a_step(
    file: Path, clips_csv: Path, tmp_path: Path, read_metrics: Callable[[Any], list[Any]]
) -> None:
    recipe = load_recipe(file)
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
        data=replace(recipe.data, path=str(tmp_path / "two.csv"), val_fraction=0.0, num_workers=0),
        train=replace(recipe.train, epochs=1, batch_size=2, accelerator="cpu", log_every_n_steps=1),
    )
    assert fit(recipe).step == 1
    assert float(read_metrics(recipe.out)[0]["loss"]) > 0


def test_recipes_in_the_docs_load(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        (tmp_path / "r.yaml").write_text(block, encoding="utf-8")
        assert recipe_differences(load_recipe(tmp_path / "r.yaml"), Recipe())

"""Clips without labels: features of hidden parts are learned, and then fine-tuned."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.index.source import DataSource
from video_mobile_former.errors import DataError, RecipeError
from video_mobile_former.models.registry import load_checkpoint
from video_mobile_former.training.build import build_model
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.fields import Recipe

Make = Callable[..., Recipe]


@pytest.fixture
def flat(clips_csv: Path, tmp_path: Path) -> Path:
    """Ten videos in a folder and one below it."""
    folder = tmp_path / "videos"
    (folder / "more").mkdir(parents=True)
    for i, path in enumerate(sorted(clips_csv.parent.rglob("*.mp4"))[:11]):
        shutil.copy(path, folder / ("more" if i == 10 else ".") / f"{i:02}.mp4")
    return folder


def test_a_folder_of_videos_is_an_index(flat: Path, tmp_path: Path) -> None:
    index = load_index(DataSource(str(flat), format="unlabelled"))
    assert len(index) == 11
    assert index.class_names == ("unlabelled",)
    assert index.clips[10].name == "more/10.mp4"
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no videos in it"):
        load_index(DataSource(str(tmp_path / "none"), format="unlabelled"))


@pytest.mark.slow
def test_from_videos_to_a_classifier(
    flat: Path, small_recipe: Make, tmp_path: Path, read_metrics: Any
) -> None:
    recipe = small_recipe(
        out=str(tmp_path / "pre"),
        data__path=str(flat),
        data__val_fraction=0.3,
        pretrain__task="masked_features",
        train__batch_size=4,
        train__epochs=1,
    )
    result = fit(recipe)
    rows = read_metrics(result.out)
    assert {row["row"] for row in rows} == {"step", "train", "val"}
    assert all(0 < float(row["loss"]) < 5 for row in rows)
    assert not any(row["top1"] for row in rows)
    assert result.best is not None
    config = json.loads((result.best / "config.json").read_text())
    assert config["class_names"] is None
    assert config["training"]["recipe"]["pretrain"]["task"] == "masked_features"
    # The head is made anew; all else is taken over.
    start = load_checkpoint(result.best).state_dict()
    model = build_model(small_recipe(model__name=str(result.best)), tuple("abc"))
    for key, value in model.state_dict().items():
        if key.startswith("classifier."):
            assert value.shape[0] == 3
        else:
            assert torch.equal(value, start[key])


@pytest.mark.slow
def test_what_needs_labels_is_refused(small_recipe: Make) -> None:
    task = {"pretrain__task": "masked_features"}
    for key, value in (
        ("augment__mixup_alpha", 0.2),
        ("data__class_balanced", True),
        ("optim__class_weights", "balanced"),
    ):
        with pytest.raises(RecipeError, match=rf"{key.replace('__', '.')} needs labels"):
            fit(small_recipe(**task, **{key: value}))
    with pytest.raises(RecipeError, match="without labels there is only the loss"):
        fit(small_recipe(**task, train__best_by="top1"))

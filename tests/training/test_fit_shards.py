"""Training and measuring on shards, here and behind a URL."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from video_mobile_former.cli.main import main
from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.prepare.settings import ShardSettings
from video_mobile_former.data.prepare.write_shards import write_shards
from video_mobile_former.errors import DataError, RecipeError
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.fields import Recipe


@pytest.fixture(scope="module")
def shards(clips_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    write_shards(load_index(str(clips_csv)), folder, ShardSettings(clips_per_shard=7))
    return folder


@pytest.mark.slow
def test_train_and_evaluate(
    shards: Path,
    small_recipe: Callable[..., Recipe],
    read_metrics: Callable[[Any], list[dict[str, str]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    common = {"data__shuffle": "shards", "data__shard_window": 2, "train__epochs": 1}
    result = fit(small_recipe(data__path=str(shards / "shards.json"), **common))
    assert result.epochs == 1
    assert result.best is not None
    # The same shards behind a URL give the same run, and there `auto` stays near the shards.
    system = fsspec.filesystem("memory")
    for path in shards.iterdir():
        if path.suffix in (".tar", ".json"):
            system.pipe_file(f"/train/{path.name}", path.read_bytes())
    common["data__shuffle"] = "auto"
    away = fit(small_recipe(data__path="memory://train", out=str(tmp_path / "away"), **common))
    assert read_metrics(away.out) == read_metrics(result.out)
    command = ["evaluate", str(result.best), "--data", str(shards), "--split", "val"]
    command += ["--num_workers", "0", "--out", str(tmp_path / "report"), "--json"]
    assert main(command) == 0
    assert len(json.loads(capsys.readouterr().out)["clips"]) == 8


def test_what_does_not_go_together_is_said(small_recipe: Callable[..., Recipe]):
    with pytest.raises(DataError, match="no shards, so their clips cannot be kept near"):
        fit(small_recipe(data__shuffle="shards"))
    with pytest.raises(RecipeError, match=r"data\.shuffle must be auto or full beside"):
        small_recipe(data__shuffle="shards", data__class_balanced=True)

"""A small data set of drawn clips, and training runs that take seconds."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from video_mobile_former.data.synthetic import write_dataset
from video_mobile_former.training.recipe import Recipe, recipe_from_dict

Make = Callable[..., Recipe]

_SMALL: dict[str, Any] = {
    "data.num_workers": 0,
    "clip.num_frames": 4,
    "clip.crop_size": 32,
    "train.epochs": 2,
    "train.batch_size": 8,
    "train.accelerator": "cpu",
    "train.log_every_n_steps": 1,
    "augment.horizontal_flip": False,
    "optim.warmup_epochs": 1.0,
}
"""Three steps an epoch on the clips below."""


@pytest.fixture(scope="session")
def clips_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The list of 24 training and 8 validation clips of eight motions, 40×40, 6 frames."""
    folder = tmp_path_factory.mktemp("clips")
    return write_dataset(folder, clips_per_class={"train": 3, "val": 1}, size=40, num_frames=6)


@pytest.fixture(scope="session")
def make_recipe(clips_csv: Path) -> Make:
    """Makes a short recipe; keyword arguments are dotted keys with ``__`` for the dot."""

    def make(**changes: Any) -> Recipe:
        values = {"data.path": str(clips_csv), **_SMALL}
        return recipe_from_dict(values | {k.replace("__", "."): v for k, v in changes.items()})

    return make


@pytest.fixture
def small_recipe(make_recipe: Make, tmp_path: Path) -> Make:
    """The same, with a fresh folder to write to."""

    def make(**changes: Any) -> Recipe:
        return make_recipe(**{"out": str(tmp_path / "run"), **changes})

    return make


@pytest.fixture(scope="session")
def read_metrics() -> Callable[[Any], list[dict[str, str]]]:
    """Reads metrics.csv of a run's folder, without its times."""

    def read(out: Any) -> list[dict[str, str]]:
        with Path(out, "metrics.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    return read

"""A small data set of procedural clips, and training runs that take seconds."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procedural_files import write_clips
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import recipe_from_dict

Make = Callable[..., Recipe]

_SMALL: dict[str, Any] = {
    "data.num_workers": 0,
    "clip.num_frames": 4,
    "clip.crop_size": 32,
    "train.epochs": 2,
    "train.batch_size": 8,
    "train.device": "cpu",
    "train.log_every_n_steps": 1,
    "train.page": False,
    "augment.horizontal_flip": False,
    "optim.warmup_epochs": 1.0,
}
"""Three steps an epoch on the clips below."""


_LABELS = {
    "move_down": "move|vertical",
    "move_left": "move|horizontal",
    "move_right": "horizontal | move",
    "move_up": "move|vertical",
    "slow_down": "speed|horizontal",
    "speed_up": "speed|vertical",
    "grow": "zoom",
    "shrink": "",
}
"""What the motions of the clips have in common."""


@pytest.fixture(scope="session")
def clips_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The list of 24 training and 8 validation clips of eight motions, 40×40, 6 frames."""
    folder = tmp_path_factory.mktemp("clips")
    return write_clips(folder, {"train": 3, "val": 1})


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


@pytest.fixture(scope="session")
def several_csv(clips_csv: Path) -> Path:
    """The same clips, with the classes above."""
    rows = list(csv.DictReader(clips_csv.read_text(encoding="utf-8").splitlines()))
    table = clips_csv.with_name("several.csv")
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "label": _LABELS[row["label"]]} for row in rows)
    return table


@pytest.fixture
def several(small_recipe: Make, several_csv: Path) -> Make:
    """Makes a recipe that trains on them."""

    def make(**changes: Any) -> Recipe:
        values = {"data__path": str(several_csv), "data__multi_label": True}
        return small_recipe(**values | {"train__epochs": 1} | changes)

    return make

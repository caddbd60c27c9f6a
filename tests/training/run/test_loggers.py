"""The loggers of a recipe: the real libraries, local files, and runs that were broken off."""

from __future__ import annotations

import json
import struct
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from video_mobile_former.errors import UserError
from video_mobile_former.training.fit import fit
from video_mobile_former.training.loop import Training
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import recipe_from_dict
from video_mobile_former.training.run.loggers import Memory, check_loggers

Make = Callable[..., Recipe]


class _CrashError(Exception):
    pass


def test_rows_of_steps_that_were_logged_are_known(tmp_path: Path) -> None:
    path = tmp_path / "state" / "loggers.json"
    path.parent.mkdir()
    memory = Memory(path, "wandb")
    assert memory.is_new({"step/loss": 1.0}, 0)
    memory.keep({"step/loss": 1.0}, 4)
    Memory(path, "mlflow").save(run="x")
    again = Memory(path, "wandb")
    assert not again.is_new({"step/loss": 2.0, "step/lr": 1.0}, 4)
    assert again.is_new({"step/loss": 2.0}, 5)
    assert again.is_new({"val/loss": 2.0}, 4)
    assert Memory(path, "mlflow").values == {"run": "x"}
    path.write_text("{half")
    assert Memory(path, "wandb").values == {}


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_library_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    recipe = recipe_from_dict({"train": {"logger": ["csv", name]}})
    with pytest.raises(
        UserError, match=rf"train\.logger {name} needs .*video-mobile-former\[{name}"
    ):
        check_loggers(recipe)


def test_other_names_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"train\.logger must be .*of csv, tensorboard, wandb, mlfl"
    ):
        recipe_from_dict({"train": {"logger": ["tensorbord"]}})


def _broken_off(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train, crash in the fifth of six steps, whose last state is that of the third, go on."""
    original = Training.step

    def step(self: Training, batch: Any) -> Any:
        if self.position.step == 4:
            raise _CrashError
        return original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", step)
        with pytest.raises(_CrashError):
            fit(recipe)
    fit(recipe)


EVERY = Counter({"step": 6, "train": 2, "val": 2})


@pytest.mark.slow
def test_mlflow_goes_on_in_the_same_run(
    small_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sqlalchemy")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    recipe = small_recipe(train__logger=["mlflow"])
    _broken_off(recipe, monkeypatch)
    out = Path(str(recipe.out))
    assert not (out / "tensorboard").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = pytest.importorskip("mlflow.tracking").MlflowClient(
            tracking_uri=f"sqlite:///{out / 'mlflow.db'}"
        )
        experiment = client.get_experiment_by_name("video-mobile-former")
        (run,) = client.search_runs([experiment.experiment_id])
        names = ("step/loss", "train/loss", "val/loss")
        found = {name: client.get_metric_history(run.info.run_id, name) for name in names}
    assert run.info.status == "FINISHED"
    assert run.data.params["train.epochs"] == "2"
    assert [metric.step for metric in found["step/loss"]] == [1, 2, 3, 4, 5, 6]
    assert [metric.step for metric in found["val/loss"]] == [3, 6]
    rows = (out / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("loss")
    losses = [float(row.split(",")[column]) for row in rows[1:] if row.startswith("val")]
    assert [metric.value for metric in found["val/loss"]] == losses


def _records(path: Path) -> Iterator[bytes]:
    """The records of a .wandb file: blocks of 32 KB as in LevelDB's log, after 7 bytes."""
    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        room = 32768 - at % 32768
        if room < 7:
            at += room
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


@pytest.mark.slow
def test_wandb_is_offline_and_goes_on_with_the_same_id(
    small_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    recipe = small_recipe(train__logger=["wandb", "csv"])
    _broken_off(recipe, monkeypatch)
    parts = sorted(Path(str(recipe.out)).glob("wandb/offline-run-*/*.wandb"))
    assert len(parts) == 2
    assert len({part.name for part in parts}) == 1  # the id
    rows: list[tuple[str, int]] = []
    for part in parts:
        for data in _records(part):
            record = protocol.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") != "history":
                continue
            items = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            kinds = {key.partition("/")[0] for key in items if key.endswith("/loss")}
            rows += [(kind, items["_step"]) for kind in kinds]
    assert Counter(kind for kind, _ in rows) == EVERY
    assert len(set(rows)) == len(rows)


@pytest.mark.slow
def test_without_others_there_is_the_csv_file_alone(small_recipe: Make) -> None:
    recipe = small_recipe(train__logger=["csv"], train__epochs=1)
    fit(recipe)
    out = Path(str(recipe.out))
    assert (out / "metrics.csv").exists()
    assert not {path.name for path in out.iterdir()} & {"tensorboard", "wandb", "mlflow.db"}

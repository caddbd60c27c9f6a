"""How to add an objective: something of your own that a network learns.

An objective is a class with one method, ``step``, which gives the loss of a batch. The loop does
the rest: devices, precision, several processes, the running average, saving and resuming, also of
the layers that the objective brings along. ``fit`` takes it as ``objective=``, or one row in
``TASKS`` (``training/objectives/choose.py``) gives it a name for recipes.
"""

from __future__ import annotations

import csv
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.fabric.loggers.csv_logs import CSVLogger
from torch import Tensor, nn

from video_mobile_former import create_model
from video_mobile_former.data.loading.dataset import Batch
from video_mobile_former.data.transforms import normalize
from video_mobile_former.errors import RecipeError
from video_mobile_former.models import VideoModel, load_checkpoint
from video_mobile_former.training.fit import fit
from video_mobile_former.training.objectives.choose import TASKS, Task
from video_mobile_former.training.objectives.objective import Figures, Objective, watch
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import recipe_from_dict


class Backwards(Objective):
    """Some clips of a batch run backwards; which of them is to be told. No labels are needed."""

    figures = ("right",)

    def __init__(self, model: VideoModel):
        super().__init__()
        self.tell = nn.Linear(model.classifier.in_features, 1)

    def step(self, model: Any, batch: Batch, place: Sequence[int]) -> tuple[Tensor, Figures]:
        """See :class:`Objective`."""
        clips = normalize(batch["clips"].flatten(0, 1), model.clip)
        # All that is random is a function of the place in the run, so that a run can be resumed.
        turned = np.random.default_rng(place).random(len(clips)) < 0.5
        turned = torch.from_numpy(turned).to(clips.device)
        clips = torch.where(turned[:, None, None, None, None], clips.flip(2), clips)
        seen = types.SimpleNamespace()
        with watch(model, seen, local=False):  # seen.hidden is what the classifier takes
            logits = model(clips)
        scores = self.tell(seen.hidden)[:, 0]
        loss = F.binary_cross_entropy_with_logits(scores, turned.float())
        # With several processes each of them waits for the gradient of every layer.
        loss = loss + 0 * logits.sum()
        return loss, {"right": ((scores > 0) == turned).sum()}


def _recipe(out: Path, **changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "out": str(out),
        "data.path": "procedural",
        "data.num_workers": 0,
        "pretrain.families": ["motion"],
        "pretrain.epoch_clips": 32,
        "pretrain.val_clips": 8,
        "clip.num_frames": 4,
        "clip.crop_size": 32,
        "clip.resize_size": 32,
        "train.epochs": 1,
        "train.batch_size": 8,
        "train.device": "cpu",
        "train.log_every_n_steps": 1,
        "train.ema_decay": 0.5,
    }
    return recipe_from_dict(values | changes)


def _rows(folder: str | Path) -> list[dict[str, str]]:
    """The rows of a ``metrics.csv`` without their times."""
    with Path(folder, "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_fit_takes_an_objective_of_your_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    logger = CSVLogger(tmp_path, name="csv", version="")
    result = fit(_recipe(tmp_path / "run"), objective=Backwards, loggers=[logger])
    rows = _rows(result.out)
    assert [row["row"] for row in rows] == ["step"] * 4 + ["train", "val"]
    assert all(0 < float(row["loss"]) < 5 for row in rows)
    # Without labels the mean loss of the validation clips decides which checkpoint is best.
    assert result.best_measured is not None
    assert result.best_measured["loss"] == float(rows[-1]["loss"])
    # Figures of its own go to the loggers: shares of the clips.
    (share,) = filter(None, (row["train/right"] for row in _rows(logger.log_dir)))
    assert 0 <= float(share) <= 1
    # The network is kept, and what the objective brought along is not.
    model = load_checkpoint(result.last)
    assert model.class_names is None
    assert (
        model.state_dict().keys() == create_model("vmf_500m", model.num_classes).state_dict().keys()
    )


def _cells(line: str) -> list[str]:
    return line.split(",")


@pytest.mark.slow
def test_a_row_gives_it_a_name_for_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"pretrain\.task.*'backwards'"):
        fit(_recipe(tmp_path / "run", **{"pretrain.task": "backwards"}))
    monkeypatch.setitem(TASKS, "backwards", Task(lambda known: Backwards(known.model), False))
    named = _recipe(tmp_path / "run", **{"pretrain.task": "backwards", "train.epochs": 2})
    whole = fit(named)
    rows = _rows(whole.out)
    assert [row["row"] for row in rows] == (["step"] * 4 + ["train", "val"]) * 2
    # A run that is broken off ends as one that was not, its layers and all.
    step, left = Backwards.step, [6]

    def breaks(self: Backwards, *args: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            raise RuntimeError("broken off")
        return step(self, *args)

    changes = {"pretrain.task": "backwards", "train.epochs": 2}
    broken = _recipe(tmp_path / "broken", **changes, **{"train.checkpoint_every_n_steps": 1})
    with monkeypatch.context() as patch:
        patch.setattr(Backwards, "step", breaks)
        with pytest.raises(RuntimeError, match="broken off"):
            fit(broken)
    assert _rows(fit(broken).out) == rows

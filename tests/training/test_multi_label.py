"""From a list with several classes a clip to a report, through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from video_mobile_former.cli.main import main
from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.loading.loader import make_loader
from video_mobile_former.data.transforms import normalize
from video_mobile_former.evaluation.metrics.average_precision import average_precisions
from video_mobile_former.models import load_checkpoint
from video_mobile_former.training.build import build_indexes
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.fields import Recipe

Make = Callable[..., Recipe]
Read = Callable[[Any], list[dict[str, str]]]


@pytest.mark.slow
def test_train_evaluate_predict(
    several: Make,
    several_csv: Path,
    clips_csv: Path,
    read_metrics: Read,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = several(optim__class_weights="balanced")
    result = fit(recipe)
    said = capsys.readouterr().err
    assert "multi-label: 1.6 classes a clip, 3 clips with none" in said
    assert "validation mAP " in said
    rows = read_metrics(recipe.out)
    assert [row["row"] for row in rows] == ["step"] * 3 + ["train", "val"]
    assert not any(row["top1"] or row["top5"] or row["mean_class"] for row in rows)
    measured = result.best_measured
    assert measured is not None
    assert result.best is not None
    assert measured["map"] == float(rows[-1]["map"])
    assert measured["map_classes"] == 5

    model = load_checkpoint(result.best)
    assert model.multi_label
    assert model.class_names == ("horizontal", "move", "speed", "vertical", "zoom")
    assert model.class_names is not None
    _, val = build_indexes(recipe)
    assert val is not None
    loader = make_loader(ClipDataset(val, model.clip, train=False), batch_size=3, num_workers=0)
    scores, targets = [], []
    with torch.no_grad():
        for batch in loader:
            scores.append(model(normalize(batch["clips"].flatten(0, 1), model.clip)).sigmoid())
            targets.append(batch["labels"])
    precisions = average_precisions(torch.cat(scores), torch.cat(targets) > 0)
    assert measured["map"] == pytest.approx(float(precisions.mean()), abs=1e-6)

    best = str(result.best)
    argv = ["evaluate", best, "--data", str(several_csv), "--num_workers", "0"]
    assert main([*argv, "--out", str(tmp_path / "report"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["task"] == "multi_label"
    assert report["metrics"]["map"] == pytest.approx(measured["map"], abs=1e-6)
    assert (tmp_path / "report" / "report.html").is_file()
    clip = str(next((clips_csv.parent / "val" / "move_left").iterdir()))
    assert main(["predict", best, clip, "--top_k", "5"]) == 0
    printed = capsys.readouterr()
    assert "scores need not sum to 1" in printed.err
    assert max(map(len, printed.out.splitlines())) <= 80
    assert main(["predict", best, clip, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["multi_label"] is True
    given = {p["label"]: p["score"] for p in found["results"][0]["predictions"]}
    logits = torch.cat(scores)[[Path(c.path) == Path(clip) for c in val.clips].index(True)]
    assert [given[name] for name in model.class_names] == pytest.approx(logits.tolist(), abs=1e-4)

    # Data of the other kind is refused in one line.
    assert main(["evaluate", best, "--data", str(clips_csv.parent / "val"), "--out", "x"]) == 2
    assert "multi-label clips need a list" in capsys.readouterr().err
    assert main(["train", "--data", str(several_csv), "--out", str(tmp_path / "other")]) == 2
    assert "label is empty" in capsys.readouterr().err


def test_what_the_recipe_may_not_ask_for(
    several: Make, small_recipe: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    for recipe, message in (
        (several(optim__loss="cross_entropy"), "optim.loss cross_entropy needs one class"),
        (several(train__best_by="top1"), "train.best_by top1: the data is multi-label"),
        (small_recipe(train__best_by="map"), "train.best_by map: the data is single-label"),
        (small_recipe(optim__class_weights="balancd"), "balancd: No such file"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(recipe)
        assert recipe.out is not None
        assert not Path(recipe.out).exists()


@pytest.mark.slow
def test_weights_and_other_losses_change_the_curve_of_one_class_a_clip(
    small_recipe: Make, read_metrics: Read, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.csv"
    weights.write_text("class,weight\ngrow,5\n")
    losses = []
    for number, options in enumerate(
        ({}, {"optim__loss": "bce"}, {"optim__class_weights": str(weights)})
    ):
        recipe = small_recipe(out=str(tmp_path / str(number)), train__epochs=1, **options)
        fit(recipe)
        rows = read_metrics(recipe.out)
        losses.append(float(rows[0]["loss"]))
        assert rows[-1]["top1"]
    assert len(set(losses)) == 3
    # Eight classes: log 8 of cross-entropy, log 2 of each yes and no.
    assert losses[1] < 1 < 1.5 < losses[0]

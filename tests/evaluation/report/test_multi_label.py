from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from html_page import NASTY, Page
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.errors import DataError
from video_mobile_former.evaluation import Evaluation, evaluate, write_report
from video_mobile_former.evaluation.report.page import render_page

NAMES = ("falling", "rising", "never")


@pytest.fixture(scope="module")
def several(motion_index: ClipIndex) -> ClipIndex:
    """The six clips; the last of them, which falls, is said to rise and to fall."""
    labels = [(0,), (0,), (), (1,), (1,), (0, 1)]
    clips = [
        dataclasses.replace(clip, labels=some)
        for clip, some in zip(motion_index.clips, labels, strict=True)
    ]
    return ClipIndex(clips, NAMES, "motions.csv", multi_label=True)


@pytest.fixture
def measured(several: ClipIndex, motion_model: Callable) -> Evaluation:
    return evaluate(
        several_model(motion_model), several, num_workers=0, device="cpu", model_name="runs/x/best"
    )


def several_model(motion_model: Callable, **clip: object):
    """Scores above 0.5 the class that the brightness of a clip says, and no other."""
    model = motion_model(NAMES, num_classes=3, **clip)
    model.multi_label = True
    return model


def test_what_is_measured_of_every_clip(measured: Evaluation) -> None:
    metrics = measured.metrics
    assert (metrics.num_clips, metrics.num_labels, metrics.num_without) == (6, 6, 1)
    assert [row.clips for row in metrics.per_class] == [3, 3, 0]
    assert [clip.correct for clip in measured.clips] == [True, True, False, True, True, False]
    wrong = measured.wrong_clips()
    assert {clip.name for clip in wrong} == {"2.mp4", "5.mp4"}
    both = measured.clips[5]
    assert both.true == ("falling", "rising")
    assert [entry.label for entry in both.own()] == ["rising", "falling"]
    assert both.own()[0].score < 0.5 < both.own()[1].score
    other = both.best_other()
    assert other is not None
    assert other.label == "never"
    assert both.error == pytest.approx(1 - both.own()[0].score, abs=1e-5)
    none = measured.clips[2]
    assert (none.true, none.own()) == ((), [])
    assert any("1 of 3 classes have no clip here; the mean average" in n for n in measured.notes)


def test_model_and_clips_must_be_of_one_kind(
    several: ClipIndex, motion_index: ClipIndex, motion_model: Callable
) -> None:
    model = several_model(motion_model)
    with pytest.raises(DataError, match=r"motions\.csv: its clips have one class each"):
        evaluate(model, motion_index, num_workers=0)
    with pytest.raises(DataError, match=r"its clips are multi-label, .* one class"):
        evaluate(motion_model(NAMES, num_classes=3), several, num_workers=0)


@pytest.mark.slow
def test_two_files_that_agree(measured: Evaluation, tmp_path: Path) -> None:
    page = write_report(measured, tmp_path / "report")
    assert sorted(p.name for p in page.parent.iterdir()) == [
        "predictions.safetensors",
        "report.html",
        "report.json",
    ]
    value = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    assert value == json.loads(json.dumps(measured.to_dict(), allow_nan=False))
    assert (value["format"], value["task"]) == (4, "multi_label")
    assert value["metrics"]["map"] == measured.metrics.map
    assert value["clips"][5]["true"] == ["falling", "rising"]
    found = Page(page.read_text(encoding="utf-8"))
    assert "Mean average precision" in found.text
    assert "2 classes, 95 % interval" in found.text
    assert "none: one view" in found.text
    assert "6 labels, 1 clips without any" in found.text
    outside = [
        value
        for tag, attributes in found.tags
        for name, value in attributes.items()
        if name in ("src", "href") or tag in ("script", "link")
    ]
    assert all((value or "").startswith("data:image/") for value in outside)


def test_hostile_text_is_escaped(measured: Evaluation) -> None:
    rows = tuple(
        dataclasses.replace(row, name=f"{NASTY} {i}")
        for i, row in enumerate(measured.metrics.per_class)
    )
    scores = tuple(dataclasses.replace(s, label=NASTY) for s in measured.clips[5].scores)
    clip = dataclasses.replace(measured.clips[5], name=NASTY, true=(NASTY,), scores=scores)
    hostile = dataclasses.replace(
        measured,
        metrics=dataclasses.replace(measured.metrics, per_class=rows),
        clips=(clip,),
        notes=(NASTY,),
    )
    page = render_page(hostile)
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "script" not in [tag for tag, _ in Page(page).tags]


def test_views_are_told_as_sigmoids(several: ClipIndex, motion_model: Callable) -> None:
    model = several_model(motion_model, sampling="dense", stride=1, stride_fps=10.0)
    found = evaluate(model, several, num_views=2, average="logits", num_workers=0, device="cpu")
    text = Page(render_page(found)).text
    assert "sigmoid of the mean of the views' logits" in text
    assert "softmax" not in text


def test_summary_for_a_terminal(measured: Evaluation) -> None:
    lines = measured.summary().splitlines()
    assert lines[0].startswith("mAP              ")
    assert "(2 classes; 95 % interval " in lines[0]
    assert lines[1].startswith("chance mAP       50.0 %")
    assert lines[4].startswith("exact at 0.5     66.7 %   (4 of 6 clips")
    assert max(map(len, lines)) <= 80
    one = dataclasses.replace(measured.metrics, map_interval=None)
    text = dataclasses.replace(measured, metrics=one).summary()
    assert "no interval: all resamples are equal" in text
    one = dataclasses.replace(one, map_resamples=0)
    text = dataclasses.replace(measured, metrics=one).summary()
    assert "no interval: one clip or group" in text

"""Which clips a model may be measured on, by its checkpoint, the data and a list."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from video_mobile_former.data.index.division import split_index
from video_mobile_former.data.index.held_out import KEY, division_of
from video_mobile_former.data.index.index import ClipIndex, load_index
from video_mobile_former.data.index.measurable import measurable
from video_mobile_former.data.index.source import DataSource
from video_mobile_former.errors import DataError


def listed(folder: Path, *splits: str) -> Path:
    """A list of twelve clips of two classes; splits take turns."""
    for i in range(12):
        (folder / f"{i}.mp4").touch()
    table = folder / "clips.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for i in range(12):
            split = splits[i // 2 % len(splits)] if splits else ""
            writer.writerow([f"{i}.mp4", "ab"[i % 2], split])
    return table


def trained_on(index: ClipIndex, **data: object) -> dict:
    """``model.info`` of a run that held out a third of these clips."""
    train, val = split_index(index, 1 / 3, seed=5)
    recipe = {"seed": 5, "data": {"val_fraction": 1 / 3, **data}}
    return {"training": {"recipe": recipe, KEY: division_of(train, val, val_split="val")}}


@pytest.mark.parametrize(
    ("splits", "chosen"), [(("train", "val", "test"), "test"), (("train", "val"), "val")]
)
def test_the_test_split_comes_first_and_is_said(
    tmp_path: Path, splits: tuple[str, ...], chosen: str
) -> None:
    found = measurable(listed(tmp_path, *splits))
    assert found.split == chosen
    assert {clip.split for clip in found.clips.clips} == {chosen}
    assert f"measuring the {chosen} split" in found.notes[0]


def test_what_training_held_out_is_measured(tmp_path: Path) -> None:
    table = listed(tmp_path)
    index = load_index(table)
    info = trained_on(index)
    _, val = split_index(index, 1 / 3, seed=5)
    for data in (str(table), DataSource(str(table)), index):
        found = measurable(data, info)
        assert [c.name for c in found.clips.clips] == [c.name for c in val.clips]
        assert f"the {len(val)} of 12 clips that the training" in found.notes[0]
    everything = measurable(index, info, split="all")
    assert (everything.split, len(everything.clips), everything.notes) == (None, 12, ())
    assert everything.index.splits() == {"train": 12 - len(val), "val": len(val)}
    unknown = measurable(index)
    assert (unknown.split, len(unknown.clips), unknown.notes) == (None, 12, ())


def test_a_list_excludes_clips_before_or_after_the_division(tmp_path: Path) -> None:
    index = load_index(listed(tmp_path))
    quarantine = tmp_path / "quarantine.txt"
    quarantine.write_text("3.mp4\tblurred\n", encoding="utf-8")
    without = ClipIndex(
        [c for c in index.clips if c.name != "3.mp4"], index.class_names, index.source
    )
    for info in (trained_on(index), trained_on(without)):
        found = measurable(index, info, quarantine=quarantine)
        assert (found.split, len(found.index)) == ("val", 11)
        assert "3.mp4" not in {clip.name for clip in found.index.clips}


def test_the_list_of_a_check_is_taken_of_a_path_but_not_of_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from video_mobile_former.data.index.quarantine import check_source, write_quarantine

    table = listed(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips-check").mkdir()
    write_quarantine("clips-check/quarantine.txt", {"3.mp4": "cut off"}, check_source(table))
    assert len(measurable(table).index) == 11
    assert len(measurable(load_index(table)).index) == 12


def test_another_fold_than_that_of_training_is_said(tmp_path: Path) -> None:
    table = listed(tmp_path)
    info = {"training": {"recipe": {"data": {"format": "auto", "fold": 2}}}}
    (note,) = measurable(table, info, model_name="runs/x").notes
    assert note.startswith("runs/x was trained on fold 2 of auto and is measured on fold 1")
    assert measurable(DataSource(str(table), fold=2), info).notes == ()
    assert measurable(table, {"training": {"recipe": {"data": {}}}}).notes == ()


def test_labels_are_read_as_the_model_needs_them(tmp_path: Path) -> None:
    table = listed(tmp_path)
    assert measurable(table, multi_label=True).index.multi_label
    assert measurable(table, class_names=("b", "a")).index.class_names == ("b", "a")
    with pytest.raises(DataError, match=r"no split 'dev'"):
        _ = measurable(table, split="dev").clips

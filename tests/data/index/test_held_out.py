"""A model is measured on the clips that its training held out, not on those it was trained on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from procedural_files import write_clips
from video_mobile_former.cli.main import main
from video_mobile_former.data.index.held_out import KEY, division_of, with_held_out
from video_mobile_former.data.index.index import ClipIndex, load_index
from video_mobile_former.training.build import build_indexes
from video_mobile_former.training.recipe.fields import DataRecipe, Recipe
from video_mobile_former.training.recipe.read import recipe_to_dict

TRAIN = [
    "--clip.num_frames=4",
    "--clip.crop_size=32",
    "--train.epochs=1",
    "--train.batch_size=8",
    "--train.device=cpu",
    "--data.num_workers=0",
    "--data.val_fraction=0.25",
    "--model=vmf_500m_cnn",
]


@pytest.fixture(scope="module")
def undivided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 32 clips, four of each class, without splits."""
    folder = tmp_path_factory.mktemp("undivided") / "clips"
    table = write_clips(folder, {"train": 4})
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows([row["path"], row["label"]] for row in rows)
    return table


@pytest.fixture(scope="module")
def run(undivided: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undivided-run") / "run"
    assert main(["train", "--data", str(undivided), "--out", str(out), *TRAIN]) == 0
    return out


def measure(run: Path, data: Path, out: Path, *words: str) -> dict:
    argv = ["evaluate", str(run / "best"), "--data", str(data), "--out", str(out), "--json"]
    assert main([*argv, "--num_workers", "0", *words]) == 0
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_what_was_held_out_is_measured(
    run: Path, undivided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = measure(run, undivided, tmp_path / "own")
    said = capsys.readouterr().err
    assert "measuring the 8 of 32 clips that the training of this model held out" in said
    assert (report["method"]["split"], report["method"]["num_clips"]) == ("val", 8)
    assert any("These are validation clips" in note for note in report["notes"])
    train, val = build_indexes(Recipe(data=DataRecipe(path=str(undivided), val_fraction=0.25)))
    assert val is not None
    assert [clip["name"] for clip in report["clips"]] == [clip.name for clip in val.clips]
    report = measure(run, undivided, tmp_path / "all", "--split", "all")
    assert report["method"]["num_clips"] == 32
    note = f"Training clips are among those measured ({len(train)} of 32)"
    assert any(note in line for line in report["notes"])


@pytest.mark.slow
def test_what_a_list_names_is_left_out_of_them(
    run: Path, undivided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, val = build_indexes(Recipe(data=DataRecipe(path=str(undivided), val_fraction=0.25)))
    assert val is not None
    listed = tmp_path / "out.txt"
    listed.write_text(f"{val.clips[0].name}\tblurred\n", encoding="utf-8")
    report = measure(run, undivided, tmp_path / "own", "--quarantine", str(listed))
    assert "1 of 32 clips is excluded" in capsys.readouterr().err
    assert (report["method"]["split"], report["method"]["num_clips"]) == ("val", 7)


@pytest.mark.slow
def test_where_the_data_has_changed_since_a_note_says_what_is_likely(
    run: Path, undivided: Path, tmp_path: Path
) -> None:
    before = undivided.read_text(encoding="utf-8")
    try:
        undivided.write_text(before.rsplit("\n", 2)[0] + "\n", encoding="utf-8")
        report = measure(run, undivided, tmp_path / "own")
    finally:
        undivided.write_text(before, encoding="utf-8")
    assert (report["method"]["split"], report["method"]["num_clips"]) == (None, 31)
    assert any("was trained on this data" in note for note in report["notes"])


@pytest.mark.slow
def test_models_that_held_out_others_are_refused_before_scoring(
    run: Path, undivided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    words = ["train", "--data", str(undivided), "--out", str(other), "--seed=1"]
    assert main([*words, *TRAIN]) == 0
    argv = ["evaluate", str(run / "best"), str(other / "best"), "--data", str(undivided)]
    argv += ["--num_workers", "0", "--out", str(tmp_path / "comparison"), "--no_pictures"]
    capsys.readouterr()
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert "would be measured on different clips, 8 and 8 of them" in said
    assert "--split all measures all models on all clips" in said
    assert main([*argv, "--split", "all"]) == 0
    assert not list(tmp_path.glob("comparison/*.tmp"))


def info(train: ClipIndex, val: ClipIndex | None, recipe: Recipe) -> dict:
    key = division_of(train, val, val_split=recipe.data.val_split)
    return {"training": {"recipe": recipe_to_dict(recipe), **({KEY: key} if key else {})}}


@pytest.mark.slow
def test_only_the_same_clips_are_divided_again(undivided: Path, tmp_path: Path) -> None:
    recipe = Recipe(data=DataRecipe(path=str(undivided), val_fraction=0.25), seed=3)
    train, val = build_indexes(recipe)
    assert val is not None
    index = load_index(str(undivided))
    told = info(train, val, recipe)
    marked = with_held_out(index, told)
    assert [clip.name for clip in marked.clips] == [clip.name for clip in index.clips]
    assert [clip.name for clip in marked.split("val").clips] == [clip.name for clip in val.clips]
    assert marked.splits() == {"train": 24, "val": 8}
    part = ClipIndex(index.clips[:-1], index.class_names, index.source)
    for other, its in ((part, told), (index, {}), (index, None), (index, {"training": None})):
        assert with_held_out(other, its) is other
    told["training"]["recipe"]["seed"] = 4
    assert with_held_out(index, told) is index


@pytest.mark.slow
def test_training_clips_alone_are_divided_again_where_a_list_leaves_some_out(
    run: Path, undivided: Path, tmp_path: Path
) -> None:
    rows = list(csv.DictReader(undivided.read_text(encoding="utf-8").splitlines()))
    table = undivided.with_name("training.csv")
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        writer.writerows([row["path"], row["label"], "train"] for row in rows)
    listed, out = tmp_path / "out.txt", tmp_path / "run"
    listed.write_text(f"{rows[0]['path']}\tblurred\n", encoding="utf-8")
    words = ["--quarantine", str(listed)]
    assert main(["train", "--data", str(table), "--out", str(out), *TRAIN, *words]) == 0
    report = measure(out, table, tmp_path / "own", *words)
    assert report["method"]["split"] == "val"
    assert report["method"]["num_clips"] < 31


def test_data_with_splits_is_left_alone(undivided: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader(undivided.read_text(encoding="utf-8").splitlines()))
    table = undivided.with_name("divided.csv")
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        writer.writerows(
            [row["path"], row["label"], "val" if i % 4 == 0 else "train"]
            for i, row in enumerate(rows)
        )
    recipe = Recipe(data=DataRecipe(path=str(table)))
    train, val = build_indexes(recipe)
    assert division_of(train, val, val_split=recipe.data.val_split) is None
    index = load_index(str(table))
    assert with_held_out(index, info(train, val, recipe)) is index

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from procedural_files import CLASSES
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.clip import Clip, Event
from video_mobile_former.data.index.held_out import fingerprint, with_held_out
from video_mobile_former.data.index.index import ClipIndex, load_index
from video_mobile_former.data.index.quarantine import (
    check_source,
    default_quarantine,
    write_quarantine,
)
from video_mobile_former.errors import CheckpointError, DataError, RecipeError, UserError
from video_mobile_former.models import VideoMobileFormer
from video_mobile_former.models.registry import create_model, load_checkpoint
from video_mobile_former.training.build import adapt_clip, build_indexes, build_model, windows_of
from video_mobile_former.training.recipe.fields import ClipRecipe, Recipe

Make = Callable[..., Recipe]


def _list(path: Path, source: Path, *, keep: Callable[[dict[str, str]], bool], **columns: str):
    """Copy some rows of a list beside it; ``columns`` rename labels or drop a column ("")."""
    with source.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if keep(row)]
    for row in rows:
        row["path"] = str(source.parent / row["path"])
        for name, value in columns.items():
            row[name] = value.format(**row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.slow
def test_the_data_s_own_splits(small_recipe: Make) -> None:
    train, val = build_indexes(small_recipe())
    assert len(train) == 24
    assert val is not None
    assert len(val) == 8
    assert train.class_names == val.class_names == CLASSES


def test_without_a_val_split_a_share_is_held_out_by_groups(
    small_recipe: Make, clips_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _list(tmp_path / "a.csv", clips_csv, keep=lambda row: row["split"] == "train")
    train, val = build_indexes(small_recipe(data__path=str(path), data__val_fraction=0.34))
    assert val is not None
    assert (len(train), len(val)) == (16, 8)
    assert not {c.group for c in train.clips} & {c.group for c in val.clips}
    assert "8 of 24 clips are held out for validation" in capsys.readouterr().err
    again = build_indexes(small_recipe(data__path=str(path), data__val_fraction=0.34))
    assert again == (train, val)


def test_without_any_split_all_clips_are_divided(
    small_recipe: Make, clips_csv: Path, tmp_path: Path
) -> None:
    path = _list(tmp_path / "a.csv", clips_csv, keep=lambda row: True, split="", group="")
    train, val = build_indexes(small_recipe(data__path=str(path), data__val_fraction=0.25))
    assert val is not None
    assert (len(train), len(val)) == (24, 8)
    assert build_indexes(small_recipe(data__path=str(path), data__val_fraction=0.0))[1] is None


def test_the_test_split_is_never_touched(
    small_recipe: Make, clips_csv: Path, tmp_path: Path
) -> None:
    path = _list(tmp_path / "a.csv", clips_csv, keep=lambda row: True)
    path.write_text(path.read_text().replace(",val,", ",test,"))
    train, val = build_indexes(small_recipe(data__path=str(path), data__val_fraction=0.34))
    assert val is not None
    assert {c.split for c in (*train.clips, *val.clips)} == {"train"}


def test_validation_clips_in_a_place_of_their_own(
    small_recipe: Make, clips_csv: Path, tmp_path: Path
) -> None:
    path = _list(tmp_path / "v.csv", clips_csv, keep=lambda r: r["split"] == "val", split="")
    train, val = build_indexes(small_recipe(data__val_path=str(path)))
    assert val is not None
    assert (len(train), len(val)) == (24, 8)
    other = _list(tmp_path / "w.csv", clips_csv, keep=lambda r: True, label="x{label}")
    with pytest.raises(DataError, match="not in the class list"):
        build_indexes(small_recipe(data__val_path=str(other)))


def test_missing_data_and_missing_split(small_recipe: Make) -> None:
    with pytest.raises(DataError, match="no data is named"):
        build_indexes(small_recipe(data__path=None))
    with pytest.raises(DataError, match="no split 'dev2'"):
        build_indexes(small_recipe(data__train_split="dev2"))


def test_fingerprint_sees_clips_labels_and_classes(small_recipe: Make, tmp_path: Path) -> None:
    train, val = build_indexes(small_recipe())
    assert val is not None
    assert fingerprint(train, val) == fingerprint(train, val)
    different = {fingerprint(train, val), fingerprint(train, None), fingerprint(val, train)}
    assert len(different) == 3
    some, others = ((Event(0.0, end, 0),) for end in (1.0, 1.5))
    indexes = [
        ClipIndex((Clip("a.mp4", (0,), name="a.mp4", events=events),), ("a",), "a list")
        for events in ((), some, others)
    ]
    assert len({fingerprint(index) for index in indexes}) == 3


def test_model_with_overrides_and_clip(small_recipe: Make) -> None:
    recipe = small_recipe(
        model__num_tokens=0, model__temporal_conv="2plus1d", model__drop_path_rate=0.1
    )
    model = build_model(recipe, ("a", "b", "c"))
    assert model.training
    assert model.architecture["num_tokens"] == 0
    assert model.architecture["temporal_conv"] == "2plus1d"
    assert model.architecture["drop_path_rate"] == 0.1
    assert model.class_names == ("a", "b", "c")
    assert (model.clip.num_frames, model.clip.crop_size, model.clip.resize_size) == (4, 32, 37)
    assert model.architecture["num_frames"] == 4


@pytest.mark.slow
def test_the_seed_alone_decides_fresh_weights(small_recipe: Make) -> None:
    torch.manual_seed(1)
    one = build_model(small_recipe(), CLASSES)
    after = torch.rand(1)
    torch.manual_seed(2)
    two = build_model(small_recipe(), CLASSES)
    other = build_model(small_recipe(seed=5), CLASSES)
    assert torch.equal(one.classifier.weight, two.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)


def test_clip_of_a_recipe() -> None:
    spec = ClipSpec(num_frames=20, mean=(0.1, 0.2, 0.3))
    assert adapt_clip(spec, ClipRecipe()) == spec
    changed = adapt_clip(spec, ClipRecipe(sampling="dense", stride=2, crop_size=112))
    assert (changed.sampling, changed.stride, changed.num_frames) == ("dense", 2, 20)
    assert (changed.crop_size, changed.resize_size, changed.mean) == (112, 128, (0.1, 0.2, 0.3))
    with pytest.raises(UserError, match=r"clip\.resize_size"):
        adapt_clip(spec, ClipRecipe(crop_size=112, resize_size=100))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    model = create_model("vmf_500m", 3, num_frames=6, crop_size=48, num_tokens=2)
    model.class_names = ("a", "b", "c")
    model.save_pretrained(tmp_path / "start")
    return tmp_path / "start"


def _weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


@pytest.mark.slow
def test_fine_tuning_with_the_same_classes_keeps_everything(
    small_recipe: Make, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = small_recipe(
        model__name=str(checkpoint),
        model__drop_rate=0.2,
        clip__num_frames=None,
        clip__crop_size=None,
    )
    model = build_model(recipe, ("a", "b", "c"))
    old = load_checkpoint(checkpoint)
    for key, value in _weights(old).items():
        assert torch.equal(model.state_dict()[key], value)
    assert model.architecture["drop_rate"] == 0.2
    assert model.clip == old.clip
    assert "all weights taken over" in capsys.readouterr().err


def test_clips_in_quarantine_are_excluded(
    small_recipe: Make,
    clips_csv: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    all_train, all_val = build_indexes(small_recipe())
    assert all_val is not None
    first, last = all_train.clips[0], all_val.clips[-1]
    entries = {first.name: "cut off", last.path: "", "old.mp4": "", "older.mp4": ""}

    # What the check of other data found is of no concern.
    write_quarantine(default_quarantine(clips_csv), entries, check_source("other.csv"))
    train, val = build_indexes(small_recipe())
    assert (len(train), len(val or ())) == (24, 8)

    write_quarantine(default_quarantine(clips_csv), entries, check_source(clips_csv))
    capsys.readouterr()
    train, val = build_indexes(small_recipe())
    assert val is not None
    assert list(train.clips) == list(all_train.clips[1:])
    assert list(val.clips) == list(all_val.clips[:-1])
    assert f"{clips_csv}: 2 of 32 clips are excluded by " in capsys.readouterr().err

    mine = tmp_path / "mine.txt"
    mine.write_text(f"old.mp4\n{first.name}\n")
    train, val = build_indexes(small_recipe(data__quarantine=str(mine)))
    assert (len(train), len(val or ())) == (23, 8)
    assert f"{mine}: 1 of its 2 names is not in {clips_csv}: old.mp4" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"none\.txt: No such file"):
        build_indexes(small_recipe(data__quarantine="none.txt"))


@pytest.mark.slow
def test_fine_tuning_with_other_classes_replaces_the_head(
    small_recipe: Make, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build_model(small_recipe(model__name=str(checkpoint)), ("a", "b", "c", "d"))
    old = _weights(load_checkpoint(checkpoint))
    assert model.classifier.weight.shape[0] == 4
    for key, value in model.state_dict().items():
        if not key.startswith("classifier."):
            assert torch.equal(value, old[key])
    assert "head, which is new" in capsys.readouterr().err
    # As many classes with other names: also a new head, or their meanings would be mixed up.
    same_size = build_model(small_recipe(model__name=str(checkpoint)), ("a", "b", "x"))
    assert not torch.equal(same_size.classifier.weight, old["classifier.weight"])


def test_a_checkpoint_s_class_order_is_kept(
    small_recipe: Make, clips_csv: Path, tmp_path: Path
) -> None:
    model = create_model("vmf_500m", 8)
    model.class_names = tuple(reversed(CLASSES))
    model.save_pretrained(tmp_path / "start")
    train, _ = build_indexes(small_recipe(model__name=str(tmp_path / "start")))
    assert train.class_names == tuple(reversed(CLASSES))


@pytest.mark.slow
def test_what_a_checkpoint_cannot_be(small_recipe: Make, checkpoint: Path) -> None:
    recipe = small_recipe(model__name=str(checkpoint), model__num_tokens=5)
    with pytest.raises(RecipeError, match="cannot take these overrides"):
        build_model(recipe, ("a", "b", "c"))
    recipe = small_recipe(model__name=str(checkpoint), model__weights="x.pth")
    with pytest.raises(RecipeError, match=r"goes with a variant's name.*--model\.weights null"):
        build_model(recipe, ("a", "b", "c"))
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        build_model(small_recipe(model__name="runs/none/best"), ("a", "b"))
    with pytest.raises(UserError, match="did you mean 'vmf_500m'"):
        build_model(small_recipe(model__name="vmf_500"), ("a", "b"))


def test_starting_from_the_2d_release(
    small_recipe: Make, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file

    weights = shared_data / "parity" / "mobile_former_26m.safetensors"
    model = build_model(small_recipe(model__weights=str(weights)), ("a", "b", "c"))
    tokens = load_file(weights)["tokens.weight"]
    assert isinstance(model, VideoMobileFormer)
    assert model.tokens is not None
    torch.testing.assert_close(model.tokens.detach(), tokens.view_as(model.tokens))
    assert model.classifier.out_features == 3
    assert "new head for 3 classes" in capsys.readouterr().err


def test_starting_from_public_weights_of_another_network(
    small_recipe: Make, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    from video_mobile_former.models.baselines.movinet import MoViNet

    path = tmp_path / "released.safetensors"
    save_file({"conv1.conv_1.conv3d.weight": torch.zeros(8, 3, 1, 3, 3)}, path)
    changes = {"model__name": "movinet_a0", "model__weights": str(path)}
    with pytest.raises(CheckpointError, match=r"released.safetensors does not fit.*missing: "):
        build_model(small_recipe(**changes), ("a", "b", "c"))
    with pytest.raises(UserError, match="movinet_a0 takes no argument 'num_tokens'"):
        build_model(small_recipe(**changes, model__num_tokens=2), ("a", "b", "c"))
    with pytest.raises(RecipeError, match="no public weights are known for vmf_500m_cnn"):
        build_model(small_recipe(**{**changes, "model__name": "vmf_500m_cnn"}), ("a", "b", "c"))
    model = build_model(small_recipe(model__name="movinet_a0"), ("a", "b", "c"))
    assert isinstance(model, MoViNet)
    assert (model.clip.num_frames, model.clip.crop_size, model.clip.mean) == (4, 32, (0, 0, 0))


def _events_csv(path: Path, source: Path, *, split: bool) -> Path:
    """Two events in each of twelve files of the list."""
    with source.open(newline="") as file:
        rows = list(csv.DictReader(file))[:12]
    lines = ["path,label,start_seconds,end_seconds" + ",split" * split]
    for number, row in enumerate(rows):
        end = ("," + ("val" if number % 4 == 0 else "train")) * split
        name = source.parent / row["path"]
        lines += [f"{name},one,0,0.1{end}", f"{name},two,0.15,0.2{end}"]
    path.write_text("\n".join(lines))
    return path


def test_windows_are_taken_of_files_with_events(
    small_recipe: Make, clips_csv: Path, tmp_path: Path
) -> None:
    path = _events_csv(tmp_path / "events.csv", clips_csv, split=True)
    recipe = small_recipe(data__path=str(path), data__format="intervals", data__window_seconds=0.04)
    train, val = build_indexes(recipe)
    assert val is not None
    assert train.class_names == val.class_names == ("one", "two", "background")
    assert train.counts() == (9, 9, 9)
    assert val.counts() == (3, 3, 3)
    assert train.window_seconds == 0.04
    one = train.clips[0]
    assert (one.start_seconds, one.end_seconds) == (0.0, pytest.approx(0.12))
    alone, _ = build_indexes(
        dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, background=None))
    )
    assert alone.class_names == ("one", "two")


@pytest.mark.slow
def test_held_out_files_of_events_are_known_again(
    small_recipe: Make, clips_csv: Path, tmp_path: Path
) -> None:
    path = _events_csv(tmp_path / "events.csv", clips_csv, split=False)
    recipe = small_recipe(data__path=str(path), data__format="intervals", data__val_fraction=0.25)
    train, val = build_indexes(recipe)
    assert val is not None
    info = {
        "training": {
            "recipe": dataclasses.asdict(recipe),
            "held_out": fingerprint(train, val),
            "windows": windows_of(recipe),
        }
    }
    index = with_held_out(load_index(recipe.data), info)
    held = {clip.path for clip in index.split("val").clips}
    assert held == {clip.path for clip in val.clips}
    assert not held & {clip.path for clip in train.clips}


def test_the_folder_of_a_run_stands_for_its_checkpoint(small_recipe: Make, tmp_path: Path) -> None:
    old = create_model("vmf_500m", len(CLASSES), num_frames=4, crop_size=32)
    old.class_names = CLASSES
    old.save_pretrained(tmp_path / "old" / "last")
    recipe = small_recipe(model__name=str(tmp_path / "old"))
    model = build_model(recipe, CLASSES)
    one, two = old.state_dict(), model.state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    stream = small_recipe(model__name="vmf_500m_stream", model__weights=str(tmp_path / "old"))
    two = build_model(stream, CLASSES).state_dict()
    assert torch.equal(one["classifier.weight"], two["classifier.weight"])

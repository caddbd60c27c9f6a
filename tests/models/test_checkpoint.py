"""Checkpoint folders rebuild themselves, refuse what does not fit, and are never half-written."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi, ModelCard

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.errors import CheckpointError, UserError
from video_mobile_former.models import (
    VideoMobileFormer,
    checkpoint,
    create_model,
    load_checkpoint,
    resolve_model,
)


@pytest.fixture
def model() -> VideoMobileFormer:
    torch.manual_seed(0)
    model = create_model("vmf_500m", 2, num_frames=4, temporal_conv="2plus1d").eval()
    model.class_names = ("jump", "run: fast")
    model.clip = ClipSpec(num_frames=4, crop_size=64, resize_size=72, sampling="dense", stride=2)
    model.info = {"license": "apache-2.0", "measured": {"top1": 0.5}, "training": {"seed": 3}}
    return model


@pytest.mark.slow
def test_round_trip(model: VideoMobileFormer, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "checkpoint"
    model.save_pretrained(folder)
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    x = torch.randn(1, 3, 4, 64, 64)
    for loaded in (
        VideoMobileFormer.from_pretrained(folder),
        load_checkpoint(folder),
        resolve_model(folder),
    ):
        assert not loaded.training
        assert loaded.class_names == model.class_names
        assert loaded.clip == model.clip
        assert loaded.info == model.info
        assert loaded.architecture == model.architecture
        with torch.no_grad():
            assert torch.equal(loaded(x), model(x))
    card = ModelCard.load(folder / "README.md")
    assert card.data.to_dict()["pipeline_tag"] == "video-classification"
    assert card.data.to_dict()["license"] == "apache-2.0"
    assert "1. run: fast" in card.text
    assert [p.name for p in folder.parent.iterdir()] == ["checkpoint"]


@pytest.mark.slow
def test_saving_again_keeps_foreign_files(model: VideoMobileFormer, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "c")
    (tmp_path / "c" / "notes.txt").write_text("mine")
    model.info = {"measured": {"top1": 0.75}}
    model.save_pretrained(tmp_path / "c")
    assert (tmp_path / "c" / "notes.txt").read_text() == "mine"
    assert load_checkpoint(tmp_path / "c").info == {"measured": {"top1": 0.75}}


def test_push_to_hub_uploads_the_same_files(
    model: VideoMobileFormer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def upload(self: HfApi, *, folder_path: str | Path, repo_id: str, **kwargs: Any) -> str:
        seen.update({p.name: p.read_bytes() for p in Path(folder_path).iterdir()})
        return f"https://example.invalid/{repo_id}"

    class Created:
        repo_id = "me/model"

    monkeypatch.setattr(HfApi, "create_repo", lambda self, **kwargs: Created())
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    assert model.push_to_hub("me/model").endswith("me/model")
    assert set(seen) == {"README.md", "config.json", "model.safetensors"}
    assert json.loads(seen["config.json"])["class_names"] == ["jump", "run: fast"]


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.update(changes)
    path.write_text(json.dumps({k: v for k, v in config.items() if v != "gone"}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": ["jump"]}, "1 class names but the head has 2 classes"),
        ({"class_names": ["jump", "jump"]}, "'jump' stands twice"),
        ({"class_names": [1, 2]}, "'class_names' must be a list of names"),
        ({"clip": {"num_frame": 4}}, "unknown keys"),
        ({"clip": {"num_frames": 0}}, "clip.num_frames must be"),
        ({"clip": {"num_frames": 10**9}}, "clip.num_frames must be at most"),
        ({"architecture": {"class": ["x"], "arguments": {}}}, "'class', a name"),
        ({"architecture": {"class": "X3D", "arguments": []}}, "'arguments', an object"),
        ({"format": 99}, "format 99.*reads 1, 2, 3"),
        ({"multi_label": "gone"}, "'multi_label' must be true or false"),
        ({"multi_label": 1}, "'multi_label' must be true or false"),
        ({"clip": "gone"}, "lacks clip"),
        ({"architecture": {"class": "os.system", "arguments": {}}}, "unknown architecture"),
        ({"architecture": 3}, "'architecture' must hold"),
        (
            {"architecture": {"class": "VideoMobileFormer", "arguments": {"depth": 3}}},
            "config.json: .*depth",
        ),
    ],
)
def test_wrong_config_is_named(
    model: VideoMobileFormer, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    model.save_pretrained(tmp_path / "c")
    edit(tmp_path / "c", **changes)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "c")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 10**9}, "num_classes must be at most"),
        ({"num_classes": 10**18}, "num_classes must be at most"),
        ({"num_classes": 900_000}, "another shape: classifier"),
        ({"num_tokens": 10**9}, "num_tokens must be at most"),
        ({"head_dim": 1e300}, "head_dim must be at most"),
        ({"blocks": [["mobile", 1, 8, 1, 0]] * 2000}, "blocks has more than 1000 entries"),
        ({"blocks": 7}, "config.json: "),
        ({"blocks": [[["lite"], 3, 12, 2, 0]]}, r"blocks\[0\]\.kind must be lite"),
        ({"temporal_conv": ["3d"]}, "temporal_conv must be one of"),
        ({"form": {}}, "form must be one of"),
        ({"drop_rate": "much"}, "config.json: "),
        ({"crop_size": None}, "config.json: "),
    ],
    ids=str,
)
def test_absurd_arguments_end_in_one_line(
    model: VideoMobileFormer, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    model.save_pretrained(tmp_path / "c")
    arguments = {**model.architecture, **change}
    edit(tmp_path / "c", architecture={"class": "VideoMobileFormer", "arguments": arguments})
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(tmp_path / "c")
    assert "\n" not in str(caught.value)


def test_hostile_configurations_end_in_one_line(
    model: VideoMobileFormer, tmp_path: Path, shared_data: Path
) -> None:
    model.save_pretrained(tmp_path / "c")
    files = sorted((shared_data / "hostile" / "configs").glob("*.json"))
    assert len(files) >= 6
    for file in files:
        (tmp_path / "c" / "config.json").write_bytes(file.read_bytes())
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(tmp_path / "c")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1000


def test_missing_and_broken_files_are_named(model: VideoMobileFormer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint folder at"):
        load_checkpoint(tmp_path / "absent")
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="and no model of that name"):
        resolve_model("vmf_5")
    with pytest.raises(CheckpointError, match=r"; did you mean 'vmf_500m'\?$"):
        resolve_model("vmf_500")
    with pytest.raises(CheckpointError, match="and no model of that name; known: vmf_500m, "):
        resolve_model("checkpoint")
    with pytest.raises(CheckpointError, match=r"no checkpoint folder at vmf_500/best$"):
        resolve_model("vmf_500/best")
    folder = tmp_path / "c"
    model.save_pretrained(folder)
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="truncated or no safetensors"):
        load_checkpoint(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        load_checkpoint(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="no JSON"):
        load_checkpoint(folder)


def test_weights_of_another_model_are_refused(model: VideoMobileFormer, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "c")
    other = create_model("vmf_500m", 2, num_tokens=0)
    other.save_pretrained(tmp_path / "d")
    (tmp_path / "d" / "model.safetensors").replace(tmp_path / "c" / "model.safetensors")
    with pytest.raises(CheckpointError, match="does not fit the model; missing: "):
        load_checkpoint(tmp_path / "c")


def test_full_disk_leaves_the_old_checkpoint(
    model: VideoMobileFormer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "c"
    model.save_pretrained(folder)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(state: Any, path: Path, **kwargs: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    model.info = {}
    with pytest.raises(UserError, match="No space left on device"):
        model.save_pretrained(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_what_cannot_be_a_checkpoint_is_not_saved(model: VideoMobileFormer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="the model is fused"):
        model.fuse().save_pretrained(tmp_path / "f")
    model.class_names = ("one",)
    with pytest.raises(CheckpointError, match="1 class names"):
        model.save_pretrained(tmp_path / "f")
    assert not (tmp_path / "f").exists()


@pytest.mark.slow
def test_several_classes_are_remembered(model: VideoMobileFormer, tmp_path: Path) -> None:
    model.multi_label = True
    model.save_pretrained(tmp_path / "c")
    assert json.loads((tmp_path / "c" / "config.json").read_text())["multi_label"] is True
    assert load_checkpoint(tmp_path / "c").multi_label is True
    assert load_checkpoint(tmp_path / "c").fuse().multi_label is True
    assert "2 classes, several of them at once" in (tmp_path / "c" / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_older_checkpoints_keep_the_head_they_were_trained_with(
    model: VideoMobileFormer, tmp_path: Path, number: int
) -> None:
    model.head_conv.norm.get_parameter("bias").data.fill_(7.0)  # beyond the cap that format 3 knows
    model.save_pretrained(tmp_path / "c")
    arguments = {k: v for k, v in model.architecture.items() if k != "head_activation"}
    architecture = {"class": "VideoMobileFormer", "arguments": arguments}
    x = torch.randn(1, 3, 4, 64, 64)
    with torch.no_grad():
        assert torch.equal(load_checkpoint(tmp_path / "c")(x), model(x))
        edit(tmp_path / "c", format=number, architecture=architecture)
        loaded = load_checkpoint(tmp_path / "c")
        assert not torch.equal(loaded(x), model(x))
        model.head_act = torch.relu
        assert torch.equal(loaded(x), model(x))
    loaded.save_pretrained(tmp_path / "d")
    saved = json.loads((tmp_path / "d" / "config.json").read_text())
    assert (saved["format"], saved["architecture"]["arguments"]["head_activation"]) == (3, "relu")
    with torch.no_grad():
        assert torch.equal(load_checkpoint(tmp_path / "d")(x), loaded(x))


@pytest.mark.slow
def test_a_checkpoint_of_format_1_tells_one_class(model: VideoMobileFormer, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "c")
    edit(tmp_path / "c", format=1, multi_label="gone")
    loaded = load_checkpoint(tmp_path / "c")
    assert loaded.multi_label is False
    x = torch.randn(1, 3, 4, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))


@pytest.mark.slow
def test_the_line_of_the_card_loads_it(model: VideoMobileFormer, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "kept")
    card = (tmp_path / "kept" / "README.md").read_text(encoding="utf-8")
    code = card.split("```python\n")[1].split("```")[0]
    found: dict[str, Any] = {}
    exec(code.replace("path/to/this/folder", str(tmp_path / "kept")), found)
    assert found["model"].class_names == model.class_names


@pytest.mark.slow
def test_files_of_somebody_else_stay(model: VideoMobileFormer, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# My project")
    (tmp_path / "code.py").touch()
    with pytest.raises(UserError, match=r"README\.md is there and was not written by vmf"):
        model.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "code.py"]
    assert (tmp_path / "README.md").read_text() == "# My project"
    model.save_pretrained(tmp_path, overwrite=True)
    model.save_pretrained(tmp_path)  # now the files are ours
    assert load_checkpoint(tmp_path).class_names == model.class_names
    assert (tmp_path / "code.py").exists()

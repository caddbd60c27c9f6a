from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from video_mobile_former import UserError, VideoMobileFormer, create_model, load_model
from video_mobile_former.errors import CheckpointError
from video_mobile_former.models.locate import checkpoint_folder, hub_repository


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    model = create_model("vmf_500m", num_classes=2, num_frames=4, crop_size=32)
    model.class_names = ("up", "down")
    model.save_pretrained(tmp_path / "run" / "best")
    return tmp_path / "run" / "best"


@pytest.mark.slow
def test_a_run_stands_for_its_best_checkpoint(checkpoint: Path) -> None:
    run = checkpoint.parent
    assert checkpoint_folder(checkpoint) == checkpoint
    assert checkpoint_folder(run) == checkpoint
    assert load_model(run).class_names == ("up", "down")
    checkpoint.rename(run / "last")
    assert checkpoint_folder(str(run)) == run / "last"
    assert load_model(str(run)).class_names == ("up", "down")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("me/model", ("me/model", None)),
        ("me/model@v1.2", ("me/model", "v1.2")),
        ("hf://here/run@main", ("here/run", "main")),
        ("here/run", None),  # `here` is a folder: a path that is mistyped, not a repository
        ("here/absent", None),
        ("./me/model", None),
        ("../model", None),
        ("~/model", None),
        ("/me/model", None),
        ("runs/first/best", None),
        ("model", None),
        (Path("me/model"), None),
    ],
)
def test_what_is_a_repository(
    name: str | Path,
    found: tuple[str, str | None] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here" / "run").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert hub_repository(name) == found


@pytest.mark.slow
def test_a_repository_is_fetched_with_its_revision(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Any]] = []

    def download(repository: str, *, revision: str | None, **options: Any) -> str:
        asked.append((repository, revision))
        assert "model.safetensors" in options["allow_patterns"]
        return str(checkpoint)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    assert load_model("me/model@v1").class_names == ("up", "down")
    assert VideoMobileFormer.from_pretrained("me/model", revision="v2").class_names is not None
    assert load_model("hf://run/best").class_names == ("up", "down")
    assert asked == [("me/model", "v1"), ("me/model", "v2"), ("run/best", None)]


def test_without_a_network_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"no folder me/model.*Hub") as caught:
        load_model("me/model")
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="hf://user/name@revision"):
        load_model("hf://model")
    with pytest.raises(UserError, match="no checkpoint folder at runs/x/best"):
        load_model("runs/x/best")

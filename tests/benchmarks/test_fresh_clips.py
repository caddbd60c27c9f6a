"""The comparison of networks on procedural clips that none of them has seen."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from video_mobile_former import create_model
from video_mobile_former.models.registry import load_checkpoint
from video_mobile_former.procedural import ProceduralSpec, ProceduralVideo

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("fresh_clips")
    for name in ("fresh_clips", "timing"):
        sys.modules.pop(name, None)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that has learned nothing of eight classes."""
    torch.manual_seed(0)
    spec = ProceduralSpec(("long_range",), 8, 32)
    model = create_model("vmf_500m_cnn", 8, num_frames=8, crop_size=32)
    model.class_names = ProceduralVideo(spec).class_names
    recipe = {
        "model": {"name": "vmf_500m_cnn"},
        "optim": {"lr": 1e-3},
        "pretrain": {"families": ["long_range"]},
        "seed": 3,
    }
    training = {"recipe": recipe, "epoch": 2, "clips": 64, "seconds": 90.0}
    model.info = {"training": training}
    model.save_pretrained(tmp_path / "run" / "last")
    (tmp_path / "run" / "metrics.csv").write_text(
        "row,epoch,step,loss,top1\nstep,1,1,9,0\ntrain,1,2,2.0,0.1\nval,1,2,2.1,0.25\n"
        "train,2,4,1.0,0.5\nval,2,4,1.1,0.5\n"
    )
    return tmp_path / "run"


@pytest.mark.slow
def test_a_run_is_tested_family_by_family_and_drawn(
    benchmark: Any, run: Path, tmp_path: Path
) -> None:
    row = benchmark.test("cnn", run, 64)
    assert row["clips"] == 64
    assert row["families"] == {
        "long_range": {key: row[key] for key in ("top1", "low", "high", "clips")}
    }
    assert row["low"] < row["top1"] < row["high"]
    assert row["top1"] < 0.4, "eight classes of which nothing is known"
    assert row["clips_learned_from"] == 128
    assert row["minutes"] == 1.5
    assert row["curve"] == [
        {"clips": 64, "val_top1": 0.25, "train_loss": 2.0},
        {"clips": 128, "val_top1": 0.5, "train_loss": 1.0},
    ]
    benchmark.draw([row, {**row, "name": "again"}], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


@pytest.mark.slow
def test_clips_are_drawn_as_the_run_drew_them(
    benchmark: Any, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide: Any = load_checkpoint(run / "last")
    named = wide.class_names[2:6]
    model: Any = create_model("vmf_500m_cnn", len(named), num_frames=8, crop_size=32)
    model.class_names, model.info = named, wide.info
    pretrain = {"procedural": ["speed=0.5"], "classes": list(named)}
    model.info["training"]["recipe"]["pretrain"] |= pretrain
    model.save_pretrained(run / "last")
    seen: list[ProceduralSpec] = []

    def nothing(_: Any, video: ProceduralVideo, clips: int) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(video.spec)
        return torch.ones(clips, dtype=torch.bool), torch.zeros(clips, dtype=torch.long)

    monkeypatch.setattr(benchmark, "right_ones", nothing)
    benchmark.test("slow", run, 4)
    (spec,) = seen
    assert (spec.speed, spec.families, spec.classes) == (0.5, ("long_range",), named)


def test_what_is_no_run_is_said(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in (str(tmp_path), f"a={tmp_path}"):
        monkeypatch.setattr(sys, "argv", ["fresh_clips.py", text])
        with pytest.raises(SystemExit, match="NAME=FOLDER"):
            benchmark.main()

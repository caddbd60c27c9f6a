"""A small model with settled statistics, and its artefacts, each written once a test run."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.export.artefact import ArtefactInfo
from video_mobile_former.export.exporting import export_model
from video_mobile_former.export.loading import read_info
from video_mobile_former.export.request import ExportRequest
from video_mobile_former.export.targets.table import TARGETS
from video_mobile_former.models import VideoMobileFormer
from video_mobile_former.models.variants import down, lite, mobile

NAMES = ("push", "pull", "Größe | 手")


@functools.cache
def small_model() -> VideoMobileFormer:
    """One block of each kind, so that exporters have little to do."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VideoMobileFormer(
            blocks=(lite(2, 8, stride=2), down(2, 8), mobile(2, 8)),
            stem_channels=4,
            num_tokens=2,
            token_dim=16,
            groups=2,
            head_dim=24,
            num_classes=len(NAMES),
            num_frames=4,
            crop_size=64,
        )
        with torch.no_grad():
            # Classes are told apart by more than rounding.
            model.classifier.weight.normal_()
            for _ in range(3):
                model(torch.randn(4, 3, 4, 64, 64))
    model.class_names = NAMES
    model.clip = ClipSpec(num_frames=4, crop_size=64, resize_size=72, mean=(0.4, 0.5, 0.6))
    model.info = {"training": {"seed": 7}, "license": "CC0"}
    return model.eval()


@pytest.fixture
def model() -> VideoMobileFormer:
    return small_model()


@dataclass(frozen=True)
class Written:
    path: Path
    info: ArtefactInfo


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory):
    """Exports by request, as ``artefacts(target="onnx", dtype="uint8")``.

    Exporting takes seconds, so all test processes of a run share them.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "artefacts"
    folder.mkdir(exist_ok=True)

    def get(**wishes) -> Written:
        name = hashlib.sha256(repr(sorted(wishes.items())).encode()).hexdigest()[:12]
        out = folder / name / f"model{TARGETS[wishes['target']].suffix}"
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not out.exists():
                export_model(small_model(), out, ExportRequest(**wishes))
        return Written(out, read_info(out))

    return get


QUICK: dict[str, dict[str, Any]] = {
    "onnx": {"target": "onnx"},
    "openvino": {"target": "openvino", "dtype": "uint8", "batch": 1},
    "torch": {"target": "torch", "batch": 1},
}
"""One export of each target for the fast tests."""


@pytest.fixture(params=list(QUICK))
def quick(request: pytest.FixtureRequest, artefacts) -> Written:
    return artefacts(**QUICK[request.param])


@pytest.fixture
def checkpoint(tmp_path: Path, model: VideoMobileFormer) -> Path:
    model.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"

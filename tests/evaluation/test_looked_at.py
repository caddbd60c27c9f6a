"""What the page of an evaluation shows of the tokens."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from procedural_files import CLASSES, write_clips
from video_mobile_former.data.index.index import load_index
from video_mobile_former.evaluation import evaluate, write_report
from video_mobile_former.models import create_model


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("looked-at"), {"test": 1})


@pytest.mark.slow
def test_errors_come_first_and_are_shown_on_the_page(clips: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = create_model("vmf_500m", num_classes=len(CLASSES), num_frames=3, crop_size=32)
    index = load_index(clips)
    found = evaluate(model, index, num_workers=0)
    wrong = sorted((c for c in found.clips if not c.correct), key=lambda c: -c.score)
    right = sorted((c for c in found.clips if c.correct), key=lambda c: -c.score)
    assert len(wrong) > 2
    assert [one.name for one in found.attention] == [c.name for c in [*wrong[:2], *right[:2]]]
    for one in found.attention:
        picture = Image.open(io.BytesIO(base64.b64decode(one.picture)))
        assert picture.width == 104 + 3 * 100 + 4
    page = write_report(found, tmp_path / "report").read_text(encoding="utf-8")
    assert "What the tokens look at" in page
    for one in found.attention:
        assert one.picture in page


@pytest.mark.slow
def test_nothing_is_shown_of_models_without_tokens_or_of_frozen_frames(clips: Path) -> None:
    index = load_index(clips)
    count = len(CLASSES)
    baseline = create_model("x3d_xs", count, num_frames=3, crop_size=32)
    model = create_model("vmf_500m", count, num_frames=3, crop_size=32)
    assert evaluate(baseline, index, num_workers=0).attention == ()
    assert evaluate(model, index, num_workers=0, freeze_frames=1).attention == ()
    assert evaluate(model, index, num_workers=0, thumbnails=False).attention == ()

"""Embeddings are what the last linear layer takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mobile_models import small_model
from video_files import write_video
from video_mobile_former.errors import UserError, VideoError
from video_mobile_former.inference import Predictor
from video_mobile_former.models.registry import create_model


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("embed") / "a.mp4", 20, fps=10)


def models() -> list[Any]:
    size: dict[str, Any] = {"num_classes": 5, "num_frames": 4, "crop_size": 64}
    torch.manual_seed(0)
    return [
        small_model(),
        *(create_model(name, **size) for name in ("x3d_xs", "movinet_a0", "vmf_lite0")),
        create_model("vmf_500m", causal=True, **size),
        create_model("vmf_500m", tokens_per="frame", **size),
        create_model("vmf_500m_cnn", **size),
    ]


@pytest.mark.parametrize("model", models(), ids=lambda model: type(model).__name__)
def test_the_last_layer_turns_features_into_logits(model: Any, clip: Path) -> None:
    predictor = Predictor(model, device="cpu", num_views=2, average="logits")
    found = predictor.embed(clip)
    logits = predictor.scorer.model.classifier(torch.from_numpy(found.features))
    answer = predictor.predict(clip, top_k=100)
    wanted = dict(zip(answer.classes, answer.scores, strict=True))
    for number, score in enumerate(logits.softmax(0).tolist()):
        assert score == pytest.approx(wanted[number], abs=1e-5)
    assert (found.path, found.num_frames) == (str(clip), answer.num_frames)
    tokens = getattr(model, "tokens", None)
    assert (found.tokens is None) == (tokens is None)
    if found.tokens is not None and tokens is not None:
        assert found.tokens.shape == tuple(tokens.shape)


def test_what_is_handed_over_gives_what_the_file_gives(clip: Path, tmp_path: Path) -> None:
    predictor = Predictor(small_model(), device="cpu")
    one, other = predictor.embed(clip), predictor.embed(clip.read_bytes())
    assert (one.features == other.features).all()
    assert other.path == ""
    with pytest.raises(VideoError, match="no such file"):
        predictor.embed(tmp_path / "gone.mp4")


def test_a_model_that_hides_its_features_is_refused(brightness_model: Any, clip: Path) -> None:
    predictor = Predictor(brightness_model("a", "b"), device="cpu")
    with pytest.raises(UserError, match="scores only"):
        predictor.embed(clip)

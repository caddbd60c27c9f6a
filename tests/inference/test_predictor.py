from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from video_mobile_former import create_model
from video_mobile_former.errors import UserError, VideoError
from video_mobile_former.inference import Prediction, PredictionFailure, Predictor

NAMES = ("black", "dark", "light", "white")


def test_a_file_is_recognised(brightness_model: Callable, grey_video: Callable, tmp_path: Path):
    path = grey_video(tmp_path / "a.mp4", [95] * 6)
    found = Predictor(brightness_model(*NAMES), device="cpu").predict(path, top_k=3)
    assert found.path == str(path)
    assert found.labels[0] == "dark"
    assert found.classes[0] == 1
    assert len(found.labels) == len(found.scores) == 3
    assert 1 > found.scores[0] > found.scores[1] > found.scores[2] > 0
    assert (found.num_frames, found.padded) == (4, False)


def test_scores_are_exactly_the_softmax_of_the_logits(
    brightness_model: Callable, grey_video: Callable, tmp_path: Path
) -> None:
    path = grey_video(tmp_path / "a.mp4", [255] * 5)
    found = Predictor(brightness_model("dark", "light"), device="cpu").predict(path)
    # −100 (b − c)² with b = 1 and c = 1/4, 3/4; the codec keeps white within one level.
    wanted = 1 / (1 + math.exp(100 * (1 / 16 - 9 / 16)))
    assert found.scores[0] == pytest.approx(wanted, abs=1e-3)
    assert sum(found.scores) == pytest.approx(1, abs=1e-6)


def test_top_k_is_limited_by_the_classes(
    brightness_model: Callable, grey_video: Callable, tmp_path: Path
) -> None:
    predictor = Predictor(brightness_model(*NAMES), device="cpu")
    path = grey_video(tmp_path / "a.mp4", [250] * 4)
    assert set(predictor.predict(path, top_k=99).labels) == set(NAMES)
    with pytest.raises(UserError, match="top_k must be at least 1, not 0"):
        predictor.predict(path, top_k=0)


def test_classes_without_names_are_numbered(
    brightness_model: Callable, grey_video: Callable, tmp_path: Path
) -> None:
    predictor = Predictor(brightness_model(num_classes=4), device="cpu")
    assert predictor.predict(grey_video(tmp_path / "a.mp4", [250] * 4)).labels[0] == "class 3"


def test_views_are_spread_over_the_video(
    brightness_model: Callable, grey_video: Callable, tmp_path: Path
) -> None:
    # Dense clips of half a second: the middle is black, begin and end are white.
    clip = {"sampling": "dense", "stride": 1, "stride_fps": 10.0}
    path = grey_video(tmp_path / "a.mp4", [250] * 12 + [10] * 12 + [250] * 12)
    model = brightness_model(*NAMES, **clip)
    assert Predictor(model, device="cpu").predict(path).labels[0] == "black"
    three = Predictor(model, device="cpu", num_views=3, num_crops=2).predict(path)
    assert three.labels[0] == "white"
    assert three.scores[0] == pytest.approx(2 / 3, abs=0.05)
    assert three.num_frames == 12


def test_bad_files_stop_nothing_and_keep_their_place(
    brightness_model: Callable, grey_video: Callable, tmp_path: Path
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video at all")
    paths = [
        grey_video(tmp_path / "w.mp4", [250] * 4),
        text,
        tmp_path / "missing.mp4",
        grey_video(tmp_path / "b.mp4", [5] * 4),
        grey_video(tmp_path / "l.mp4", [160] * 2),
    ]
    predictor = Predictor(brightness_model(*NAMES), device="cpu")
    for batch_size in (1, 2, 8):
        found = list(predictor.predict_many(paths, batch_size=batch_size, num_workers=0))
        assert [result.path for result in found] == [str(path) for path in paths]
        labels = [r.labels[0] if isinstance(r, Prediction) else None for r in found]
        assert labels == ["white", None, None, "black", "light"]
        assert isinstance(found[1], PredictionFailure)
        assert isinstance(found[2], PredictionFailure)
        assert "no such file" in found[2].reason.lower()
        assert isinstance(found[4], Prediction)
        assert found[4].padded
    with pytest.raises(VideoError) as error:
        predictor.predict(text)
    assert error.value.path == str(text)
    assert error.value.reason == found[1].reason


def test_workers_give_the_same(
    brightness_model: Callable, grey_video: Callable, tmp_path: Path
) -> None:
    levels = (10, 90, 170, 250, 240)
    paths = [grey_video(tmp_path / f"{level}.mp4", [level] * 4) for level in levels]
    predictor = Predictor(brightness_model(*NAMES), device="cpu")
    here = list(predictor.predict_many(paths, num_workers=0))
    there = list(predictor.predict_many(paths, num_workers=1, batch_size=2))
    assert [result.to_dict() for result in here] == [result.to_dict() for result in there]


def test_no_files_no_results_and_wrong_arguments_at_once(brightness_model: Callable) -> None:
    predictor = Predictor(brightness_model(*NAMES), device="cpu")
    assert list(predictor.predict_many([])) == []
    with pytest.raises(UserError, match="batch_size"):
        predictor.predict_many([], batch_size=0)
    with pytest.raises(UserError, match="num_workers must be at least 0, not -1"):
        predictor.predict_many(["a.mp4"], num_workers=-1)
    with pytest.raises(UserError, match="num_views"):
        Predictor(brightness_model(*NAMES), num_views=0)
    with pytest.raises(UserError, match="num_crops"):
        Predictor(brightness_model(*NAMES), num_crops=0)


@pytest.mark.parametrize("num_frames", [1, 3, 4, 9])
def test_frames_in_memory_are_recognised(brightness_model: Callable, num_frames: int) -> None:
    predictor = Predictor(brightness_model(*NAMES), device="cpu", num_views=2, num_crops=3)
    clip = torch.full((num_frames, 3, 48, 96), 250, dtype=torch.uint8)
    found = predictor.predict(clip)
    assert found.labels[0] == "white"
    assert found.path == ""
    assert found.padded == (num_frames < 4)
    assert found.num_frames == 8


def test_the_frame_rate_of_a_tensor_decides_where_dense_clips_look(
    brightness_model: Callable,
) -> None:
    model = brightness_model(*NAMES, sampling="dense", stride=1, stride_fps=10.0)
    clip = torch.full((40, 3, 32, 32), 250, dtype=torch.uint8)
    clip[16:24] = 10
    predictor = Predictor(model, device="cpu")
    # Four frames in the middle at 10 a second; at 100 a second they span nearly everything.
    assert predictor.predict(clip).labels[0] == "black"
    assert predictor.predict(clip, frame_rate=100).labels[0] != "black"
    with pytest.raises(UserError, match="frame_rate must be above 0"):
        predictor.predict(clip, frame_rate=0)


@pytest.mark.parametrize(
    "clip",
    [
        torch.zeros(4, 3, 32, 32),
        torch.zeros(3, 4, 32, 32, dtype=torch.uint8),
        torch.zeros(3, 32, 32, dtype=torch.uint8),
        torch.zeros(0, 3, 32, 32, dtype=torch.uint8),
    ],
)
def test_a_tensor_that_is_no_clip_is_refused(
    brightness_model: Callable, clip: torch.Tensor
) -> None:
    with pytest.raises(UserError, match="a clip must"):
        Predictor(brightness_model(*NAMES), device="cpu").predict(clip)


def test_scores_that_are_no_numbers_are_a_failure(
    brightness_model: Callable, grey_video: Callable, tmp_path: Path
) -> None:
    model = brightness_model(*NAMES)
    model.linear.bias.data[2] = float("nan")
    predictor = Predictor(model, device="cpu")
    path = grey_video(tmp_path / "a.mp4", [250] * 4)
    assert list(predictor.predict_many([path])) == [
        PredictionFailure(str(path), "the model's scores are not finite")
    ]
    with pytest.raises(UserError, match="not finite"):
        predictor.predict(torch.zeros(4, 3, 32, 32, dtype=torch.uint8))


def test_names_and_logits_must_agree(brightness_model: Callable) -> None:
    predictor = Predictor(brightness_model(*NAMES, num_classes=5), device="cpu")
    with pytest.raises(UserError, match="4 class names for 5 classes"):
        predictor.predict(torch.zeros(4, 3, 32, 32, dtype=torch.uint8))


def test_results_are_plain_data() -> None:
    found = Prediction("a\udcff.mp4", ("b",), (1 / 3,), (7,), 16)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == {
        "path": "a\\udcff.mp4",
        "predictions": [{"label": "b", "class": 7, "score": 0.333333}],
        "num_frames": 16,
        "padded": False,
    }
    assert PredictionFailure("a", "why").to_dict() == {"path": "a", "error": "why"}


def test_the_real_model_says_the_same_of_a_file_and_of_its_frames(
    grey_video: Callable, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = create_model("vmf_500m", num_classes=5, num_frames=4, crop_size=32)
    model.class_names = tuple("abcde")
    path = grey_video(tmp_path / "a.mp4", list(range(0, 240, 40)), size=48)
    predictor = Predictor(model, device="cpu")
    of_file = predictor.predict(path)
    assert set(of_file.labels) == set("abcde")
    from video_mobile_former.data.video.reader import VideoReader

    with VideoReader(path) as reader:
        frames = reader.frames(list(range(6)), model.clip.resize_size)
    of_frames = predictor.predict(frames)
    assert of_frames.labels == of_file.labels
    assert of_frames.scores == pytest.approx(of_file.scores, abs=1e-6)
    # The fused copy that predicts agrees with the model itself.
    model.eval()
    clip = torch.randint(0, 256, (1, 1, 3, 4, 32, 32), dtype=torch.uint8)
    from video_mobile_former.data.transforms import normalize

    with torch.inference_mode():
        wanted = model(normalize(clip[0], model.clip)).softmax(-1)
    torch.testing.assert_close(predictor.scorer(clip), wanted, atol=1e-5, rtol=0)

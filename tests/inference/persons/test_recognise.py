"""Persons in whole videos: each is told by itself, from a list and from a detector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from onnx_detectors import write_detector
from video_mobile_former.data.video.write import write_video
from video_mobile_former.errors import UserError
from video_mobile_former.inference import Predictor
from video_mobile_former.inference.persons.boxes import read_boxes
from video_mobile_former.inference.persons.detector import Detector
from video_mobile_former.inference.persons.recognise import boxes_of, predict_persons

pytest.importorskip("trackforge")
FRAMES = 20
LEVELS = {1: 0.4, 2: 0.95}
"""Brightness of the two who walk, by the number in the list."""


def corners(track: int, frame: int) -> tuple[int, int, int, int]:
    """The first goes right, the second left below; each on 48 × 48 pixels."""
    left = 8 + 4 * frame if track == 1 else 180 - 4 * frame
    top = 8 if track == 1 else 120
    return left, top, left + 48, top + 48


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("persons") / "two.mp4"
    pictures = []
    for frame in range(FRAMES):
        picture = np.zeros((192, 256, 3), np.uint8)
        for track, level in LEVELS.items():
            x1, y1, x2, y2 = corners(track, frame)
            picture[y1:y2, x1:x2] = round(255 * level)
        pictures.append(picture)
    write_video(path, pictures, np.arange(FRAMES) / 10)
    return path


def listed(path: Path, *, tracks: bool) -> Path:
    lines = ["frame,x1,y1,x2,y2,score" + (",track" if tracks else "")]
    for frame in range(FRAMES):
        for track in LEVELS:
            row = [frame, *corners(track, frame), 0.9, *([track] if tracks else [])]
            lines.append(",".join(map(str, row)))
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("tracks", [True, False])
def test_each_person_of_a_list_is_told_by_itself(
    video: Path, tmp_path: Path, brightness_model: Callable[..., nn.Module], tracks: bool
) -> None:
    predictor = Predictor(brightness_model("dark", "grey", "light", sampling="dense"), device="cpu")
    boxes = boxes_of(video, listed(tmp_path / "boxes.csv", tracks=tracks))
    found = list(predict_persons(predictor, video, boxes, margin=0.0))
    assert [one.prediction.labels[0] for one in found] == ["grey", "light"]
    assert [one.track for one in found] == [1, 2]
    assert [one.num_boxes for one in found] == [FRAMES, FRAMES]
    assert found[0].start_seconds == pytest.approx(0)
    assert found[0].end_seconds == pytest.approx(1.9)
    assert found[0].to_dict()["box"] == [46.0, 8.0, 94.0, 56.0]
    assert found[0].to_dict()["predictions"][0]["label"] == "grey"


def test_a_detector_finds_and_follows_them(
    video: Path, tmp_path: Path, brightness_model: Callable[..., nn.Module]
) -> None:
    # Cells of 8 pixels of the detector are 32 of the picture: the light one fills some of them.
    detector = Detector(write_detector(tmp_path / "a.onnx", "columns"), threshold=0.85)
    boxes = boxes_of(video, detector, rate=10)
    assert set(boxes.tracks.tolist()) >= {1}
    for (x1, y1, x2, y2), seconds in zip(boxes.corners, boxes.seconds, strict=True):
        left, top, right, bottom = corners(2, round(seconds * 10))
        assert left - 8 <= x1 < x2 <= right + 8
        assert top - 8 <= y1 < y2 <= bottom + 8
    predictor = Predictor(brightness_model("dark", "grey", "light"), device="cpu")
    for one in predict_persons(predictor, video, boxes, margin=0.0):
        assert one.prediction.labels[0] == "light"


def test_short_tracks_and_several_crops(
    video: Path, tmp_path: Path, brightness_model: Callable[..., nn.Module]
) -> None:
    text = "frame,x1,y1,x2,y2,track\n0,8,8,56,56,1\n1,12,8,60,56,1\n"
    (tmp_path / "short.csv").write_text(text)
    boxes = read_boxes(tmp_path / "short.csv", np.arange(FRAMES) / 10, 256, 192)
    model = brightness_model("dark", "light")
    assert list(predict_persons(Predictor(model, device="cpu"), video, boxes)) == []
    with pytest.raises(UserError, match="num_crops"):
        list(predict_persons(Predictor(model, device="cpu", num_crops=3), video, boxes))

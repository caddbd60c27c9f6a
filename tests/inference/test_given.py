"""What a program hands over in place of a path gives what the file itself gives."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from video_mobile_former.errors import UserError, VideoError
from video_mobile_former.inference import Predictor
from video_mobile_former.inference import given as given_module

NAMES = ("black", "dark", "light", "white")


@pytest.fixture
def video(grey_video: Callable, tmp_path: Path) -> Path:
    # Brightness changes over time: the scores tell which frames were looked at.
    return grey_video(tmp_path / "a.mp4", list(np.linspace(10, 240, 40).astype(int)))


@pytest.fixture
def predictor(brightness_model: Callable) -> Predictor:
    return Predictor(brightness_model(*NAMES), device="cpu", num_views=2)


def test_all_ways_of_handing_over_a_video_agree(predictor: Predictor, video: Path) -> None:
    wanted = predictor.predict(video)
    with av.open(str(video)) as container:
        rate = float(container.streams.video[0].average_rate or 0)
        pictures = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    content = video.read_bytes()
    ways: dict[str, Any] = {
        "bytes": content,
        "memoryview": memoryview(content),
        "io": io.BytesIO(content),
        "array": pictures,
        "reversed twice": pictures[::-1][::-1],
        "tensor": torch.from_numpy(pictures).permute(0, 3, 1, 2),
    }
    for name, source in ways.items():
        found = predictor.predict(source, frame_rate=rate)
        # Files are made smaller by the decoder, frames by the transform: nearly the same pixels.
        same = 1e-5 if isinstance(source, (bytes, memoryview, io.BytesIO)) else 0.02
        assert found.scores == pytest.approx(wanted.scores, abs=same), name
        assert (found.path, found.num_frames) == ("", wanted.num_frames)
    with video.open("rb") as file:
        assert predictor.predict(file).scores == pytest.approx(wanted.scores, abs=1e-5)
    with av.open(str(video)) as container:
        assert predictor.predict(container).scores == pytest.approx(wanted.scores, abs=1e-5)
    assert min(wanted.scores) < 0.9 * max(wanted.scores)


def test_a_container_goes_on_from_where_it_stands(
    predictor: Predictor, video: Path, grey_video: Callable, tmp_path: Path
) -> None:
    with av.open(str(video)) as container:
        decoded = container.decode(video=0)
        for _ in range(30):
            next(decoded)
        late = predictor.predict(container)
    assert late.labels[0] == "white"
    with av.open(str(video)) as container:
        list(container.decode(video=0))
        with pytest.raises(VideoError, match="no frames are left"):
            predictor.predict(container)


def test_a_long_container_is_thinned(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with av.open(str(video)) as container:
        times, frames = given_module._decoded(container, given_module.Converter(32))
    monkeypatch.setattr(given_module, "_MOST_FRAMES", 16)
    with av.open(str(video)) as container:
        fewer, kept = given_module._decoded(container, given_module.Converter(32))
    assert (len(times), len(fewer)) == (40, 10)
    assert fewer.tolist() == times[::4].tolist()
    assert torch.equal(kept, frames[::4])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (3, "not int"),
        (io.StringIO("text"), "opened as text"),
        (np.zeros((4, 64, 64), np.uint8), r"\(T, H, W, 3\).*\(4, 64, 64\)"),
        (np.zeros((4, 3, 64, 64), np.uint8), r"\(T, H, W, 3\)"),
        (np.zeros((4, 64, 64, 3)), "uint8 RGB.*not float64"),
        (np.zeros((0, 64, 64, 3), np.uint8), "at least one picture"),
        (np.array(["a"]), "not of"),
        (torch.zeros(4, 3, 64, 64), "uint8 RGB.*not float32"),
        (torch.zeros(4, 64, 64, 3, dtype=torch.uint8), r"\(T, 3, H, W\)"),
    ],
)
def test_what_is_no_video_is_refused(predictor: Predictor, source: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        predictor.predict(source)


def test_broken_bytes_have_no_path(predictor: Predictor) -> None:
    for content in (b"", b"no video at all" * 100):
        with pytest.raises(VideoError) as caught:
            predictor.predict(content)
        assert len(str(caught.value)) < 200
    with pytest.raises(UserError, match="frame_rate must be above 0"):
        predictor.predict(np.zeros((4, 64, 64, 3), np.uint8), frame_rate=-1)

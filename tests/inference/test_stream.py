"""Streams of frames: which frames are seen, which windows are scored, and whose turn it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from video_files import numbered_frame, read_number, write_video
from video_mobile_former import create_model
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.loading.sampling import dense
from video_mobile_former.data.transforms import EvalTransform, normalize
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import UserError
from video_mobile_former.inference import Predictor
from video_mobile_former.inference.stream import FrameChooser, Slot, StreamPredictor

NAMES = ("black", "dark", "light", "white")
DENSE = {"sampling": "dense", "stride": 1, "stride_fps": 10.0}


def grey(level: int) -> np.ndarray:
    return np.full((40, 60, 3), level, np.uint8)


def levels(*values: int, fps: float = 10.0) -> Iterator[tuple[float, np.ndarray]]:
    return ((i / fps, grey(value)) for i, value in enumerate(values))


def chooser(frame_seconds: float, gap_seconds: float = 2.0) -> FrameChooser:
    return FrameChooser(ClipSpec(resize_size=64, crop_size=64), frame_seconds, gap_seconds)


def numbers(slots: list[Slot]) -> list[int]:
    return [read_number(slot.frame) for slot in slots]


@pytest.mark.parametrize("fps", [5, 10, 24, 25, 30, 60])
@pytest.mark.parametrize("frame_seconds", [1 / 10, 4 / 30, 2 / 30])
def test_the_frames_are_those_of_dense_sampling(fps: int, frame_seconds: float) -> None:
    choose = chooser(frame_seconds)
    times = np.arange(3 * fps) / fps
    slots = [s for i, t in enumerate(times) for s in choose(t, numbered_frame(i, 64, 64))]
    wanted = dense(times, len(slots), frame_seconds, position=0.0)
    assert numbers(slots) == wanted.tolist()
    assert len(slots) >= 3 / frame_seconds - 1
    ticks = np.arange(len(slots)) * frame_seconds
    assert [slot.seconds for slot in slots] == pytest.approx(ticks)
    assert abs(times[wanted] - ticks).max() <= 0.5 / fps + 1e-9


def test_only_chosen_frames_are_converted() -> None:
    class Counted:
        asked = 0

        def rgb(self, short_side: int) -> np.ndarray:
            Counted.asked += 1
            return grey(short_side)

    choose = chooser(0.2)
    slots = [s for i in range(60) for s in choose(i / 30, Counted())]
    assert len(slots) == Counted.asked == 10


def test_a_pause_and_a_restart_begin_anew() -> None:
    choose = chooser(0.1, gap_seconds=1.0)
    times = [(0, False), (0.1, False), (0.6, False), (2, False), (2.1, True)]
    slots = [
        slot
        for level, (time, restart) in enumerate(times)
        for slot in choose(time, grey(level), restart=restart)
    ]
    assert [slot.seconds for slot in slots if slot.restart] == [0, 2, 2.1]
    # What was on display in a short pause stands for it.
    assert [int(slot.frame[0, 0, 0]) for slot in slots if 0 < slot.seconds < 0.35] == [1, 1, 1]


def test_times_that_do_not_rise_are_passed_over() -> None:
    choose = chooser(0.1)
    assert len(choose(1.0, grey(1))) == 1
    assert choose(1.0, grey(1)) == choose(0.5, grey(1)) == []


@pytest.mark.parametrize("frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_what_is_no_frame_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"uint8 RGB.*\(4, 4"):
        chooser(0.1)(0.0, frame)


def test_windows_follow_each_other_by_the_stride(brightness_model: Callable) -> None:
    model = brightness_model(*NAMES, **DENSE)
    predictor = StreamPredictor(model, device="cpu", stride_seconds=0.2)
    assert predictor.window_seconds == pytest.approx(0.4)
    found = list(predictor.predict(levels(*[5] * 6, *[250] * 5), name="door"))
    spans = [(round(s.start_seconds, 3), round(s.end_seconds, 3)) for s in found]
    assert spans == [(0, 0.3), (0.2, 0.5), (0.4, 0.7), (0.6, 0.9), (0.7, 1.0)]
    assert [NAMES[s.probabilities.argmax()] for s in found][::4] == ["black", "white"]
    assert [s.restart for s in found] == [True, False, False, False, False]
    assert {s.stream for s in found} == {"door"}


@pytest.mark.slow
def test_a_window_scores_as_the_predictor_scores_its_frames(tmp_path: Path) -> None:
    model = create_model("vmf_500m", num_classes=5, num_frames=4, crop_size=64)
    model.clip = ClipSpec(
        num_frames=4, sampling="dense", stride=2, resize_size=72, crop_size=64, stride_fps=10.0
    )
    path = write_video(tmp_path / "a.mp4", 24, fps=10)
    with VideoReader(path) as reader:
        frames = reader.frames(np.arange(24))
    pictures = frames.permute(0, 2, 3, 1).numpy()
    stream = StreamPredictor(model, device="cpu", stride_seconds=0.4, batch_size=3)
    found = list(stream.predict((i / 10, picture) for i, picture in enumerate(pictures)))
    plain = Predictor(model, device="cpu")
    assert len(found) == 5
    for scores, first in zip(found, (0, 4, 8, 12, 16), strict=True):
        wanted = plain.predict(frames[first : first + 7 : 2], frame_rate=5, top_k=5)
        by_class = [wanted.scores[wanted.classes.index(k)] for k in range(5)]
        assert scores.probabilities == pytest.approx(by_class, abs=1e-5)


def test_a_short_stream_is_padded_and_an_empty_one_has_no_window(
    brightness_model: Callable,
) -> None:
    predictor = StreamPredictor(brightness_model(*NAMES, **DENSE), device="cpu")
    (only,) = predictor.predict(levels(250, 250))
    assert NAMES[only.probabilities.argmax()] == "white"
    assert (only.start_seconds, only.end_seconds) == (0, pytest.approx(0.1))
    assert list(predictor.predict([])) == []


def test_uniform_clips_are_spread_over_the_window(brightness_model: Callable) -> None:
    predictor = StreamPredictor(brightness_model(*NAMES), device="cpu", window_seconds=0.8)
    assert (predictor.frame_seconds, predictor.stride_seconds) == (0.2, 0.2)
    first = next(predictor.predict(levels(*[250] * 20)))
    assert (first.start_seconds, first.end_seconds) == (0, pytest.approx(0.6))
    assert StreamPredictor(brightness_model(*NAMES), device="cpu").window_seconds == 2.0


def test_streams_take_turns(brightness_model: Callable) -> None:
    model = brightness_model(*NAMES, **DENSE)
    predictor = StreamPredictor(model, device="cpu", stride_seconds=0.1, batch_size=2)
    streams = {name: predictor.add(name) for name in ("busy", "calm", "dull")}
    choosers = {name: predictor.chooser() for name in streams}
    for name, count in (("busy", 23), ("calm", 5), ("dull", 5)):
        for seconds, frame in levels(*[9] * count):
            streams[name].push(choosers[name](seconds, frame))
    batches = []
    while batch := predictor.score():
        batches.append([s.stream for s in batch])
    assert batches[:3] == [["busy", "calm"], ["dull", "busy"], ["calm", "dull"]]
    assert sum(batch.count("busy") for batch in batches) == 20
    assert len(batches) == 12


def test_windows_of_a_slow_stream_follow_each_other(brightness_model: Callable) -> None:
    model = brightness_model(*NAMES, **DENSE)
    predictor = StreamPredictor(model, device="cpu", stride_seconds=0.1)
    found = list(predictor.predict(levels(*[9] * 6, fps=1)))
    ends = [scores.end_seconds for scores in found]
    assert len(ends) > 30
    assert (np.diff(ends) > 0.05).all()


def test_the_newest_window_wins_where_asked(brightness_model: Callable) -> None:
    model = brightness_model(*NAMES, **DENSE)
    predictor = StreamPredictor(model, device="cpu", stride_seconds=0.1)
    stream, choose = predictor.add("live", newest=True), predictor.chooser()
    for seconds, frame in levels(*[9] * 10):
        stream.push(choose(seconds, frame))
    (scores,) = predictor.score()
    assert scores.end_seconds == pytest.approx(0.9)
    assert scores.restart
    assert stream.passed_over == 6
    assert predictor.score() == []


def test_the_begin_of_a_camera_that_broke_off_is_not_scored(brightness_model: Callable) -> None:
    predictor = StreamPredictor(brightness_model(*NAMES, **DENSE), device="cpu")
    stream, choose = predictor.add("live", newest=True), predictor.chooser()
    stream.push(choose(0.0, grey(5)))
    stream.push(choose(9.0, grey(5), restart=True))
    stream.end()
    assert predictor.score() == []


def test_a_removed_stream_is_not_scored_and_others_go_on(brightness_model: Callable) -> None:
    model = brightness_model(*NAMES, **DENSE)
    predictor = StreamPredictor(model, device="cpu", stride_seconds=0.1, batch_size=1)
    streams = [predictor.add(name) for name in "abc"]
    for stream in streams:
        choose = predictor.chooser()
        for seconds, frame in levels(*[9] * 5):
            stream.push(choose(seconds, frame))
    assert [s.stream for s in predictor.score()] == ["a"]
    predictor.remove(streams[0])
    assert [predictor.score()[0].stream for _ in range(4)] == ["b", "c", "b", "c"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("window_seconds", 0.0),
        ("stride_seconds", -1.0),
        ("stride_seconds", float("nan")),
        ("window_seconds", float("inf")),
    ],
)
def test_values_out_of_range(brightness_model: Callable, name: str, value: Any) -> None:
    with pytest.raises(UserError, match=name):
        StreamPredictor(brightness_model(*NAMES), device="cpu", **{name: value})


def test_scores_that_are_not_finite_are_refused(brightness_model: Callable) -> None:
    model = brightness_model(*NAMES, **DENSE)
    torch.nn.init.constant_(model.linear.bias, float("nan"))
    with pytest.raises(UserError, match="not finite"):
        list(StreamPredictor(model, device="cpu").predict(levels(*[9] * 5)))


# Streaming models


def streaming_model(frames_per_update: int = 2) -> Any:
    torch.manual_seed(0)
    model = create_model(
        "vmf_500m_stream",
        num_classes=5,
        num_frames=4,
        crop_size=32,
        frames_per_update=frames_per_update,
    )
    for parameter in model.parameters():  # what starts at nought would hide an error
        if not parameter.abs().sum():
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, 40, 40, 3), dtype=np.uint8))


def stepped(model: Any, frames: list[np.ndarray], step: int) -> list[list[float]]:
    """Probabilities after each step, computed without the package's streams."""
    clip = EvalTransform(model.clip)(torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2))[0]
    clip = normalize(clip.transpose(0, 1)[None], model.clip)
    state, found = model.init_state(1, 32), []
    with torch.inference_mode():
        for part in clip.split(step, dim=2):
            logits, state = model.step(part, state)
            found.append(logits[0].softmax(-1).tolist())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 4])
def test_a_streaming_model_sees_each_frame_once_and_remembers(step: int) -> None:
    model, frames = streaming_model(), pictures(12)
    period = model.clip.stride_seconds
    predictor = StreamPredictor(model, device="cpu", stride_seconds=step * period)
    assert predictor.is_streaming
    assert predictor.window_seconds == pytest.approx(step * period)
    found = list(predictor.predict((i * period, frame) for i, frame in enumerate(frames)))
    wanted = stepped(model, frames, step)
    assert [s.probabilities.tolist() for s in found] == [pytest.approx(w, abs=1e-5) for w in wanted]
    assert [s.restart for s in found] == [True] + [False] * (len(wanted) - 1)


@pytest.mark.slow
def test_streams_of_one_model_keep_their_states_apart() -> None:
    model = streaming_model()
    period = model.clip.stride_seconds
    predictor = StreamPredictor(model, device="cpu", batch_size=2)
    videos = {"a": pictures(8, 1), "b": pictures(6, 2), "c": pictures(8, 3)}
    streams = {name: (predictor.add(name), predictor.chooser()) for name in videos}
    found: dict[str, list[list[float]]] = {name: [] for name in videos}
    for i in range(8):
        for name, frames in videos.items():
            stream, choose = streams[name]
            if i < len(frames):
                stream.push(choose(i * period, frames[i]))
    while batch := predictor.score():
        assert len({s.stream for s in batch}) == len(batch)
        for scores in batch:
            found[scores.stream].append(scores.probabilities.tolist())
    for name, frames in videos.items():
        assert found[name] == [pytest.approx(w, abs=1e-5) for w in stepped(model, frames, 2)]


def test_a_streaming_model_begins_anew_after_an_outage() -> None:
    model, frames = streaming_model(), pictures(4)
    period = model.clip.stride_seconds
    predictor = StreamPredictor(model, device="cpu")
    times = [0.0, period, 100.0, 100.0 + period]
    found = list(predictor.predict(zip(times, [*frames[:2], *frames[:2]], strict=True)))
    assert [s.restart for s in found] == [True, True]
    assert found[0].probabilities == pytest.approx(found[1].probabilities, abs=1e-6)


def test_frames_that_waited_too_long_are_passed_over_by_a_streaming_model() -> None:
    model = streaming_model()
    period = model.clip.stride_seconds
    predictor = StreamPredictor(model, device="cpu")
    stream, choose = predictor.add("live", newest=True), predictor.chooser()
    for i, frame in enumerate(pictures(60)):
        stream.push(choose(i * period, frame))
    waiting = round(1.0 / predictor.stride_seconds)
    assert len(stream.due) == waiting
    assert stream.passed_over == 30 - waiting
    assert predictor.score()[0].restart


def test_a_streaming_model_has_no_window() -> None:
    with pytest.raises(UserError, match="no window"):
        StreamPredictor(streaming_model(), device="cpu", window_seconds=2)

"""Streams scored frame by frame: what each frame is answered with, and the measures, plainly."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.errors import UserError
from video_mobile_former.evaluation.streams import (
    LabelledStream,
    measure_streams,
    sliding_scores,
    spliced_streams,
    streaming_scores,
)
from video_mobile_former.models import create_model


class Shown:
    """A clip model whose logits tell which frames it was shown: their values, as classes."""

    clip = ClipSpec(num_frames=4, crop_size=32, resize_size=32, mean=(0, 0, 0), std=(1, 1, 1))
    multi_label = False

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def __call__(self, x: Tensor) -> Tensor:
        frames = (x[:, 0, :, 0, 0] * 255).round().long()
        self.seen += frames.tolist()
        return 10 * torch.nn.functional.one_hot(frames[:, -1], 16).float()


def counting(count: int) -> LabelledStream:
    frames = torch.arange(count, dtype=torch.uint8).view(1, -1, 1, 1).expand(3, -1, 32, 32)
    return LabelledStream(frames, torch.arange(count), 0.5)


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_windows_end_every_stride_and_their_answer_stands_until_the_next(stride: int) -> None:
    model: Any = Shown()
    scores = sliding_scores(model, counting(11), window=4, stride=stride, batch=2)
    ends = [t for t in range(11) if (t + 1) % stride == 0]
    assert model.seen == [[max(t - back, 0) for back in (3, 2, 1, 0)] for t in ends]
    for t in range(11):
        known = [end for end in ends if end <= t]
        if known:
            assert int(scores[t].argmax()) == known[-1]
        else:
            torch.testing.assert_close(scores[t], torch.full((16,), 1 / 16))


def test_a_streaming_model_is_asked_after_each_update_with_one_state() -> None:
    torch.manual_seed(0)
    model = create_model("vmf_500m_stream", 5, frames_per_update=3, num_frames=3, crop_size=32)
    model.eval()
    frames = torch.randint(0, 255, (3, 10, 32, 32), dtype=torch.uint8)
    scores = streaming_scores(model, LabelledStream(frames, torch.zeros(10).long(), 1.0))
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (model.clip.mean, model.clip.std))
    with torch.no_grad():
        whole = model.forward_steps(((frames[:, :9] / 255 - mean) / std)[None])[0].softmax(1)
    assert scores.shape == (10, 5)
    torch.testing.assert_close(scores[:2], torch.full((2, 5), 0.2))
    for t in range(2, 10):
        torch.testing.assert_close(scores[t], whole[(t + 1) // 3 - 1], atol=1e-5, rtol=0)


def plain_average_precision(scores: list[float], positive: list[bool]) -> float:
    """The mean over the positives of the precision among all that score at least as much."""
    found = []
    for score, is_positive in zip(scores, positive, strict=True):
        if is_positive:
            above = [p for s, p in zip(scores, positive, strict=True) if s >= score]
            found.append(sum(above) / len(above))
    return sum(found) / len(found)


def test_measures_by_their_meaning() -> None:
    torch.manual_seed(1)
    labels = [
        torch.tensor([0] * 6 + [2] * 5 + [1] * 4 + [2] * 3),
        torch.tensor([1] * 7 + [0] * 4),
    ]
    scores = [torch.rand(len(row), 4).softmax(1) for row in labels]
    streams = [
        LabelledStream(torch.zeros(3, len(row), 1, 1, dtype=torch.uint8), row, 0.25)
        for row in labels
    ]
    found = measure_streams(scores, streams)

    rows, truth = torch.cat(scores), torch.cat(labels).tolist()
    each = [
        plain_average_precision(rows[:, k].tolist(), [label == k for label in truth])
        for k in range(3)  # the fourth class never happens
    ]
    assert found.frame_map == pytest.approx(sum(each) / 3)
    answers = rows.argmax(1).tolist()
    right = [a == b for a, b in zip(answers, truth, strict=True)]
    assert found.frame_top1 == pytest.approx(sum(right) / len(right))
    delays = []
    for start, end in [(0, 6), (6, 11), (11, 15), (15, 18), (18, 25), (25, 29)]:
        times = [t for t in range(start, end) if right[t]]
        delays.append((times[0] - start + 1) * 0.25 if times else math.inf)
    ordered = sorted(delays)
    assert found.seconds_to_right == pytest.approx((ordered[2] + ordered[3]) / 2)
    assert found.answered == pytest.approx(sum(d < math.inf for d in delays) / 6)
    assert (found.frames, found.onsets) == (29, 6)


def test_what_is_never_right_is_infinitely_late() -> None:
    stream = LabelledStream(torch.zeros(3, 4, 1, 1), torch.tensor([0, 0, 1, 1]), 1.0)
    scores = torch.tensor([[0.1, 0.2, 0.7]]).expand(4, -1)
    found = measure_streams([scores], [stream])
    assert math.isinf(found.seconds_to_right)
    assert found.to_dict()["seconds_to_right"] is None
    assert found.answered == 0


def test_clips_are_put_one_after_another() -> None:
    clips = [(torch.full((3, n, 2, 2), k, dtype=torch.uint8), k) for k, n in enumerate((2, 3, 4))]
    streams = spliced_streams(clips, 2, 0.1)
    assert [s.labels.tolist() for s in streams] == [[0, 0, 1, 1, 1], [2, 2, 2, 2]]
    assert [s.onsets for s in streams] == [[0, 2], [0]]
    for stream in streams:
        assert torch.equal(stream.frames[0, :, 0, 0].long(), stream.labels)


def test_what_does_not_fit_is_said() -> None:
    stream, model = counting(3), Shown()
    with pytest.raises(UserError, match="stream of 3 frames has no answer"):
        sliding_scores(model, stream, window=4, stride=5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="at least 1"):
        sliding_scores(model, stream, window=4, stride=0)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="clips_a_stream"):
        spliced_streams([], 0, 1.0)
    with pytest.raises(UserError, match="2 scores for 1 streams"):
        measure_streams([torch.rand(3, 2)] * 2, [stream])
    with pytest.raises(UserError, match="2 scores for a stream of 3"):
        measure_streams([torch.rand(2, 2)], [stream])

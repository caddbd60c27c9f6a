"""Measuring streams: long video in which one thing follows another, scored frame by frame.

A streaming model answers after each of its updates, a clip model in a sliding window after every
so many frames; in between the last answer stands. Both are then asked the same of every frame.

Axes: N frames of a stream, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.transforms import normalize
from ..errors import UserError
from ..inference.scorer import probabilities
from ..models.runnable import RunnableModel, StreamingModel
from .metrics.average_precision import average_precisions


@dataclass(frozen=True)
class LabelledStream:
    """A stream whose frames have labels."""

    frames: Tensor
    """(3, N, H, W) uint8 RGB, as the model sees them."""
    labels: Tensor
    """(N,) int64 class of each frame."""
    frame_seconds: float
    """Time between two frames."""

    @property
    def onsets(self) -> list[int]:
        """Frames at which something else begins, the first one too."""
        changes = (self.labels[1:] != self.labels[:-1]).nonzero()[:, 0] + 1
        return [0, *changes.tolist()]


@dataclass(frozen=True)
class StreamMeasures:
    """How good answers at every frame are; shares in [0, 1]."""

    frame_map: float
    """Mean over the classes of the average precision of their frames."""
    frame_top1: float
    """Share of frames whose class has the highest score."""
    seconds_to_right: float
    """Median over what happens of the time from its onset to the first right answer; what is never
    answered right counts as infinitely late."""
    answered: float
    """Share of what happens that gets a right answer before it ends."""
    frames: int
    onsets: int

    def to_dict(self) -> dict[str, Any]:
        """JSON data; a median that is infinite is None."""
        values = asdict(self)
        if math.isinf(self.seconds_to_right):
            values["seconds_to_right"] = None
        return values


def spliced_streams(
    clips: Iterable[tuple[Tensor, int]], clips_a_stream: int, frame_seconds: float
) -> list[LabelledStream]:
    """Put clips one after another, in the order in which they come.

    Args:
        clips: Frames (3, T, H, W) uint8 and class of each.
        clips_a_stream: How many make a stream; the last one may have fewer.
        frame_seconds: Time between two frames.

    Raises:
        UserError: If ``clips_a_stream`` is below 1.
    """
    if clips_a_stream < 1:
        raise UserError(f"clips_a_stream must be at least 1, not {clips_a_stream}")
    parts = list(clips)
    streams = []
    for start in range(0, len(parts), clips_a_stream):
        mine = parts[start : start + clips_a_stream]
        labels = [torch.full((frames.shape[1],), label) for frames, label in mine]
        frames = torch.cat([frames for frames, _ in mine], dim=1)
        streams.append(LabelledStream(frames, torch.cat(labels), frame_seconds))
    return streams


@torch.no_grad()
def streaming_scores(model: StreamingModel, stream: LabelledStream) -> Tensor:
    """Probabilities (N, K) of a streaming model after every frame, from a fresh state.

    Frames before the first update get equal probabilities; those between two updates have the
    answer of the earlier one. Frames after the last whole update are answered by it.
    """
    period, count = model.frames_per_update, stream.frames.shape[1]
    state = model.init_state(1, (stream.frames.shape[2], stream.frames.shape[3]))
    answers = []
    for start in range(0, count - period + 1, period):
        frames = stream.frames[None, :, start : start + period]
        logits, state = model.step(normalize(frames, model.clip), state)
        answers.append(probabilities(logits.float(), multi_label=model.multi_label)[0])
    return _held(answers, [period * (i + 1) - 1 for i in range(len(answers))], count, period)


@torch.no_grad()
def sliding_scores(
    model: RunnableModel, stream: LabelledStream, *, window: int, stride: int, batch: int = 16
) -> Tensor:
    """Probabilities (N, K) of a clip model in windows that end every ``stride`` frames.

    The first windows reach back before the stream begins; its first frame stands for what is
    missing. A frame has the answer of the last window that ended by then.

    Args:
        model: Maps normalised clips to logits.
        stream: The frames.
        window: Frames of a window.
        stride: Frames from one window to the next.
        batch: Windows of one forward pass.
    """
    count = stream.frames.shape[1]
    if min(window, stride, batch) < 1:
        raise UserError(f"window, stride and batch must be at least 1, not {window}, {stride}")
    ends = list(range(stride - 1, count, stride))
    answers: list[Tensor] = []
    back = torch.arange(window - 1, -1, -1)
    for start in range(0, len(ends), batch):
        places = (torch.tensor(ends[start : start + batch])[:, None] - back).clamp_min(0)
        clips = stream.frames[:, places].transpose(0, 1)  # (B, 3, window, H, W)
        logits = model(normalize(clips, model.clip))
        answers += probabilities(logits.float(), multi_label=model.multi_label).unbind(0)
    return _held(answers, ends, count, stride)


def sliding_macs_per_frame(macs_per_view: int, stride: int) -> float:
    """Multiply-accumulates that a window every ``stride`` frames costs a frame."""
    return macs_per_view / stride


def measure_streams(scores: Sequence[Tensor], streams: Sequence[LabelledStream]) -> StreamMeasures:
    """Measure answers at every frame.

    Args:
        scores: (N, K) of each stream; larger is more confident.
        streams: What is right.

    Raises:
        UserError: If scores and streams do not fit.
    """
    if len(scores) != len(streams) or not streams:
        raise UserError(f"{len(scores)} scores for {len(streams)} streams; one each is needed")
    delays: list[float] = []
    right = total = 0
    for found, stream in zip(scores, streams, strict=True):
        if len(found) != len(stream.labels):
            raise UserError(f"{len(found)} scores for a stream of {len(stream.labels)} frames")
        hits = found.argmax(1) == stream.labels
        right, total = right + int(hits.sum()), total + len(hits)
        ends = [*stream.onsets[1:], len(hits)]
        for start, end in zip(stream.onsets, ends, strict=True):
            first = hits[start:end].nonzero()[:, 0]
            # The answer is there when its frame is over.
            delays.append((int(first[0]) + 1) * stream.frame_seconds if len(first) else math.inf)
    labels = torch.cat([stream.labels for stream in streams])
    every = torch.cat(list(scores))
    positives = torch.nn.functional.one_hot(labels, every.shape[1]).bool()
    precisions = average_precisions(every, positives)
    return StreamMeasures(
        frame_map=float(precisions[~precisions.isnan()].mean()),
        frame_top1=right / total,
        seconds_to_right=float(np.median(delays)),
        answered=sum(map(math.isfinite, delays)) / len(delays),
        frames=total,
        onsets=len(delays),
    )


def _held(answers: Sequence[Tensor], ends: Sequence[int], count: int, step: int) -> Tensor:
    """Scores of every frame: of the last answer by then, before the first one equal ones.

    Args:
        answers: (K,) each.
        ends: The frame after which each of them is there.
        count: Frames N.
        step: Frames from one answer to the next, for messages.
    """
    if not answers:
        raise UserError(f"a stream of {count} frames has no answer: the first is after {step}")
    table = torch.stack([torch.full_like(answers[0], 1 / len(answers[0])), *answers])
    given = torch.zeros(count, dtype=torch.long)
    given[torch.tensor(list(ends))] = 1
    return table[given.cumsum(0)]

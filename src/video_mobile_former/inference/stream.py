"""Scoring video that goes on: sliding windows of a clip model, steps of a streaming model.

Frames are chosen by their times, one every ``frame_seconds``; nothing else is converted. Windows
share the chosen frames, so that decoding and conversion cost the same whatever the stride. A
streaming model sees each chosen frame once and keeps a state for each stream. The streams of one
predictor share its model in batches, each stream in its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from ..clip_spec import ClipSpec
from ..data.transforms import EvalTransform
from ..errors import UserError
from ..models.runnable import RunnableModel, StreamingModel
from .scorer import Precision, Scorer, at_least_one

UNIFORM_SECONDS = 2.0
"""Window of a model whose clip spec names no length, as it takes trimmed clips of any."""
_WINDOWS_A_LENGTH = 4
"""Windows that begin within the length of one, unless a stride is given."""
_LEAST_GAP_SECONDS = 2.0
_WAITING_SECONDS = 1.0
"""Steps of a streaming model that wait for their turn, where only the newest count."""


@runtime_checkable
class Picture(Protocol):
    """A frame that is converted only where it is needed."""

    def rgb(self, short_side: int) -> np.ndarray:
        """``(H, W, 3)`` uint8 with its short side at so many pixels."""
        ...


class Slot(NamedTuple):
    """One tick of the model's clock, and the frame on display then."""

    seconds: float
    """Time of the tick, which rises from slot to slot; that of the frame is nearest to it."""
    frame: np.ndarray
    """``(S, S, 3)`` uint8, what the model sees of it."""
    restart: bool
    """It does not follow on what came before."""
    track: int | None = None
    """Number of the person it shows, where persons are followed."""
    box: tuple[float, float, float, float] | None = None
    """Of that person: left, top, right, bottom as shares of the picture."""
    is_last: bool = False
    """The person is gone: there is no frame, and nothing of this track follows."""


@dataclass(frozen=True)
class StreamScores:
    """What a model says of one window of a stream."""

    stream: str
    """Its name."""
    start_seconds: float
    """Time of the first frame that was seen, to half a frame."""
    end_seconds: float
    """Time of the last frame that was seen, to half a frame; rises from window to window."""
    probabilities: np.ndarray
    """``(K,)`` float32; see :class:`~.scorer.Scorer`."""
    restart: bool
    """The first of its stream, or the first after a gap: nothing goes on from before."""
    track: int | None = None
    """Number of the person, where persons are followed."""


class FrameChooser:
    """Picks the frames of one stream that a model sees, and converts only those.

    The clock starts at the first frame and ticks every ``frame_seconds``; each tick takes the
    frame nearest to it, of two equally near the earlier, as dense sampling of files does. Where
    frames come more seldom than ticks, one stands for several. A pause longer than
    ``gap_seconds`` starts the clock anew.

    Args:
        clip: Size of a frame.
        frame_seconds: Time between two ticks.
        gap_seconds: Longest time for which a frame stands.
    """

    def __init__(self, clip: ClipSpec, frame_seconds: float, gap_seconds: float):
        self._transform = EvalTransform(clip)
        self._frame_seconds, self._gap = frame_seconds, gap_seconds
        self._slack = 1e-6 * frame_seconds
        self._start, self._ticks = 0.0, 0
        self._last: float | None = None
        self._kept: Slot | None = None

    def __call__(
        self, seconds: float, picture: np.ndarray | Picture, *, restart: bool = False
    ) -> list[Slot]:
        """The slots that are known now: first of the frame before, then of this one.

        Args:
            seconds: Time stamp; a frame whose time does not rise is passed over.
            picture: ``(H, W, 3)`` uint8 of any size, or what gives it.
            restart: It does not follow on what came before, as after an outage.

        Returns:
            Often none.

        Raises:
            UserError: If the picture is no such array.
        """
        last = self._last
        if last is not None and seconds <= last and not restart:
            return []
        self._last = seconds
        if last is None or restart or seconds - last > self._gap:
            self._start, self._ticks = seconds, 1
            self._kept = Slot(seconds, self._seen(picture), restart=True)
            return [self._kept]
        step = seconds - last
        slots = []
        while self._kept is not None and self._due <= seconds - step / 2 + self._slack:
            slots.append(Slot(self._due, self._kept.frame, restart=False))
            self._ticks += 1
        self._kept = None
        # The next frame is expected as far away as the last one was.
        while self._due <= seconds + step / 2 + self._slack:
            frame = self._seen(picture) if self._kept is None else self._kept.frame
            self._kept = Slot(self._due, frame, restart=False)
            slots.append(self._kept)
            self._ticks += 1
        return slots

    @property
    def _due(self) -> float:
        """Time of the next tick."""
        return self._start + self._ticks * self._frame_seconds

    def _seen(self, picture: np.ndarray | Picture) -> np.ndarray:
        size = self._transform.decode_size
        whole = picture.rgb(size) if isinstance(picture, Picture) else picture
        if whole.dtype != np.uint8 or whole.ndim != 3 or whole.shape[2] != 3 or not whole.size:
            raise UserError(
                f"a frame must be uint8 RGB of shape (H, W, 3), not {whole.dtype} {whole.shape}"
            )
        frames = torch.from_numpy(np.ascontiguousarray(whole)).permute(2, 0, 1)[None]
        crop = self._transform(frames)[0, 0].permute(1, 2, 0)
        # A view would keep the whole picture in memory.
        return np.array(crop.numpy(), order="C")


class _Window(NamedTuple):
    slots: tuple[Slot, ...]
    restart: bool


class Stream:
    """One stream of a :class:`StreamPredictor`: its last frames, and the windows to be scored.

    Args:
        name: In results.
        length: Slots of a window.
        hop: Slots from one window to the next.
        waiting: Windows that wait, at most; the newest count and others are passed over. None lets
            all wait.
        padded: A rest that fills no window is padded with its last frame.
        track: Number of the person it shows.
    """

    def __init__(
        self,
        name: str,
        length: int,
        hop: int,
        *,
        waiting: int | None,
        padded: bool,
        track: int | None = None,
    ):
        self.name, self.track, self.is_live = name, track, waiting is not None
        self.state: dict[str, Tensor] | None = None
        """Of a streaming model, before the next window."""
        self.passed_over = 0
        """Windows that were never scored, as newer ones were there."""
        self.due: deque[_Window] = deque()
        """Windows to be scored, oldest first."""
        self._length, self._hop, self._waiting, self._padded = length, hop, waiting, padded
        self._slots: deque[Slot] = deque(maxlen=length)
        self._unseen = 0
        self._fresh = True

    def push(self, slots: Iterable[Slot]) -> None:
        """Take what :class:`FrameChooser` gives."""
        for slot in slots:
            if slot.restart or slot.is_last:
                self.end()
            if slot.is_last:
                continue
            self._slots.append(slot)
            self._unseen += 1
            if len(self._slots) == self._length and (self._fresh or self._unseen >= self._hop):
                self._add()

    def end(self) -> None:
        """Make a last window of the frames that none holds, and forget all frames.

        A stream that is shorter than a window is padded with its last frame, unless only the
        newest windows count: then it is the begin of a camera's stream that broke off.
        """
        wanted = self._waiting is None if self._fresh else self._padded
        if self._unseen and wanted:
            self._slots.extend([self._slots[-1]] * (self._length - len(self._slots)))
            self._add()
        self._slots.clear()
        self._unseen = 0
        self._fresh = True

    def _add(self) -> None:
        restart = self._fresh
        while self._waiting is not None and len(self.due) >= self._waiting:
            self.passed_over += 1
            begins = self.due.popleft().restart
            if begins and self.due:
                self.due[0] = self.due[0]._replace(restart=True)
            restart = restart or (begins and not self.due)
        self.due.append(_Window(tuple(self._slots), restart))
        self._unseen, self._fresh = 0, False


class StreamPredictor:
    """Scores streams of frames with one model, window by window.

    Args:
        model: See :class:`~.scorer.Scorer`; not changed.
        device: ``"auto"`` or a name torch knows.
        precision: ``"32"``, or ``"bf16"`` for bfloat16 autocast.
        window_seconds: Length of a window; None takes that of the model's dense clips, and 2 s for
            a model with uniform sampling. Not for streaming models, which have no window.
        stride_seconds: Time from one window to the next, rounded to whole frames of the model;
            None takes a quarter of a window. Of a streaming model the time from answer to answer,
            rounded to whole updates; None takes one update.
        batch_size: Windows in one forward pass, at most; None takes one on a CPU, where more save
            no time and are older when they are done, and else 8.

    Raises:
        UserError: If an argument is out of range or the device is absent.
    """

    def __init__(
        self,
        model: nn.Module | RunnableModel,
        *,
        device: str | torch.device = "auto",
        precision: Precision = "32",
        window_seconds: float | None = None,
        stride_seconds: float | None = None,
        batch_size: int | None = None,
    ):
        if batch_size is not None:
            at_least_one("batch_size", batch_size)
        _above_zero("window_seconds", window_seconds)
        _above_zero("stride_seconds", stride_seconds)
        self.scorer = Scorer(model, device=device, precision=precision)
        self.class_names: tuple[str, ...] | None = self.scorer.model.class_names
        self.multi_label: bool = self.scorer.multi_label
        clip = self.clip = self.scorer.clip
        self.is_streaming = isinstance(self.scorer.model, StreamingModel)
        """Whether the model keeps a state and sees each frame once."""
        if window_seconds is None and clip.sampling == "dense":
            window_seconds = clip.num_frames * clip.stride_seconds
        elif self.is_streaming:
            raise UserError(
                "a streaming model has no window: leave it out, its stride says when it answers"
            )
        self.window_seconds: float = UNIFORM_SECONDS if window_seconds is None else window_seconds
        """Length of a window; of a streaming model, time between two answers."""
        self.frame_seconds = self.window_seconds / clip.num_frames
        """Time between two frames that the model sees."""
        update = self.scorer.model.frames_per_update if self.is_streaming else 1
        usual = update * self.frame_seconds
        if not self.is_streaming:
            usual = self.window_seconds / _WINDOWS_A_LENGTH
        updates = round((stride_seconds or usual) / (update * self.frame_seconds))
        self.hop_frames: int = max(1, updates) * update
        """Frames of the model from one window to the next."""
        self.stride_seconds = self.hop_frames * self.frame_seconds
        """Time from one window to the next."""
        self._length = self.hop_frames if self.is_streaming else clip.num_frames
        self.window_seconds = self._length * self.frame_seconds
        self._num_classes: int | None = None
        usual_size = 1 if self.scorer.device.type == "cpu" else 8
        self.batch_size: int = usual_size if batch_size is None else batch_size
        """Windows in one forward pass, at most."""
        self._streams: list[Stream] = []
        self._turn = 0

    @property
    def num_classes(self) -> int:
        """Scores of a window."""
        if self.class_names is not None:
            return len(self.class_names)
        if self._num_classes is None:
            clip = self.clip
            size = (1, 1, 3, clip.num_frames, clip.crop_size, clip.crop_size)
            self._num_classes = self.scorer(torch.zeros(size, dtype=torch.uint8)).shape[1]
        return self._num_classes

    def label(self, number: int) -> str:
        """The name of a class."""
        names = self.class_names
        return f"class {number}" if names is None else names[number]

    def chooser(self) -> FrameChooser:
        """What picks the frames of one stream; it may run in a thread of its own."""
        return FrameChooser(self.clip, self.frame_seconds, self.gap_seconds)

    @property
    def gap_seconds(self) -> float:
        """Longest time for which a frame stands."""
        return max(self.window_seconds, _LEAST_GAP_SECONDS)

    def add(self, name: str, *, newest: bool = False, track: int | None = None) -> Stream:
        """A new stream.

        Args:
            name: In its scores.
            track: In its scores: the number of the person it shows.
            newest: Pass over windows that were not scored before the next was complete, and of a
                streaming model frames that have waited for a second; otherwise all are scored.
        """
        waiting = max(1, round(_WAITING_SECONDS / self.stride_seconds)) if self.is_streaming else 1
        stream = Stream(
            name,
            self._length,
            self.hop_frames,
            waiting=waiting if newest else None,
            padded=not self.is_streaming,
            track=track,
        )
        self._streams.append(stream)
        return stream

    def remove(self, stream: Stream) -> None:
        """Forget a stream; windows of it that are still due are not scored."""
        place = self._streams.index(stream)
        del self._streams[place]
        self._turn -= self._turn > place

    def score(self) -> list[StreamScores]:
        """Score one batch of the windows that are due.

        Each stream gives its oldest window in turn, so that none waits for another that has many;
        streams for which there was no room come first in the next batch.

        Returns:
            Those of one stream in order; none where nothing is due.

        Raises:
            UserError: If the scores are not finite.
        """
        chosen = self._choose()
        if not chosen:
            return []
        clips = _clips([window for _, window in chosen])
        found = self._stepped(chosen, clips) if self.is_streaming else self.scorer(clips[:, None])
        scores = found.numpy()
        if not np.isfinite(scores).all():
            raise UserError("the model's scores are not finite")
        return [
            StreamScores(
                stream=stream.name,
                start_seconds=window.slots[0].seconds,
                end_seconds=window.slots[-1].seconds,
                probabilities=row,
                restart=window.restart,
                track=stream.track,
            )
            for (stream, window), row in zip(chosen, scores, strict=True)
        ]

    def predict(
        self, frames: Iterable[tuple[float, np.ndarray | Picture]], *, name: str = ""
    ) -> Iterator[StreamScores]:
        """Score all windows of one stream, such as a file, in memory that does not grow.

        Args:
            frames: Rising times in seconds and pictures, see :class:`FrameChooser`.
            name: In the scores.

        Yields:
            Windows in order. The last one ends at the last frame; a stream shorter than a window
            is padded with its last frame. One without a frame has none.
        """
        stream, choose = self.add(name), self.chooser()
        try:
            for seconds, picture in frames:
                stream.push(choose(seconds, picture))
                while len(stream.due) >= self.batch_size:
                    yield from self.score()
            stream.end()
            while stream.due:
                yield from self.score()
        finally:
            self.remove(stream)

    def _stepped(self, chosen: list[tuple[Stream, _Window]], clips: Tensor) -> Tensor:
        states = [
            self.scorer.model.init_state(1, self.clip.crop_size)
            if window.restart or stream.state is None
            else stream.state
            for stream, window in chosen
        ]
        joined = {name: torch.cat([state[name] for state in states]) for name in states[0]}
        scores, joined = self.scorer.step(clips, joined)
        for i, (stream, _) in enumerate(chosen):
            # A copy: a view would keep the states of all in memory.
            stream.state = {name: value[i : i + 1].clone() for name, value in joined.items()}
        return scores

    def _choose(self) -> list[tuple[Stream, _Window]]:
        chosen: list[tuple[Stream, _Window]] = []
        waiting = self._streams[self._turn :] + self._streams[: self._turn]
        while len(chosen) < self.batch_size:
            waiting = [stream for stream in waiting if stream.due]
            if not waiting:
                break
            for stream in waiting[: self.batch_size - len(chosen)]:
                chosen.append((stream, stream.due.popleft()))
            # A step needs the state that the one before leaves; and a live stream does not wait
            # until many windows of a file are done.
            if self.is_streaming or any(stream.is_live for stream in self._streams):
                break
        if chosen:
            self._turn = (self._streams.index(chosen[-1][0]) + 1) % len(self._streams)
        return chosen


def _clips(windows: list[_Window]) -> Tensor:
    """``(B, 3, T, S, S)`` uint8."""
    stacked = np.stack([np.stack([slot.frame for slot in window.slots]) for window in windows])
    return torch.from_numpy(stacked).permute(0, 4, 1, 2, 3)


def _above_zero(name: str, value: float | None) -> None:
    if value is not None and not 0 < value < float("inf"):
        raise UserError(f"{name} must be above 0, not {value}")

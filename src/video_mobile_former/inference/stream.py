"""Scoring video that goes on: sliding windows of a clip model over one or several streams.

Frames are chosen by their times, one every ``frame_seconds``; nothing else is converted. Windows
share the chosen frames, so that decoding and conversion cost the same whatever the stride. The
streams of one predictor share its model in batches, each stream in its turn.
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
from ..models.runnable import RunnableModel
from .scorer import Precision, Scorer, at_least_one

UNIFORM_SECONDS = 2.0
"""Window of a model whose clip spec names no length, as it takes trimmed clips of any."""
_WINDOWS_A_LENGTH = 4
"""Windows that begin within the length of one, unless a stride is given."""
_LEAST_GAP_SECONDS = 2.0


@runtime_checkable
class Picture(Protocol):
    """A frame that is converted only where it is needed."""

    def rgb(self, short_side: int) -> np.ndarray:
        """``(H, W, 3)`` uint8 with its short side at so many pixels."""
        ...


class Slot(NamedTuple):
    """One tick of the model's clock, and the frame on display then."""

    seconds: float
    """Time stamp of the frame."""
    frame: np.ndarray
    """``(S, S, 3)`` uint8, what the model sees of it."""
    restart: bool
    """It does not follow on what came before."""


@dataclass(frozen=True)
class StreamScores:
    """What a model says of one window of a stream."""

    stream: str
    """Its name."""
    start_seconds: float
    """Time stamp of the first frame that was seen."""
    end_seconds: float
    """Time stamp of the last frame that was seen."""
    probabilities: np.ndarray
    """``(K,)`` float32; see :class:`~.scorer.Scorer`."""
    restart: bool
    """The first of its stream, or the first after a gap: nothing goes on from before."""


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
            self._kept = self._shown(seconds, picture, restart=True)
            return [self._kept]
        step = seconds - last
        slots = []
        while self._kept is not None and self._is_due(seconds - step / 2):
            slots.append(self._kept._replace(restart=False))
            self._ticks += 1
        self._kept = None
        # The next frame is expected as far away as the last one was.
        while self._is_due(seconds + step / 2):
            self._kept = self._kept or self._shown(seconds, picture, restart=False)
            slots.append(self._kept)
            self._ticks += 1
        return slots

    def _is_due(self, seconds: float) -> bool:
        """Whether the next tick is not after ``seconds``, but for rounding."""
        return self._start + (self._ticks - 1e-6) * self._frame_seconds <= seconds

    def _shown(self, seconds: float, picture: np.ndarray | Picture, *, restart: bool) -> Slot:
        size = self._transform.decode_size
        whole = picture.rgb(size) if isinstance(picture, Picture) else picture
        if whole.dtype != np.uint8 or whole.ndim != 3 or whole.shape[2] != 3 or not whole.size:
            raise UserError(
                f"a frame must be uint8 RGB of shape (H, W, 3), not {whole.dtype} {whole.shape}"
            )
        frames = torch.from_numpy(np.ascontiguousarray(whole)).permute(2, 0, 1)[None]
        crop = self._transform(frames)[0, 0].permute(1, 2, 0)
        # A view would keep the whole picture in memory.
        return Slot(seconds, np.array(crop.numpy(), order="C"), restart)


class _Window(NamedTuple):
    slots: tuple[Slot, ...]
    restart: bool


class Stream:
    """One stream of a :class:`StreamPredictor`: its last frames, and the windows to be scored.

    Args:
        name: In results.
        length: Slots of a window.
        hop: Slots from one window to the next.
        newest: A window that was not scored before the next is complete is passed over.
    """

    def __init__(self, name: str, length: int, hop: int, *, newest: bool):
        self.name = name
        self.passed_over = 0
        """Windows that were never scored, as newer ones were there."""
        self.due: deque[_Window] = deque()
        """Windows to be scored, oldest first."""
        self._length, self._hop, self._newest = length, hop, newest
        self._slots: deque[Slot] = deque(maxlen=length)
        self._unseen = 0
        self._fresh = True

    def push(self, slots: Iterable[Slot]) -> None:
        """Take what :class:`FrameChooser` gives."""
        for slot in slots:
            if slot.restart:
                self.end()
            self._slots.append(slot)
            self._unseen += 1
            if len(self._slots) == self._length and (self._fresh or self._unseen >= self._hop):
                self._add()

    def end(self) -> None:
        """Make a last window of the frames that none holds, and forget all frames.

        A stream that is shorter than a window is padded with its last frame, unless only the
        newest windows count: then it is the begin of a camera's stream that broke off.
        """
        if self._unseen and not (self._newest and self._fresh):
            self._slots.extend([self._slots[-1]] * (self._length - len(self._slots)))
            self._add()
        self._slots.clear()
        self._unseen = 0
        self._fresh = True

    def _add(self) -> None:
        restart = self._fresh
        if self._newest and self.due:
            self.passed_over += len(self.due)
            restart = restart or any(window.restart for window in self.due)
            self.due.clear()
        self.due.append(_Window(tuple(self._slots), restart))
        self._unseen, self._fresh = 0, False


class StreamPredictor:
    """Scores streams of frames with one model, window by window.

    Args:
        model: See :class:`~.scorer.Scorer`; not changed.
        device: ``"auto"`` or a name torch knows.
        precision: ``"32"``, or ``"bf16"`` for bfloat16 autocast.
        window_seconds: Length of a window; None takes that of the model's dense clips, and 2 s for
            a model with uniform sampling.
        stride_seconds: Time from one window to the next, rounded to whole frames of the model;
            None takes a quarter of a window.
        batch_size: Windows in one forward pass, at most.

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
        batch_size: int = 8,
    ):
        at_least_one("batch_size", batch_size)
        _above_zero("window_seconds", window_seconds)
        _above_zero("stride_seconds", stride_seconds)
        self.scorer = Scorer(model, device=device, precision=precision, views_at_once=batch_size)
        self.class_names: tuple[str, ...] | None = self.scorer.model.class_names
        self.multi_label: bool = self.scorer.multi_label
        clip = self.clip = self.scorer.clip
        if window_seconds is None and clip.sampling == "dense":
            window_seconds = clip.num_frames * clip.stride_seconds
        self.window_seconds: float = UNIFORM_SECONDS if window_seconds is None else window_seconds
        self.frame_seconds = self.window_seconds / clip.num_frames
        """Time between two frames that the model sees."""
        wanted = stride_seconds or self.window_seconds / _WINDOWS_A_LENGTH
        self._hop = max(1, round(wanted / self.frame_seconds))
        self.stride_seconds = self._hop * self.frame_seconds
        """Time from one window to the next."""
        self._batch_size = batch_size
        self._streams: list[Stream] = []
        self._turn = 0

    def chooser(self) -> FrameChooser:
        """What picks the frames of one stream; it may run in a thread of its own."""
        gap = max(self.window_seconds, _LEAST_GAP_SECONDS)
        return FrameChooser(self.clip, self.frame_seconds, gap)

    def add(self, name: str, *, newest: bool = False) -> Stream:
        """A new stream.

        Args:
            name: In its scores.
            newest: Pass over windows that were not scored in time; otherwise all are scored.
        """
        stream = Stream(name, self.clip.num_frames, self._hop, newest=newest)
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
        scores = self.scorer(_clips([window for _, window in chosen])).numpy()
        if not np.isfinite(scores).all():
            raise UserError("the model's scores are not finite")
        return [
            StreamScores(
                stream=stream.name,
                start_seconds=window.slots[0].seconds,
                end_seconds=window.slots[-1].seconds,
                probabilities=row,
                restart=window.restart,
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
                while len(stream.due) >= self._batch_size:
                    yield from self.score()
            stream.end()
            while stream.due:
                yield from self.score()
        finally:
            self.remove(stream)

    def _choose(self) -> list[tuple[Stream, _Window]]:
        chosen: list[tuple[Stream, _Window]] = []
        waiting = self._streams[self._turn :] + self._streams[: self._turn]
        while len(chosen) < self._batch_size:
            waiting = [stream for stream in waiting if stream.due]
            if not waiting:
                break
            for stream in waiting[: self._batch_size - len(chosen)]:
                chosen.append((stream, stream.due.popleft()))
        if chosen:
            self._turn = (self._streams.index(chosen[-1][0]) + 1) % len(self._streams)
        return chosen


def _clips(windows: list[_Window]) -> Tensor:
    """``(B, 1, 3, T, S, S)`` uint8."""
    stacked = np.stack([np.stack([slot.frame for slot in window.slots]) for window in windows])
    return torch.from_numpy(stacked).permute(0, 4, 1, 2, 3)[:, None]


def _above_zero(name: str, value: float | None) -> None:
    if value is not None and not 0 < value < float("inf"):
        raise UserError(f"{name} must be above 0, not {value}")

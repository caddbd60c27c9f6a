"""The one thread that runs models: clips of several callers in one pass, streams in their turn.

Whoever wants something of a model asks this thread, so that torch's threads are never
oversubscribed and decoding, which is done in other processes, goes on meanwhile.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..inference.stream import Slot, StreamScores
from .failures import StoppedError
from .served import ServedModel

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_GAIN = 0.95
"""Time of a clip in a batch over that alone, below which batches are worth it."""
_TRIED_BATCH = 8


@dataclass(frozen=True)
class Scored:
    """What a model says of one video."""

    probabilities: np.ndarray
    """``(K,)`` float32, averaged over views."""
    begun: float
    """Monotonic clock: when its pass began."""
    ended: float
    batch: int
    """Clips in that pass."""


@dataclass
class _Request:
    clips: Tensor
    """``(V, 3, T, S, S)`` uint8."""
    future: Future[Scored]
    arrived: float


@dataclass
class _Call:
    function: Callable[[], Any]
    future: Future[Any]

    def run(self) -> None:
        if self.future.set_running_or_notify_cancel():
            try:
                self.future.set_result(self.function())
            except Exception as error:  # noqa: BLE001 - for whoever waits
                self.future.set_exception(error)


class OpenStream:
    """A stream of frames whose windows are scored; see :meth:`ModelThread.open`."""

    def __init__(
        self,
        thread: ModelThread,
        model: ServedModel,
        name: str,
        on_scores: Callable[[StreamScores], None],
        on_end: Callable[[Exception | None], None],
        *,
        newest: bool,
    ):
        self.model, self.name = model, name
        self._thread, self._on_scores, self._on_end = thread, on_scores, on_end
        self._stream = model.predictor.add(name, newest=newest)
        self._ending = self._ended = False

    @property
    def due(self) -> int:
        """Windows that wait to be scored."""
        return len(self._stream.due)

    @property
    def passed_over(self) -> int:
        """Windows that were never scored, as newer ones were there."""
        return self._stream.passed_over

    def push(self, slots: Sequence[Slot]) -> Future[None]:
        """Take what a frame chooser gives; done when the thread has it."""
        return self._thread.call(lambda: self._stream.push(slots), first=True)

    def end(self) -> None:
        """No more frames come: ``on_end`` is called when the last window is scored."""
        self._thread.call(self._finish, first=True)

    def close(self) -> None:
        """Forget it; what is due is not scored, and nothing is called any more."""
        with contextlib.suppress(StoppedError):
            self._thread.call(self._remove, first=True)

    # In the thread of the models

    def give(self, scores: StreamScores) -> None:
        """Hand scores on."""
        if self._ended:
            return
        try:
            self._on_scores(scores)
        except Exception as error:  # noqa: BLE001 - one stream must not end the others
            self.fail(error)

    def settle(self) -> None:
        """Say the end where all is scored."""
        if self._ending and not self._stream.due:
            self.fail(None)

    def fail(self, error: Exception | None) -> None:
        """End it."""
        if not self._ended:
            self._remove()
            self._on_end(error)

    def _finish(self) -> None:
        if not self._ended:
            self._stream.end()
            self._ending = True
            self.settle()

    def _remove(self) -> None:
        if not self._ended:
            self._ended = True
            self.model.predictor.remove(self._stream)
            self._thread.forget(self)


class ModelThread:
    """Runs the models of a service.

    Args:
        models: What is run.
        batch_size: Clips in one pass, at most; 0 takes what was quickest in :meth:`start`.
        batch_seconds: Longest wait of a clip for others that are on their way.
        on_batch: Is called with the clips of each pass and its seconds.
    """

    def __init__(
        self,
        models: Sequence[ServedModel],
        *,
        batch_size: int = 0,
        batch_seconds: float = 0.005,
        on_batch: Callable[[int, float], None] | None = None,
    ):
        self.models = tuple(models)
        self.batch_sizes = {model.name: batch_size for model in models}
        self._batch_seconds = batch_seconds
        self._on_batch = on_batch or (lambda clips, seconds: None)
        self._condition = threading.Condition()
        self._requests: dict[str, deque[_Request]] = {model.name: deque() for model in models}
        self._coming: dict[str, int] = {model.name: 0 for model in models}
        self._first: deque[_Call] = deque()
        self._later: deque[_Call] = deque()
        self._streams: dict[str, OpenStream] = {}
        self._numbers = itertools.count()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="vmf-models", daemon=True)

    def start(self) -> None:
        """Run each model once, choose sizes of batches, and begin.

        Raises:
            UserError: If a model cannot run.
        """
        self._thread.start()
        for model in self.models:
            if not self.batch_sizes[model.name]:
                self.batch_sizes[model.name] = self.call(lambda m=model: _best_batch(m)).result()

    @property
    def is_running(self) -> bool:
        """Whether answers are to be had."""
        return self._thread.is_alive() and not self._stopping

    def stop(self) -> None:
        """End the thread; what waits fails."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join()
        gone = StoppedError("the service is ending")
        waiting = [request for requests in self._requests.values() for request in requests]
        for one in (*waiting, *self._first, *self._later):
            _fail(one.future, gone)
        for stream in list(self._streams.values()):
            stream.fail(gone)

    @contextlib.contextmanager
    def coming(self, model: ServedModel) -> Any:
        """Say that a clip for a model is being read: others may wait for it a few milliseconds."""
        with self._condition:
            self._coming[model.name] += 1
        try:
            yield
        finally:
            with self._condition:
                self._coming[model.name] -= 1
                self._condition.notify()

    def score(self, model: ServedModel, clips: Tensor) -> Future[Scored]:
        """Score the views of a video, in one pass with those of others.

        Args:
            model: One of the models.
            clips: ``(V, 3, T, S, S)`` uint8.
        """
        request = _Request(clips, Future(), time.monotonic())
        self._add(lambda: self._requests[model.name].append(request))
        return request.future

    def call(self, function: Callable[[], T], *, first: bool = False) -> Future[T]:
        """Let the thread do something between two passes.

        Args:
            function: What.
            first: Before all else: for what takes no time. Others take turns with clips and
                streams.
        """
        future: Future[T] = Future()
        call = _Call(function, future)
        self._add(lambda: (self._first if first else self._later).append(call))
        return future

    def open(
        self,
        model: ServedModel,
        on_scores: Callable[[StreamScores], None],
        on_end: Callable[[Exception | None], None],
        *,
        newest: bool,
    ) -> Future[OpenStream]:
        """A stream of frames.

        Args:
            model: One of the models.
            on_scores: Is called in this thread with the scores of each window.
            on_end: Likewise when all are scored, or with the error that ended it.
            newest: See :meth:`~..inference.stream.StreamPredictor.add`.
        """

        def make() -> OpenStream:
            name = str(next(self._numbers))
            stream = OpenStream(self, model, name, on_scores, on_end, newest=newest)
            self._streams[name] = stream
            return stream

        return self.call(make, first=True)

    def forget(self, stream: OpenStream) -> None:
        """Drop a stream that has ended."""
        self._streams.pop(stream.name, None)

    def _add(self, append: Callable[[], None]) -> None:
        with self._condition:
            if self._stopping:
                raise StoppedError("the service is ending")
            append()
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not (self._stopping or self._has_work()):
                    self._condition.wait(self._until_batch())
                if self._stopping:
                    return
                first = list(self._first)
                self._first.clear()
                later = self._later.popleft() if self._later else None
            for call in first:
                call.run()
            for model in self.models:
                self._score_batch(model)
                self._score_windows(model)
            if later is not None:
                later.run()

    # All but the passes themselves under the lock

    def _has_work(self) -> bool:
        if self._first or self._later:
            return True
        if any(self._is_ready(model.name) for model in self.models):
            return True
        return any(stream.due for stream in self._streams.values())

    def _is_ready(self, name: str) -> bool:
        """Whether a batch is full, or nothing is worth waiting for."""
        waiting = self._requests[name]
        if not waiting:
            return False
        if sum(len(r.clips) for r in waiting) >= self.batch_sizes[name] or not self._coming[name]:
            return True
        return time.monotonic() - waiting[0].arrived >= self._batch_seconds

    def _until_batch(self) -> float | None:
        """Seconds until the oldest clip has waited long enough."""
        oldest = [waiting[0].arrived for waiting in self._requests.values() if waiting]
        if not oldest:
            return None
        return max(0.0, min(oldest) + self._batch_seconds - time.monotonic())

    def _score_batch(self, model: ServedModel) -> None:
        batch: list[_Request] = []
        with self._condition:
            if not self._is_ready(model.name):
                return
            waiting = self._requests[model.name]
            while waiting and (
                not batch
                or sum(len(r.clips) for r in batch) + len(waiting[0].clips)
                <= self.batch_sizes[model.name]
            ):
                request = waiting.popleft()
                if request.future.set_running_or_notify_cancel():
                    batch.append(request)
        if not batch:
            return
        begun = time.monotonic()
        try:
            views = torch.cat([request.clips for request in batch])
            scores = model.predictor.scorer(views[:, None]).numpy()
            if not np.isfinite(scores).all():
                raise UserError("the model's scores are not finite")
        except Exception as error:  # noqa: BLE001 - for those who wait
            for request in batch:
                request.future.set_exception(error)
            return
        ended = time.monotonic()
        self._on_batch(len(views), ended - begun)
        at = 0
        for request in batch:
            mean = scores[at : at + len(request.clips)].mean(axis=0)
            at += len(request.clips)
            request.future.set_result(Scored(mean, begun, ended, len(views)))

    def _score_windows(self, model: ServedModel) -> None:
        mine = [stream for stream in self._streams.values() if stream.model is model]
        if not any(stream.due for stream in mine):
            return
        begun = time.monotonic()
        try:
            found = model.predictor.score()
        except Exception as error:  # noqa: BLE001 - whose window it was is not known
            for stream in mine:
                stream.fail(error)
            return
        if found:
            self._on_batch(len(found), time.monotonic() - begun)
        for scores in found:
            stream = self._streams.get(scores.stream)
            if stream is not None:
                stream.give(scores)
        for stream in mine:
            stream.settle()


def _best_batch(model: ServedModel) -> int:
    """Clips in one pass: several where each then takes less time than alone.

    On a processor the features of several clips may leave its cache, so that large models are
    quicker with one; small ones spend their time between operations.
    """
    predictor = model.predictor
    clip = predictor.clip
    shape = (_TRIED_BATCH, 1, 3, clip.num_frames, clip.crop_size, clip.crop_size)
    clips = torch.zeros(shape, dtype=torch.uint8)

    def seconds(size: int) -> float:
        begun = time.perf_counter()
        for _ in range(_TRIED_BATCH // size if size > 1 else 2):
            predictor.scorer(clips[:size])
        return (time.perf_counter() - begun) / (_TRIED_BATCH if size > 1 else 2)

    seconds(1)
    alone, together = seconds(1), seconds(_TRIED_BATCH)
    return _TRIED_BATCH if together < _GAIN * alone else 1


def _fail(future: Future[Any], error: Exception) -> None:
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_exception(error)

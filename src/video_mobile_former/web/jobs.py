"""Jobs: what happens when in a whole video, while the caller asks how far it is."""

from __future__ import annotations

import base64
import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..inference.attention import token_attention
from ..inference.events import EventSettings
from ..inference.find import EventCollector
from ..inference.stream import Slot, StreamScores
from .failures import CancelledError, StoppedError
from .metrics import Metrics
from .model_thread import ModelThread
from .problems import ProblemError, of_error
from .reading import Bounds, read_slots, slots_of
from .served import ServedModel
from .settings import ServeSettings
from .workers import WorkerPool

State = Literal["waiting", "running", "done", "failed", "cancelled"]
_KEPT = 64
"""Finished jobs whose results are kept, at most."""
_AHEAD = 4
"""Windows that wait for the model before reading pauses."""
_LABELS = 20
_BEST = 5
_ATTENTION_CLIPS = 40
"""Clips of a video whose attention is shown, at most."""
_ATTENTION_SIDE = 16
"""Rows and columns of a map, at most."""


@dataclass
class Job:
    """A video in which events are looked for."""

    model: ServedModel
    settings: EventSettings
    thresholds: Any
    attention: bool
    name: str
    """Of the video, for messages."""
    path: str
    resources: contextlib.ExitStack
    """Closed when the video is no longer needed."""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "waiting"
    progress: float = 0.0
    begun: float | None = None
    ended: float | None = None
    result: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None
    fetched: bool = False
    """Somebody has seen how it ended."""
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ("done", "failed", "cancelled")

    def to_dict(self) -> dict[str, Any]:
        """What callers are told."""
        left = None
        if self.state == "running" and self.begun is not None and self.progress > 0.02:
            spent = time.monotonic() - self.begun
            left = round(spent / self.progress * (1 - self.progress), 1)
        return {
            "id": self.id,
            "state": self.state,
            "progress": round(self.progress, 4),
            "seconds_left": left,
            "result": self.result,
            "problem": self.problem,
        }


class Jobs:
    """The jobs of a service.

    Args:
        thread: Runs the models.
        pool: Reads the videos.
        settings: Limits.
        metrics: Shows them.
    """

    def __init__(
        self, thread: ModelThread, pool: WorkerPool, settings: ServeSettings, metrics: Metrics
    ):
        self._thread, self._pool, self._settings = thread, pool, settings
        self._metrics = metrics
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._coming = 0
        self._threads = ThreadPoolExecutor(settings.jobs, thread_name_prefix="vmf-job")

    @contextlib.contextmanager
    def room(self) -> Iterator[None]:
        """Keep room for a job whose video is being received.

        Raises:
            ProblemError: If there is none.
        """
        with self._lock:
            most = self._settings.jobs + self._settings.jobs_waiting
            if len(self._open()) + self._coming >= most:
                text = f"{most} jobs run or wait: try again"
                raise ProblemError(503, text, retry_seconds=10, name="full")
            self._coming += 1
        try:
            yield
        finally:
            with self._lock:
                self._coming -= 1

    def add(self, job: Job, bounds: Bounds) -> None:
        """Let a job run as soon as it is its turn."""
        with self._lock:
            self._tidy()
            self._jobs[job.id] = job
        self._threads.submit(self._run, job, bounds)
        self._show()

    def get(self, number: str) -> Job:
        """A job by its id.

        Raises:
            ProblemError: If there is none.
        """
        with self._lock:
            self._tidy()
            job = self._jobs.get(number)
        if job is None:
            text = "there is no such job; results are kept for "
            text += f"{self._settings.keep_seconds:g} s"
            raise ProblemError(404, text, name="no-job")
        return job

    def seen(self, job: Job) -> dict[str, Any]:
        """What is told of a job now."""
        finished = job.is_finished
        told = job.to_dict()
        job.fetched = job.fetched or finished
        return told

    def delete(self, number: str) -> None:
        """Cancel a job, or forget one that has ended.

        Raises:
            ProblemError: If there is none.
        """
        job = self.get(number)
        with self._lock:
            if job.is_finished:
                self._jobs.pop(number, None)
            elif job.state == "waiting":
                self._finish(job, "cancelled")
            job.cancelled.set()
        self._show()

    @property
    def unfinished(self) -> int:
        """Jobs that wait or run, and those whose end nobody has seen."""
        with self._lock:
            return sum(not job.is_finished or not job.fetched for job in self._jobs.values())

    @property
    def running(self) -> int:
        """Jobs that wait or run."""
        with self._lock:
            return len(self._open())

    def close(self) -> None:
        """Cancel all."""
        with self._lock:
            for job in self._open():
                job.cancelled.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            for job in self._open():
                self._finish(job, "cancelled")

    def _open(self) -> list[Job]:
        return [job for job in self._jobs.values() if not job.is_finished]

    def _tidy(self) -> None:
        """Forget what is too old."""
        now = time.monotonic()
        done = [job for job in self._jobs.values() if job.ended is not None]
        done.sort(key=lambda job: job.ended or 0.0)
        old = [job for job in done if now - (job.ended or now) > self._settings.keep_seconds]
        for job in {job.id: job for job in (*old, *done[: max(0, len(done) - _KEPT)])}.values():
            del self._jobs[job.id]

    def _show(self) -> None:
        with self._lock:
            for state in ("waiting", "running", "done", "failed", "cancelled"):
                count = sum(job.state == state for job in self._jobs.values())
                self._metrics.jobs.labels(state).set(count)

    def _finish(self, job: Job, state: State) -> None:
        job.state, job.ended = state, time.monotonic()
        job.resources.close()

    def _run(self, job: Job, bounds: Bounds) -> None:
        with self._lock:
            if job.is_finished:
                return
            job.state, job.begun = "running", time.monotonic()
        self._show()
        state: State = "failed"
        try:
            job.result = _find(job, bounds, self._thread, self._pool)
            job.progress = 1.0
            state = "done"
        except CancelledError:
            state = "cancelled"
        except Exception as error:  # noqa: BLE001 - the caller is told
            job.problem = of_error(error, job.name).to_dict()
        with self._lock:
            self._finish(job, "cancelled" if job.cancelled.is_set() else state)
        self._show()


def _find(job: Job, bounds: Bounds, thread: ModelThread, pool: WorkerPool) -> dict[str, Any]:
    """Read and score a video from its begin to its end.

    Raises:
        CancelledError: If it is cancelled.
        VideoError: If it cannot be read.
    """
    predictor = job.model.predictor
    collector = EventCollector(predictor, job.settings, job.thresholds)
    windows: list[StreamScores] = []
    finished: Future[None] = Future()
    duration = 0.0
    seen: _Attention | None = None

    def take(scores: StreamScores) -> None:
        collector.add(scores)
        windows.append(scores)
        if duration:
            job.progress = min(0.999, scores.end_seconds / duration)

    def end(error: Exception | None) -> None:
        if error is None:
            finished.set_result(None)
        else:
            finished.set_exception(error)

    stream = thread.open(job.model, take, end, newest=False).result()
    gap = predictor.gap_seconds
    parts = pool.stream(
        read_slots,
        job.path,
        predictor.clip,
        predictor.frame_seconds,
        gap,
        bounds,
        seconds=bounds.limits.hard_seconds,
        cancelled=job.cancelled,
    )
    try:
        with contextlib.closing(parts):  # type: ignore[type-var]
            duration = float(next(parts).facts["duration_seconds"])
            seen = _Attention(job, thread, duration) if job.attention else None
            for part in parts:
                slots = slots_of(part)
                if seen is not None:
                    seen.push(slots)
                stream.push(slots).result()
                while stream.due > _AHEAD and not finished.done():
                    if job.cancelled.wait(0.02):
                        raise CancelledError
        stream.end()
        while True:
            try:
                finished.result(0.2)
                break
            except futures.TimeoutError:
                if job.cancelled.is_set():
                    raise CancelledError from None
    finally:
        with contextlib.suppress(StoppedError):
            stream.close()
    attention = None if seen is None else seen.result()
    return _result(job.model, duration, windows, collector, attention)


def _result(
    model: ServedModel,
    duration: float,
    windows: list[StreamScores],
    collector: EventCollector,
    attention: dict[str, Any] | None,
) -> dict[str, Any]:
    scores = np.stack([window.probabilities for window in windows])
    shown = np.argsort(-scores.max(axis=0), kind="stable")[:_LABELS]
    mean = scores.mean(axis=0)
    best = np.argsort(-mean, kind="stable")[:_BEST]
    return {
        "model": model.name,
        "duration_seconds": round(duration, 3),
        "labels": [model.label(int(number)) for number in shown],
        "windows": [
            {
                "start_seconds": round(window.start_seconds, 3),
                "end_seconds": round(window.end_seconds, 3),
                "scores": [round(float(score), 4) for score in window.probabilities[shown]],
            }
            for window in windows
        ],
        "predictions": [
            {"label": model.label(int(number)), "score": round(float(mean[number]), 6)}
            for number in best
        ],
        "events": [
            {
                "label": event.label,
                "start_seconds": round(event.start_seconds, 3),
                "end_seconds": round(event.end_seconds, 3),
                "score": round(event.score, 6),
            }
            for event in collector.finish()
        ],
        "attention": attention,
    }


class _Attention:
    """Where the tokens look, in clips that follow one another, over a whole video."""

    def __init__(self, job: Job, thread: ModelThread, duration: float):
        predictor = job.model.predictor
        self._model, self._thread = predictor.scorer.model, thread
        self._length = predictor.clip.num_frames
        self._crop = predictor.clip.crop_size / predictor.clip.resize_size
        clips = duration / (self._length * predictor.frame_seconds)
        self._every = max(1, int(np.ceil(clips / _ATTENTION_CLIPS)))
        self._number = 0
        self._slots: list[Slot] = []
        self._found: list[tuple[list[float], Future[Tensor]]] = []

    def push(self, slots: list[Slot]) -> None:
        for slot in slots:
            if slot.restart and self._slots:
                self._take()
            self._slots.append(slot)
            if len(self._slots) == self._length:
                self._take()

    def result(self) -> dict[str, Any]:
        """``maps``: ``(times, M, rows, columns)`` uint8, each map scaled to its own maximum."""
        if self._slots:
            self._take()
        times = [time for some, _ in self._found for time in some]
        maps = torch.cat([found.result() for _, found in self._found])
        maps = maps / maps.amax(dim=(2, 3), keepdim=True).clamp_min(1e-12)
        pixels = (maps * 255).round().to(torch.uint8).numpy()
        _, tokens, rows, columns = pixels.shape
        return {
            "tokens": tokens,
            "rows": rows,
            "columns": columns,
            "times": [round(time, 3) for time in times],
            "crop": self._crop,
            "maps": base64.b64encode(pixels.tobytes()).decode("ascii"),
        }

    def _take(self) -> None:
        slots, self._slots = self._slots, []
        self._number += 1
        if (self._number - 1) % self._every:
            return
        shown = len(slots)
        slots += [slots[-1]] * (self._length - shown)
        stacked = np.stack([slot.frame for slot in slots])
        clip = torch.from_numpy(stacked).permute(3, 0, 1, 2)
        future = self._thread.call(lambda: _maps(self._model, clip)[:shown])
        self._found.append(([slot.seconds for slot in slots[:shown]], future))


def _maps(model: Any, clip: Tensor) -> Tensor:
    """Maps ``(T, M, rows, columns)`` of a clip, one for each of its frames."""
    weights = token_attention(model, clip)
    _, steps, rows, columns = weights.shape
    size = (min(rows, _ATTENTION_SIDE), min(columns, _ATTENTION_SIDE))
    small = torch.nn.functional.adaptive_avg_pool2d(weights, size)
    frames = torch.arange(clip.shape[1]) * steps // clip.shape[1]
    return small[:, frames].transpose(0, 1).contiguous()

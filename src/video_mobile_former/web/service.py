"""What a service consists of, and the road of a prediction through it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..data.processes import usable_cores
from .fetching import Fetcher, Host
from .folder import UploadFolder
from .guards import Places
from .jobs import Jobs
from .metrics import Metrics
from .model_thread import ModelThread
from .problems import ProblemError, naming
from .reading import Bounds, read_clips
from .served import ServedModel
from .settings import ServeSettings
from .workers import WorkerPool

_FETCHES = 4
"""Videos that are fetched from elsewhere at once."""


@dataclass(frozen=True)
class Predicted:
    """What is answered to a prediction."""

    duration_seconds: float
    probabilities: Any
    """``(K,)`` float32."""
    waiting_seconds: float
    decode_seconds: float
    model_seconds: float


class Service:
    """The parts of one service; a context manager that starts and ends them.

    Args:
        models: What callers may ask for; the first is the default.
        settings: Limits.
        folder: Of uploads; see :class:`~.folder.UploadFolder`.
        url_hosts: From which videos may be fetched.
    """

    def __init__(
        self,
        models: list[ServedModel],
        settings: ServeSettings,
        folder: str | Path,
        *,
        url_hosts: Sequence[Host] = (),
    ):
        self.models, self.settings = models, settings
        self.metrics = Metrics()
        gauges, each = self.metrics, settings.per_caller
        self.places = Places("requests", settings.waiting, each, gauges.in_use)
        self.live = Places("live streams", settings.streams, each, gauges.streams)
        self.live_threads = ThreadPoolExecutor(settings.streams, thread_name_prefix="vmf-live")
        self.fetch_threads = ThreadPoolExecutor(_FETCHES, thread_name_prefix="vmf-fetch")
        self.fetcher = Fetcher(url_hosts, settings.max_bytes)
        self.folder = UploadFolder(folder, settings.folder_mb * 1e6)
        died = self.metrics.worker_deaths.inc
        self.clips = WorkerPool(settings.workers or usable_cores(), died)
        self.videos = WorkerPool(settings.jobs, died)
        self.pictures = WorkerPool(1, died)
        self.thread = ModelThread(
            models,
            batch_size=settings.batch_size,
            batch_seconds=settings.batch_ms / 1000,
            on_batch=self._count_batch,
        )
        self.jobs = Jobs(self.thread, self.videos, settings, self.metrics)

    def __enter__(self) -> Service:
        try:
            self.thread.start()
            self.clips.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything and delete all uploads."""
        self.refuse()
        self.jobs.close()
        for threads in (self.live_threads, self.fetch_threads):
            threads.shutdown(wait=False, cancel_futures=True)
        for pool in (self.clips, self.videos, self.pictures):
            pool.close()
        self.thread.stop()
        self.folder.__exit__()

    def refuse(self) -> None:
        """Take nothing new: the service is ending."""
        self.places.closed = self.live.closed = True

    @property
    def is_ready(self) -> bool:
        """Whether new requests are taken and can be answered."""
        return not self.places.closed and self.thread.is_running

    @property
    def is_busy(self) -> bool:
        """Whether something runs, or has a result that was not fetched."""
        return bool(self.places.taken or self.live.taken or self.jobs.unfinished)

    def bounds(self, read_seconds: float) -> Bounds:
        """What a video may be."""
        limits = self.settings
        return Bounds(
            seconds=limits.max_seconds,
            frames=limits.max_frames,
            pixels=limits.max_pixels,
            memory_mb=limits.memory_mb,
            read_seconds=read_seconds,
        )

    async def predict(self, model: ServedModel, path: Path, name: str, num_views: int) -> Predicted:
        """Read a video and score it.

        Args:
            model: One of the models.
            path: The video.
            name: Of it, for messages.
            num_views: Clips in time.

        Raises:
            ProblemError: If it cannot be read or takes too long.
        """
        work = self._predict(model, path, name, num_views)
        try:
            return await asyncio.wait_for(work, self.settings.wall_seconds)
        except asyncio.TimeoutError:
            raise ProblemError(
                503,
                f"{name}: no answer within {self.settings.wall_seconds:g} s; the service has much "
                "to do: try again",
                name="too-slow",
                retry_seconds=10,
            ) from None

    async def _predict(
        self, model: ServedModel, path: Path, name: str, num_views: int
    ) -> Predicted:
        bounds = self.bounds(self.settings.read_seconds)
        clip = model.predictor.clip
        asked = time.monotonic()
        with naming(name):
            with self.thread.coming(model):
                parts, begun, ended = await asyncio.wrap_future(
                    self.clips.submit(
                        read_clips,
                        str(path),
                        clip,
                        num_views,
                        bounds,
                        seconds=bounds.limits.hard_seconds,
                    )
                )
            clips = torch.from_numpy(parts[0].arrays[0].copy())
            scored = await asyncio.wrap_future(self.thread.score(model, clips))
        stages = {
            "waiting": begun - asked + scored.begun - ended,
            "decode": ended - begun,
            "model": scored.ended - scored.begun,
        }
        for stage, seconds in stages.items():
            self.metrics.stage_seconds.labels(stage).observe(seconds)
        return Predicted(
            duration_seconds=float(parts[0].facts["duration_seconds"]),
            probabilities=scored.probabilities,
            waiting_seconds=stages["waiting"],
            decode_seconds=stages["decode"],
            model_seconds=stages["model"],
        )

    def _count_batch(self, clips: int, seconds: float) -> None:
        self.metrics.batch_clips.observe(clips)
        self.metrics.model_seconds.inc(seconds)

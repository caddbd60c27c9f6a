"""What a worker of a batch run does: load the model once, then turn videos into rows."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ...data.limits import Limits, limited
from ...data.video.backend import Reading
from ...data.video.reader import VideoReader
from ...data.work_folder import origin
from ...errors import UserError, VideoError
from ..events import EventSettings
from ..find import EventFinder, settings_dict
from ..given import FileViews, views_of_file
from ..predictor import PredictionFailure, Predictor
from ..scorer import Average, Precision
from ..stream import StreamPredictor
from .model_files import ModelFiles
from .rows import EncodedRow, Row, encode_row
from .sources import BatchItem

RowKind = Literal["labels", "embeddings", "events"]
ROW_KINDS: tuple[RowKind, ...] = get_args(RowKind)


@dataclass(frozen=True)
class EventOptions:
    """How events are found in each file, see :class:`~..find.EventFinder`."""

    settings: EventSettings = field(default_factory=EventSettings)
    thresholds: dict[str, tuple[float, float]] = field(default_factory=dict)
    window_seconds: float | None = None
    stride_seconds: float | None = None


@dataclass(frozen=True)
class BatchJob:
    """A model, and what is wanted of every video; what a worker process or actor is given."""

    model: ModelFiles
    load: Callable[..., Any]
    """Importable; called as ``load(path, precision=…)``, it gives the model, ready to run."""
    rows: RowKind = "labels"
    top_k: int = 5
    """Of labels: classes a row, at least 1."""
    tokens: bool = False
    """Of embeddings: the tokens as well."""
    events: EventOptions = field(default_factory=EventOptions)
    num_views: int = 1
    num_crops: int = 1
    average: Average = "probabilities"
    precision: Precision = "32"
    device: str = "auto"
    reading: Reading = field(default_factory=Reading)
    limits: Limits = field(default_factory=Limits)

    def check_items(self, items: Iterable[BatchItem]) -> None:
        """Refuse parts of files where whole files are needed.

        Raises:
            UserError: If there is one.
        """
        if self.rows != "events":
            return
        for item in items:
            if item.offset is not None or item.start_seconds or item.end_seconds is not None:
                raise UserError(
                    f"{item.path}: events are found in whole files, not in parts or in shards"
                )


class BatchWorker:
    """A loaded model that makes rows.

    Args:
        job: What to do.
        path: Where the model lies; None unpacks the files that the job brings.
        threads: Of the processor; None leaves them as they are.

    Raises:
        UserError: If the model cannot be loaded or cannot do it.
    """

    def __init__(
        self, job: BatchJob, path: str | Path | None = None, *, threads: int | None = None
    ):
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        self.job = job
        with tempfile.TemporaryDirectory(prefix="vmf-batch-") as folder:
            place = job.model.unpacked(Path(folder)) if path is None else path
            model = job.load(place, precision=job.precision)
        self._finder: EventFinder | None = None
        self._predictor: Predictor | None = None
        if job.rows == "events":
            stream = StreamPredictor(
                model,
                device=job.device,
                precision=job.precision,
                window_seconds=job.events.window_seconds,
                stride_seconds=job.events.stride_seconds,
            )
            self._finder = EventFinder(
                stream,
                job.events.settings,
                thresholds=job.events.thresholds,
                reading=job.reading,
            )
            self.device = stream.scorer.device
            return
        self._predictor = Predictor(
            model,
            device=job.device,
            num_views=job.num_views,
            num_crops=job.num_crops,
            precision=job.precision,
            average=job.average,
            reading=job.reading,
        )
        self.device = self._predictor.scorer.device
        if job.rows == "embeddings":
            self._predictor.scorer.check_embeds()

    def __call__(
        self, items: Sequence[BatchItem], alive: Callable[[], None] = lambda: None
    ) -> list[EncodedRow]:
        """Make the rows of some videos, which share a forward pass.

        Args:
            items: The videos.
            alive: Is called whenever work got on.

        Returns:
            A row for each, in their order; what cannot be read has a row with the reason.
        """
        if self._finder is not None:
            rows = [self._events(item, alive) for item in items]
        else:
            rows = self._views(items, alive)
        return [encode_row(item, stamp(item), row) for item, row in zip(items, rows, strict=True)]

    def event_options(self) -> dict[str, Any]:
        """What events depend on."""
        assert self._finder is not None
        return settings_dict(self._finder)

    def _events(self, item: BatchItem, alive: Callable[[], None]) -> Row:
        assert self._finder is not None
        found = self._finder.find(item.file, progress=lambda done, of: alive())
        if found.error is not None:
            return failed_row(found.error)
        events = [
            {
                "start_seconds": event.start_seconds,
                "end_seconds": event.end_seconds,
                "label": event.label,
                "score": event.score,
            }
            for event in found.events
        ]
        return {"duration_seconds": found.duration_seconds, "events": events}

    def _views(self, items: Sequence[BatchItem], alive: Callable[[], None]) -> list[Row]:
        import torch

        found = [self._read(item) for item in items]
        alive()
        good = [i for i, views in enumerate(found) if isinstance(views, FileViews)]
        rows: list[Row] = [failed_row(str(views)) for views in found]
        if good:
            views = [each for each in found if isinstance(each, FileViews)]
            made = self._score(
                torch.stack([each.clips for each in views]),
                [items[i].path for i in good],
                [each.padded for each in views],
            )
            for i, each, row in zip(good, views, made, strict=True):
                rows[i] = {"duration_seconds": each.duration_seconds, **row}
        return rows

    def _score(self, clips: Any, names: list[str], padded: list[bool]) -> list[Row]:
        predictor = self._predictor
        assert predictor is not None
        if self.job.rows == "embeddings":
            rows: list[Row] = []
            for each in predictor.embed_views(clips, names, padded):
                row = {"features": each.features, "num_frames": each.num_frames}
                row |= {"padded": each.padded}
                if self.job.tokens and each.tokens is not None:
                    row["tokens"] = each.tokens
                finite = math.isfinite(float(each.features.sum()))
                rows.append(row if finite else failed_row("the model's features are not finite"))
            return rows
        rows = []
        for found in predictor.score(clips, names, padded, self.job.top_k):
            if isinstance(found, PredictionFailure):
                rows.append(failed_row(found.reason))
                continue
            rows.append(
                {
                    "labels": list(found.labels),
                    "scores": list(found.scores),
                    "classes": list(found.classes),
                    "num_frames": found.num_frames,
                    "padded": found.padded,
                }
            )
        return rows

    def _read(self, item: BatchItem) -> FileViews | str:
        """The views of a video, or why it cannot be read."""
        job, predictor = self.job, self._predictor
        assert predictor is not None
        try:
            with (
                limited(item.path, job.limits),
                VideoReader(
                    item.file, offset=item.offset, size=item.size, reading=job.reading
                ) as reader,
            ):
                return views_of_file(
                    reader,
                    predictor.scorer.clip,
                    num_views=job.num_views,
                    num_crops=job.num_crops,
                    start_seconds=item.start_seconds,
                    end_seconds=item.end_seconds,
                )
        except VideoError as error:
            return error.reason


def failed_row(reason: str) -> Row:
    """The row of a video that cannot be read."""
    return {"error": " ".join(reason.split())}


def failed(item: BatchItem, reason: str) -> EncodedRow:
    """The encoded row of a video whose worker did not live to say what is wrong with it."""
    return encode_row(item, stamp(item), failed_row(reason))


def stamp(item: BatchItem) -> list[int] | None:
    """Size and time of change of a local file, by which the next run sees that it is another."""
    if "://" in item.file:
        return None
    found = origin(item.file)
    return None if found is None else list(found)

"""The result of an evaluation: metrics, cost and method."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from torch import Tensor

from ..clip_spec import ClipSpec
from ..page import Preview
from ..text import encodable
from .clip_results import ClipResult, EventFile, MultiLabelClip
from .looked_at import LookedAt
from .metrics.calibration import Calibration
from .metrics.curves import Curve
from .metrics.enough import clips_for_calibration
from .metrics.events import EventMetrics
from .metrics.multi_label import MultiLabelMetrics
from .metrics.single_label import SingleLabelMetrics
from .previews import EventPreview

REPORT_FORMAT = 4
"""Format 4 adds stored scores of all clips, intervals over groups and calibration; format 3 the
artefact (``method.artefact``, null in PyTorch); format 2 the task; format 1 is single-label."""
REPORT_NAME = "report.json"
TRAINED_ON = "Training clips are among those measured"
"""Start of the note on this."""

MetricsT = TypeVar("MetricsT", SingleLabelMetrics, MultiLabelMetrics, EventMetrics)
ClipT = TypeVar("ClipT", ClipResult, MultiLabelClip, EventFile)


@dataclass(frozen=True)
class Cost:
    """Cost in multiply-accumulates (MACs), which papers in this field call FLOPs."""

    parameters: int
    macs_per_view: int
    num_views: float
    """Views in time; the mean over the videos with ``"full"`` views."""
    num_crops: int
    """Crops per view in time."""
    file_bytes: int | None = None
    """Of the weights of a checkpoint, or of all files of an artefact; None where not known."""

    @property
    def total_views(self) -> float:
        """Forward passes per video."""
        return self.num_views * self.num_crops

    @property
    def total_macs(self) -> int:
        """Per video, all views together."""
        return round(self.macs_per_view * self.total_views)

    @property
    def views_words(self) -> str:
        """For example ``"3 views × 2 crops"``."""
        crops = f" × {self.num_crops} crops" if self.num_crops > 1 else ""
        return f"{self.num_views:.4g} view{'s' if self.num_views > 1 else ''}{crops}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **dataclasses.asdict(self),
            "total_views": self.total_views,
            "total_macs": self.total_macs,
        }


@dataclass(frozen=True)
class Method:
    """How an evaluation was measured."""

    model: str
    """Name or folder of the model."""
    data: str
    """Folder or list of clips."""
    split: str | None
    """None for all clips of the data."""
    num_clips: int
    clip: ClipSpec
    num_views: float
    num_crops: int
    average: str
    precision: str
    freeze_frames: int | None
    num_padded: int
    """Clips shorter than the model's, padded with their last frame."""
    class_order_checked: bool
    training_seed: int | None
    """Seed of the training run, where the checkpoint has it; evaluation is deterministic."""
    device: str
    versions: dict[str, str]
    date: str
    """ISO 8601, UTC."""
    seconds: float
    """Duration for all clips, decoding included."""
    full_views: bool = False
    """Whether the views cover the whole of each video."""
    artefact: dict[str, Any] | None = None
    """The measured artefact: ``target``, ``runtime``, ``form``, ``precision`` and ``sha256``; None
    for a model in PyTorch."""
    failures: tuple[dict[str, Any], ...] = ()
    """Clips excluded because they could not be read: ``name``, ``start_seconds``, ``end_seconds``
    and ``reason``."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**dataclasses.asdict(self), "clip": self.clip.to_dict()}


@dataclass(frozen=True)
class Evaluation(Generic[MetricsT, ClipT]):
    """The outcome of :func:`.evaluate`, single-label or multi-label."""

    metrics: MetricsT
    """Their ``task`` is ``"single_label"``, ``"multi_label"`` or ``"events"``."""
    cost: Cost
    method: Method
    clips: tuple[ClipT, ...]
    notes: tuple[str, ...]
    """Caveats of the numbers, one sentence each."""
    calibration: Calibration | None = None
    """Calibration of the predicted classes' scores, or of the scores of all clip-class pairs for
    multi-label clips."""
    scores: Tensor | None = field(default=None, compare=False, repr=False)
    """``(N, K)`` float32 probabilities, averaged over views; stored beside the report."""
    settings: Mapping[str, Any] | None = None
    """Of events: how they were made of scores; see :class:`~..inference.events.EventSettings`."""
    curves: tuple[Curve, ...] = field(default=(), compare=False, repr=False)
    """Precision over recall of the weakest and the best classes; for the page only."""
    previews: Mapping[int, Preview] = field(default_factory=dict, compare=False, repr=False)
    """Small clips of what was not recognised, by position in ``clips``; for the page only."""
    event_previews: tuple[EventPreview, ...] = field(default=(), compare=False, repr=False)
    """Likewise of events; see :func:`.previews.event_previews`."""
    attention: tuple[LookedAt, ...] = field(default=(), compare=False, repr=False)
    """What the tokens look at in some clips; for the page only."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the logits."""
        return tuple(row.name for row in self.metrics.per_class)

    def wrong_clips(self) -> list[ClipT]:
        """Clips with a missed or wrongly found class, the largest errors first."""
        return sorted((c for c in self.clips if not c.correct), key=lambda c: -c.how_wrong)

    def to_dict(self) -> dict[str, Any]:
        """Content of ``report.json``: plain data without NaN, all text encodable as UTF-8."""
        value = {
            "format": REPORT_FORMAT,
            "task": self.metrics.task,
            "metrics": self.metrics.to_dict(),
            "calibration": self.calibration and self.calibration.to_dict(),
            **({} if self.settings is None else {"settings": dict(self.settings)}),
            "cost": self.cost.to_dict(),
            "method": self.method.to_dict(),
            "notes": list(self.notes),
            "clips": [dataclasses.asdict(clip) for clip in self.clips],
        }
        return plain(value)

    def summary(self) -> str:
        """A summary for a terminal, a few lines of at most 80 columns where names allow."""
        metrics, cost, found = self.metrics, self.cost, self.calibration
        if isinstance(metrics, SingleLabelMetrics):
            lines = [*_single_label_lines(metrics)]
        elif isinstance(metrics, EventMetrics):
            lines = [*_event_lines(metrics)]
        else:
            lines = [*_multi_label_lines(metrics)]
        if found is not None:
            needed = clips_for_calibration(found)
            error = f"{percent(found.ece_equal_width)} error   (by chance alone "
            error += f"{percent(found.ece_by_chance)}; 15 bins of equal width)"
            few = f"too few scores to tell: it takes about {needed}"
            lines.append(f"calibration      {error if needed is None else few}")
        lines.append(
            f"cost             {giga(cost.total_macs)} MACs per video ({cost.views_words} of "
            f"{giga(cost.macs_per_view)}), {giga(cost.parameters)} parameters"
        )
        return "\n".join([*lines, *note_lines(self.notes)])


def _single_label_lines(metrics: SingleLabelMetrics) -> Iterator[str]:
    low, high = metrics.score_interval
    top5 = percent(metrics.top5) if metrics.top5 is not None else "not given (5 classes or fewer)"
    yield (
        f"top-1            {percent(metrics.top1)}   ({metrics.num_correct} of "
        f"{metrics.num_clips} clips; 95 % interval {100 * low:.1f}–{100 * high:.1f} %)"
    )
    yield f"top-5            {top5}"
    yield f"mean per class   {percent(metrics.mean_class_accuracy)}"
    yield f"majority class   {percent(metrics.majority_share)}   (always predicting it)"


def _event_lines(metrics: EventMetrics) -> Iterator[str]:
    overlaps = "  ".join(f"{t} {percent(v)}" for t, v in metrics.map_by_overlap.items())
    yield (
        f"mAP              {percent(metrics.mean_map)}   (mean over overlaps 0.1 to 0.7; "
        f"{metrics.num_events} events in {metrics.num_files} files)"
    )
    yield from textwrap.wrap(f"by overlap       {overlaps}", 80, subsequent_indent=" " * 17)
    yield (
        f"F1 at 0.5        {percent(metrics.f1)}   (precision {percent(metrics.precision)}, recall "
        f"{percent(metrics.recall)}; {metrics.num_found} found)"
    )
    yield f"delay            {delay_words(metrics)}"


def delay_words(metrics: EventMetrics) -> str:
    """The delay of the begins of found events."""
    if metrics.delay_seconds is None or metrics.absolute_delay_seconds is None:
        return "–   (nothing found that overlaps by 0.5)"
    return (
        f"{metrics.delay_seconds:+.2f} s   (median from the true begin to the found one; of its "
        f"size {metrics.absolute_delay_seconds:.2f} s)"
    )


def _multi_label_lines(metrics: MultiLabelMetrics) -> Iterator[str]:
    classes = f"{metrics.map_classes} class{'es' if metrics.map_classes > 1 else ''}"
    exact = metrics.num_exact / metrics.num_clips
    yield f"mAP              {percent(metrics.map)}   ({classes}; {interval_words(metrics)})"
    yield f"chance mAP       {percent(metrics.chance_map)}   (random scores)"
    yield f"micro AP         {percent(metrics.micro_ap)}   (all classes in one ranking)"
    yield (
        f"F1 at {metrics.threshold:g}        {percent(metrics.f1)}   "
        f"(mean per class {percent(metrics.mean_class_f1)})"
    )
    yield (
        f"exact at {metrics.threshold:g}     {percent(exact)}   "
        f"({metrics.num_exact} of {metrics.num_clips} clips: all classes right)"
    )


def interval_words(metrics: MultiLabelMetrics) -> str:
    """The interval of the mean average precision as text."""
    if metrics.map_interval is None:
        alone = metrics.map_resamples == 0
        return f"no interval: {'one clip or group' if alone else 'all resamples are equal'}"
    low, high = metrics.map_interval
    return f"95 % interval {100 * low:.1f}–{100 * high:.1f} %"


def percent(share: float | None) -> str:
    """``"75.3 %"``, or a dash for None."""
    return "–" if share is None else f"{100 * share:.1f} %"


def giga(macs: int) -> str:
    """MACs with three significant digits and a unit, for example ``"425 M"``."""
    for unit, factor in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        # Rounding may reach the next unit: 999.9 M is 1.00 G.
        if macs >= 0.9995 * factor:
            value = macs / factor
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {unit}"
    return str(macs)


def note_lines(notes: Iterable[str]) -> Iterator[str]:
    """The notes of a summary, wrapped."""
    for note in notes:
        yield from textwrap.wrap(
            f"note: {note}", 80, subsequent_indent=" " * 6, break_long_words=False
        )


def plain(value: Any) -> Any:
    """JSON data with all text encodable as UTF-8."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {plain(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value

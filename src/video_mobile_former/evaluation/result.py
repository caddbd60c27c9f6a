"""What an evaluation found, what it cost and how it was measured."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor

from ..clip_spec import ClipSpec
from ..text import encodable
from .metrics.calibration import Calibration
from .metrics.curves import Curve
from .metrics.single_label import Metrics

REPORT_FORMAT = 4
"""Format 4 has scores of all clips beside it, intervals of whole groups and calibration; format 3
says of what artefact it is (``method.artefact``, null in PyTorch), format 2 the task; reports of
format 1 are of a model that tells one class of a clip."""


REPORT_NAME = "report.json"
TRAINED_ON = "Training clips are among those measured"
"""Begin of the note that says so."""


@dataclass(frozen=True)
class ClipResult:
    """What became of one clip."""

    name: str
    """Its path as written in the data."""
    true: str
    predicted: str
    score: float
    """Probability of the predicted class, averaged over views."""
    true_score: float
    """Probability of the true class."""
    correct: bool
    start_seconds: float | None
    """Begin and end of the part of the file, where the data names one."""
    end_seconds: float | None
    group: str | None = None
    """Scene, person or source, where the data names one."""


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates (MACs), which this field's papers call FLOPs."""

    parameters: int
    macs_per_view: int
    num_views: float
    """Clips in time; a mean over the videos where each was seen from end to end."""
    num_crops: int
    """Crops of each."""

    @property
    def total_views(self) -> float:
        """Forward passes for one video."""
        return self.num_views * self.num_crops

    @property
    def total_macs(self) -> int:
        """For one video, all views together."""
        return round(self.macs_per_view * self.total_views)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **dataclasses.asdict(self),
            "total_views": self.total_views,
            "total_macs": self.total_macs,
        }


@dataclass(frozen=True)
class Method:
    """How it was measured."""

    model: str
    """Name or folder of the model."""
    data: str
    """Folder or list of the clips."""
    split: str | None
    """None where all clips of the data were taken."""
    num_clips: int
    clip: ClipSpec
    num_views: float
    num_crops: int
    average: str
    precision: str
    freeze_frames: int | None
    num_padded: int
    """Clips shorter than the model's, whose last frame was repeated."""
    class_order_checked: bool
    training_seed: int | None
    """Seed of the training run, where the checkpoint tells it; evaluation draws nothing."""
    device: str
    versions: dict[str, str]
    date: str
    """ISO 8601, UTC."""
    seconds: float
    """For all clips, decoding included."""
    full_views: bool = False
    """As many clips were taken of each video as see the whole of it."""
    artefact: dict[str, Any] | None = None
    """What was measured in another runtime: ``target``, ``runtime``, ``form``, ``precision`` and
    ``sha256``; None for a model in PyTorch."""
    failures: tuple[dict[str, Any], ...] = ()
    """Clips that could not be read and are not among those measured: ``name``, ``start_seconds``,
    ``end_seconds`` and ``reason``."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**dataclasses.asdict(self), "clip": self.clip.to_dict()}


@dataclass(frozen=True)
class Evaluation:
    """The outcome of :func:`.evaluate`."""

    metrics: Metrics
    cost: Cost
    method: Method
    clips: tuple[ClipResult, ...]
    notes: tuple[str, ...]
    """What a reader must know to judge the numbers, one sentence each."""
    calibration: Calibration | None = None
    """How far the scores of the predicted classes are from the share that is right."""
    scores: Tensor | None = field(default=None, compare=False, repr=False)
    """``(N, K)`` float32 probabilities, averaged over views; kept beside the report."""
    curves: tuple[Curve, ...] = field(default=(), compare=False, repr=False)
    """Precision over recall of the weakest and the best classes; for the page only."""
    thumbnails: Mapping[int, str] = field(default_factory=dict, compare=False, repr=False)
    """Base64 of JPEG files of some wrong clips, by position in ``clips``; for the page only."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the logits."""
        return tuple(row.name for row in self.metrics.per_class)

    def wrong_clips(self) -> list[ClipResult]:
        """Those not recognised, the most confident errors first."""
        return sorted((c for c in self.clips if not c.correct), key=lambda c: -c.score)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without NaN and with text that UTF-8 can hold."""
        return report_dict(self, "single_label")

    def summary(self) -> str:
        """The headline for a terminal, a few lines of at most 80 columns where names allow."""
        return "\n".join(_summary_lines(self))

    def write(self, folder: str | Path) -> Path:
        """Write page, ``report.json``, predictions and ``confusion.png``, all or nothing.

        Args:
            folder: Created where it is missing; other files in it are left alone.

        Returns:
            The path of ``report.html``.

        Raises:
            UserError: If it cannot be written, or jinja2 or matplotlib is missing.
        """
        # Here, because the report is written from this class.
        from .report.single_label import write_report

        return write_report(self, Path(folder))


class _Reported(Protocol):
    """An evaluation of either kind."""

    @property
    def metrics(self) -> Any: ...
    @property
    def cost(self) -> Cost: ...
    @property
    def method(self) -> Method: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def clips(self) -> tuple[Any, ...]: ...
    @property
    def calibration(self) -> Calibration | None: ...


def report_dict(
    evaluation: _Reported, task: Literal["single_label", "multi_label"]
) -> dict[str, Any]:
    """What ``report.json`` holds.

    Args:
        evaluation: An evaluation of that kind.
        task: What the metrics are about.
    """
    value = {
        "format": REPORT_FORMAT,
        "task": task,
        "metrics": evaluation.metrics.to_dict(),
        "calibration": evaluation.calibration and evaluation.calibration.to_dict(),
        "cost": evaluation.cost.to_dict(),
        "method": evaluation.method.to_dict(),
        "notes": list(evaluation.notes),
        "clips": [dataclasses.asdict(clip) for clip in evaluation.clips],
    }
    return plain(value)


def percent(share: float | None) -> str:
    """``"75.3 %"``, or a dash for None."""
    return "–" if share is None else f"{100 * share:.1f} %"


def giga(macs: int) -> str:
    """MACs with three significant digits and a unit, for example ``"425 M"``."""
    for unit, factor in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        # Rounding may carry into the next unit: 999.9 M is 1.00 G.
        if macs >= 0.9995 * factor:
            value = macs / factor
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {unit}"
    return str(macs)


def _summary_lines(evaluation: Evaluation) -> Iterator[str]:
    metrics, cost = evaluation.metrics, evaluation.cost
    low, high = metrics.headline_interval
    top5 = percent(metrics.top5) if metrics.top5 is not None else "not given (5 classes or fewer)"
    yield (
        f"top-1            {percent(metrics.top1)}   ({metrics.num_correct} of "
        f"{metrics.num_clips} clips; 95 % interval {100 * low:.1f}–{100 * high:.1f} %)"
    )
    yield f"top-5            {top5}"
    yield f"mean per class   {percent(metrics.mean_class_accuracy)}"
    yield f"commonest class  {percent(metrics.majority_share)}   (always answering it)"
    if evaluation.calibration is not None:
        yield calibration_line(evaluation.calibration)
    yield cost_line(cost)
    yield from note_lines(evaluation.notes)


def calibration_line(found: Calibration) -> str:
    """The line of a summary that tells the calibration error."""
    return (
        f"calibration      {percent(found.ece_equal_width)} error   (by chance alone "
        f"{percent(found.ece_by_chance)}; 15 bins of equal width)"
    )


def cost_line(cost: Cost) -> str:
    """The line of a summary that tells the cost."""
    crops = f" × {cost.num_crops} crops" if cost.num_crops > 1 else ""
    views = f"{cost.num_views:.4g} view{'s' if cost.num_views > 1 else ''}{crops}"
    return (
        f"cost             {giga(cost.total_macs)} MACs per video "
        f"({views} of {giga(cost.macs_per_view)}), {giga(cost.parameters)} parameters"
    )


def note_lines(notes: Iterable[str]) -> Iterator[str]:
    """The notes of a summary, wrapped."""
    for note in notes:
        yield from textwrap.wrap(
            f"note: {note}", 80, subsequent_indent=" " * 6, break_long_words=False
        )


def plain(value: Any) -> Any:
    """JSON data with text that UTF-8 can hold."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {plain(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value

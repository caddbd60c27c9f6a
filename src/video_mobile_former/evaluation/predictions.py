"""The scores of every clip, stored beside a report for later comparisons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..clip_spec import ClipSpec
from ..errors import DataError
from .result import REPORT_FORMAT, REPORT_NAME, Cost, Evaluation

SCORES_NAME = "predictions.safetensors"
ClipKey = tuple[str, float | None, float | None]
"""A clip as the data names it: path, start and end in seconds."""


@dataclass(frozen=True)
class Run:
    """One model on one set of clips."""

    name: str
    """Short, for tables."""
    class_names: tuple[str, ...]
    scores: Tensor
    """``(N, K)`` float32."""
    keys: tuple[ClipKey, ...]
    """Keys of the N clips."""
    true: tuple[tuple[str, ...], ...]
    """Classes of each clip."""
    groups: tuple[str | None, ...]
    multi_label: bool
    cost: Cost
    clip: ClipSpec
    method: dict[str, Any]
    """``method`` of its report."""
    notes: tuple[str, ...] = ()
    """Notes of its report."""

    @property
    def unread(self) -> tuple[ClipKey, ...]:
        """Clips that could not be read when it was measured."""
        return tuple(
            (one["name"], one["start_seconds"], one["end_seconds"])
            for one in self.method.get("failures", ())
        )

    @property
    def targets(self) -> Tensor:
        """``(N, K)`` bool."""
        place = {name: i for i, name in enumerate(self.class_names)}
        out = torch.zeros(self.scores.shape, dtype=torch.bool)
        for row, names in zip(out, self.true, strict=True):
            row[[place[name] for name in names]] = True
        return out


def save_scores(path: Path, scores: Tensor) -> None:
    """Write the probabilities of all clips as one safetensors file."""
    save_file({"probabilities": scores.contiguous()}, path)


def run_of(evaluation: Evaluation[Any, Any], name: str) -> Run:
    """An evaluation as a run to compare.

    Args:
        evaluation: An evaluation with scores.
        name: Short name for tables.
    """
    assert evaluation.scores is not None
    return _run(name, evaluation.to_dict(), evaluation.scores)


def is_report(path: str | Path) -> bool:
    """Whether a path is a folder with a report, or its ``report.json``.

    A checkpoint folder that also has a report is still a checkpoint.
    """
    path = Path(path)
    if path.name == REPORT_NAME:
        return path.is_file()
    return (path / REPORT_NAME).is_file() and not (path / "config.json").exists()


def load_run(path: str | Path, name: str) -> Run:
    """Read a stored evaluation.

    Args:
        path: Folder of a report, or its ``report.json``.
        name: Short name for tables.

    Raises:
        DataError: If it is missing, damaged, or of an older format without predictions.
    """
    folder = Path(path).parent if Path(path).is_file() else Path(path)
    report, file = folder / REPORT_NAME, folder / SCORES_NAME
    try:
        value = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{report} cannot be read: {error}") from error
    found = value.get("format") if isinstance(value, dict) else None
    if found != REPORT_FORMAT:
        raise DataError(
            f"{report} has format {found!r}, but predictions are stored from format "
            f"{REPORT_FORMAT} on; evaluate that model again"
        )
    try:
        scores = load_file(file)["probabilities"]
    except (OSError, SafetensorError, KeyError) as error:
        raise DataError(f"{file} cannot be read: {error}; evaluate that model again") from error
    try:
        run = _run(name, value, scores)
        belongs = _belongs(run, value)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"{report} is damaged: {error!r}; evaluate that model again") from error
    if not belongs:
        raise DataError(f"{file} does not belong to {report}; evaluate that model again")
    return run


def _run(name: str, value: dict[str, Any], scores: Tensor) -> Run:
    clips: Sequence[dict[str, Any]] = value["clips"]
    cost, multi_label = value["cost"], value["task"] == "multi_label"
    return Run(
        name=name,
        class_names=tuple(row["name"] for row in value["metrics"]["per_class"]),
        scores=scores,
        keys=tuple((c["name"], c["start_seconds"], c["end_seconds"]) for c in clips),
        true=tuple(tuple(c["true"]) if multi_label else (c["true"],) for c in clips),
        groups=tuple(clip["group"] for clip in clips),
        multi_label=multi_label,
        cost=Cost(**{k: v for k, v in cost.items() if k not in ("total_views", "total_macs")}),
        clip=ClipSpec.from_dict(value["method"]["clip"]),
        method=value["method"],
        notes=tuple(value["notes"]),
    )


def _belongs(run: Run, value: dict[str, Any]) -> bool:
    if run.scores.shape != (len(run.keys), len(run.class_names)):
        return False
    known = set(run.class_names)
    if any(not known.issuperset(names) for names in run.true):
        return False
    if run.multi_label:
        return all(
            abs(float(row[run.class_names.index(s["label"])]) - s["score"]) < 1e-5
            for row, clip in zip(run.scores, value["clips"], strict=True)
            for s in clip["scores"][:1]
        )
    said = [clip["predicted"] for clip in value["clips"]]
    return [run.class_names[i] for i in run.scores.argmax(1).tolist()] == said

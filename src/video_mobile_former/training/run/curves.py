"""The curves of a run, from its ``metrics.csv``: ``curves.png``, and the same for its page."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UserError
from ...files import atomic_path
from ...page import ACCENT, LINE, PAPER, SOFT, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORES = {"top1": "top-1", "mean_class": "mean per class", "map": "mAP"}
"""Columns of validation scores, and what they are called; shares in [0, 1]."""
_MOST_POINTS = 400
"""Points of a line; more cannot be seen."""
_POINTS = 9


@dataclass
class Curves:
    """What was logged, each line as pairs of an epoch and a value."""

    train_loss: list[tuple[float, float]] = field(default_factory=list)
    val_loss: list[tuple[float, float]] = field(default_factory=list)
    scores: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Of validation, by column."""
    rate: list[tuple[float, float]] = field(default_factory=list)
    """Learning rate, by part of an epoch where steps were logged."""

    @property
    def epochs(self) -> int:
        """Epochs that were trained to their end."""
        return len(self.train_loss)


def read_curves(metrics: Path) -> Curves:
    """Read ``metrics.csv``.

    Args:
        metrics: The file; what is missing or damaged in it is left out.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        with metrics.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {metrics}: {error}") from error
    found = Curves()
    ends = {0: 0.0}
    for row in rows:
        if row.get("row") == "train" and (epoch := _number(row, "epoch")) is not None:
            ends[int(epoch)] = _number(row, "step") or 0.0
    for row in rows:
        epoch = _number(row, "epoch")
        if epoch is None:
            continue
        kind, loss, rate = row.get("row"), _number(row, "loss"), _number(row, "lr")
        if kind == "train" and loss is not None:
            found.train_loss.append((epoch, loss))
        if kind == "val" and loss is not None:
            found.val_loss.append((epoch, loss))
        if kind == "val":
            for name in SCORES:
                if (value := _number(row, name)) is not None:
                    found.scores.setdefault(name, []).append((epoch, value))
        if rate is not None:
            found.rate.append((_place(row, kind, epoch, ends), rate))
    return found


def _place(row: dict[str, Any], kind: Any, epoch: float, ends: dict[int, float]) -> float:
    """The place of a row in epochs: of a step, between the ends of two."""
    step, first = _number(row, "step"), ends.get(int(epoch) - 1)
    if kind != "step" or step is None or first is None:
        return epoch
    last = ends.get(int(epoch))
    if last is None:  # an epoch not yet over is as long as the one before
        last = first + max(1.0, first - ends.get(int(epoch) - 2, 0.0))
    return epoch - 1 + float(np.clip((step - first) / max(last - first, 1.0), 0, 1))


def _number(row: dict[str, Any], name: str) -> float | None:
    try:
        value = float(row.get(name) or "")
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def curves_figure(curves: Curves, best_epoch: int | None = None) -> Figure:
    """Draw loss, validation scores and learning rate over epochs, one below the other.

    Args:
        curves: What was logged.
        best_epoch: Marked with a line.

    Raises:
        UserError: If matplotlib is not installed.
    """
    panels = [("loss", [("train", curves.train_loss), ("validation", curves.val_loss)])]
    if curves.scores:
        scores = [(SCORES[name], line) for name, line in curves.scores.items()]
        panels.append(("validation", scores))
    panels.append(("learning rate", [("", curves.rate)]))
    figure = new_figure(4.2, 1.6 * len(panels))
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    every: Any = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
    for axes, (title, lines) in zip(every[:, 0], panels, strict=True):
        for (name, line), style in zip(_drawn(lines), _styles(), strict=False):
            x, y = np.array(_thinned(line)).T
            axes.plot(x, y, label=name, **style, marker="o" if len(line) == 1 else None)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=SOFT, linewidth=0.8, linestyle=":")
        axes.set_ylabel(title, fontsize=_POINTS, color=SOFT)
        axes.grid(axis="y", color=LINE)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=_POINTS, labelcolor=SOFT, length=0)
        axes.spines[:].set_visible(False)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        if title == "validation":
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        if sum(bool(line) for _, line in lines) > 1:
            axes.legend(fontsize=_POINTS, labelcolor=SOFT, frameon=False, ncols=len(lines))
    last = every[-1, 0]
    last.set_xlabel("epoch", fontsize=_POINTS, color=SOFT, loc="right")
    last.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    last.yaxis.get_offset_text().set(fontsize=_POINTS, color=SOFT)
    return figure


def write_curves(metrics: Path, picture: Path, best_epoch: int | None = None) -> None:
    """Write ``curves.png``, all or nothing; nothing where no epoch is over yet.

    Args:
        metrics: ``metrics.csv`` of the run.
        picture: The file.
        best_epoch: Marked with a line.

    Raises:
        UserError: If matplotlib is not installed, or a file cannot be read or written.
    """
    curves = read_curves(metrics)
    if not curves.epochs:
        return
    figure = curves_figure(curves, best_epoch)
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=150, facecolor=PAPER)


def _drawn(lines: Sequence[tuple[str, list[Any]]]) -> Iterator[tuple[str, list[Any]]]:
    yield from ((name, line) for name, line in lines if line)


def _styles() -> Iterator[dict[str, Any]]:
    for style in ("-", "--", ":"):
        yield {"color": ACCENT, "linestyle": style, "linewidth": 1.4}


def _thinned(line: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(line) <= _MOST_POINTS:
        return line
    return [line[i * len(line) // _MOST_POINTS] for i in range(_MOST_POINTS - 1)] + [line[-1]]

"""The confusion matrix as a picture, readable with 2 to 400 classes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...optional import require
from .plots import drawable

_DPI = 160
_COUNTS_UP_TO = 24
"""Most classes with counts in the cells."""
_LABEL_INCHES = 0.115
"""Height of one line of a tick label; more labels than fit are thinned."""
_LONGEST_LABEL = 28
"""Characters."""


def confusion_png(matrix: Sequence[Sequence[int]], class_names: Sequence[str]) -> bytes:
    """Plot a confusion matrix, each row as shares of its true class.

    Args:
        matrix: ``K × K`` clips; rows are true classes, columns predicted ones.
        class_names: The K names, any text.

    Returns:
        A PNG file, about 900 to 1900 pixels wide. With few classes, cells show their counts; with
        many, tick labels are thinned and faint shares strengthened. Rows without clips are grey.

    Raises:
        UserError: If matplotlib is not installed.
    """
    require("matplotlib", extra="train", purpose="the confusion picture")
    # Without pyplot there is no global state and no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import Normalize, PowerNorm
    from matplotlib.figure import Figure

    counts = np.asarray(matrix, dtype=np.int64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    size = _matrix_inches(len(counts))
    # The matrix and its scale have fixed sizes in inches; saving with a tight bounding box then
    # makes room for labels of any length.
    width = size + 0.4
    figure = Figure(figsize=(width, size), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, size / width, 1))
    axes.set_facecolor("0.88")  # shows through NaN, a row without clips
    few = len(counts) <= _COUNTS_UP_TO
    # One wrong clip of fifty must be visible in cells three pixels wide.
    norm = Normalize(0, 1) if few else PowerNorm(0.5, 0, 1)
    picture = axes.imshow(shares, cmap="Blues", norm=norm, interpolation="nearest")
    _label_axes(axes, class_names, size)
    if few:
        _write_counts(axes, counts, shares, size)
    scale = figure.add_axes(((size + 0.2) / width, 0.15, 0.2 / width, 0.7))
    bar = figure.colorbar(picture, cax=scale)
    bar.set_label("share of the true class", fontsize=_font_size(len(counts)))
    bar.ax.tick_params(labelsize=_font_size(len(counts)) - 1, length=2, width=0.5)
    bar.outline.set(visible=False)
    out = io.BytesIO()
    figure.savefig(out, format="png", bbox_inches="tight", pad_inches=0.1)
    return out.getvalue()


def _matrix_inches(num_classes: int) -> float:
    """Side of the matrix: cells of a comfortable size, within the width of the page."""
    return float(np.clip(0.55 * num_classes, 2.6, 9.0))


def _font_size(num_classes: int) -> int:
    """Font size in points; larger with fewer classes."""
    return 9 if num_classes <= 12 else 7


def _label_axes(axes: Any, class_names: Sequence[str], size: float) -> None:
    num_classes = len(class_names)
    step = max(1, int(np.ceil(num_classes * _LABEL_INCHES / size)))
    ticks = range(0, num_classes, step)
    labels = [drawable(class_names[i], f"class {i}", _LONGEST_LABEL) for i in ticks]
    # A dollar sign in a class name does not start a formula.
    points = _font_size(num_classes)
    style: dict[str, Any] = {"fontsize": points, "parse_math": False}
    axes.set_yticks(ticks, labels, **style)
    # A letter is about 0.6 of its font size wide.
    widest = max(map(len, labels)) * 0.65 * points / 72
    rotation = 0 if widest < size / num_classes else 90
    axes.set_xticks(ticks, labels, rotation=rotation, **style)
    every = f" (one name in {step})" if step > 1 else ""
    axes.set_xlabel(f"predicted{every}", fontsize=points + 1)
    axes.set_ylabel(f"true{every}", fontsize=points + 1)
    axes.tick_params(length=2, width=0.5)
    for spine in axes.spines.values():
        spine.set_linewidth(0.5)
        spine.set_color("0.7")
    if num_classes <= _COUNTS_UP_TO:
        axes.set_xticks(np.arange(num_classes + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(num_classes + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1)
        axes.tick_params(which="minor", length=0)


def _write_counts(axes: Any, counts: np.ndarray, shares: np.ndarray, size: float) -> None:
    digits = len(str(int(counts.max())))
    # Numbers fill at most three quarters of a cell; a digit is about 0.6 of its font size wide.
    room = 72 * size / len(counts) * 0.75
    fontsize = float(np.clip(room / (0.6 * digits), 4, 10))
    for i, j in zip(*np.nonzero(counts), strict=True):
        axes.text(
            j,
            i,
            f"{counts[i, j]}",
            ha="center",
            va="center",
            fontsize=fontsize,
            color="white" if shares[i, j] > 0.55 else "0.15",
        )

"""Bar charts of distributions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ...page import ACCENT, LINE, PAPER, SOFT, new_figure
from .distributions import Distribution, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 3.4, 1.7
"""Inches, about the width of a phone."""
_POINTS = 9
_LETTER_INCHES = 0.08
"""Width of a letter of that size."""


def bar_chart(one: Distribution) -> Figure:
    """Plot a distribution: a bar for each of a few values, else a histogram.

    Args:
        one: A distribution of at least one value.

    Raises:
        UserError: If matplotlib is not installed.
    """
    figure = new_figure(_WIDTH, _HEIGHT)
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    axes = figure.add_subplot()
    single = one.single_values()
    if single is not None:
        places = range(len(single))
        axes.bar(places, [count for _, count in single], width=min(0.7, 0.12 * len(single)))
        labels = [number(value) for value, _ in single]
        # Labels that would overlap are omitted.
        wide = (max(map(len, labels)) + 2) * _LETTER_INCHES
        step = math.ceil(len(labels) * wide / (_WIDTH - 0.5))
        axes.set_xticks(places[::step], labels[::step])
        axes.set_xlim(-0.6, len(single) - 0.4)
    else:
        edges, counts = one.bars()
        axes.bar(edges[:-1], counts, width=edges[1:] - edges[:-1], align="edge", edgecolor=PAPER)
        axes.set_xlim(edges[0], edges[-1])
        if one.grows:
            axes.set_xscale("log")
            axes.set_xticks(edges[::6], [number(edge) for edge in edges[::6]])
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(6))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    for patch in axes.patches:
        patch.set_facecolor(ACCENT)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.grid(axis="y", color=LINE)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=_POINTS, labelcolor=SOFT, length=0)
    axes.set_xlabel(one.unit, fontsize=_POINTS, color=SOFT, loc="right")
    axes.spines[:].set_visible(False)
    return figure


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:.0f}"

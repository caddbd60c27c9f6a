"""Pictures of a report: reliability, precision over recall, accuracy over cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...page import ACCENT, INK, LINE, PAPER, SOFT, new_figure
from ...text import encodable, printable, shorten_middle
from ..compare import ComparedModel
from ..metrics.calibration import Calibration
from ..metrics.curves import Curve
from ..result import giga

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 9
"""Size of letters, in pictures that are about as wide as a phone."""
_MOST_STEPS = 100
"""Steps of a curve; more cannot be seen."""
_MOST_COSTS = 6
"""Labels on the axis of costs."""
_LONGEST_NAME = 26
"""Characters of a model's name beside its dot."""


def reliability_plot(found: Calibration) -> Figure:
    """Draw the share that is right over the score, each bin with its interval."""
    figure = new_figure(3.6, 3.4)
    axes = figure.add_subplot()
    shares = np.array([one.accuracy for one in found.bins])
    ends = np.array([one.interval for one in found.bins])
    scores = [one.confidence for one in found.bins]
    apart = np.abs(ends - shares[:, None]).T
    axes.plot([0, 1], [0, 1], "--", color=SOFT, linewidth=1)
    axes.errorbar(scores, shares, yerr=apart, fmt="o", markersize=4, linewidth=1.2, color=ACCENT)
    _percent_axis(axes.yaxis)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_xlabel("score", fontsize=_POINTS, color=SOFT)
    _plain(axes)
    return figure


def curve_plot(curve: Curve) -> Figure:
    """Draw precision over recall; dashed what scores that know nothing would reach."""
    figure = new_figure(1.4, 1.4)
    axes = figure.add_subplot()
    kept = np.linspace(0, len(curve.recall) - 1, min(len(curve.recall), _MOST_STEPS))
    kept = kept.round().astype(int)
    recall, precision = curve.recall[kept], curve.precision[kept]
    axes.axhline(curve.chance, linestyle="--", color=SOFT, linewidth=1)
    axes.step([0, *recall], [precision[0], *precision], where="pre", color=ACCENT, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color(LINE)
    return figure


def cost_plot(models: Sequence[ComparedModel]) -> Figure:
    """Draw the score of models over the MACs of one video, which grow by factors.

    Args:
        models: With costs of any size, also 0 and equal ones.
    """
    figure = new_figure(4.6, 2.8)
    from matplotlib.ticker import MaxNLocator, NullLocator

    axes = figure.add_subplot()
    costs = np.array([max(one.run.cost.total_macs, 1) for one in models])
    scores = np.array([one.metrics.score for one in models])
    pairs = zip(models, scores, strict=True)
    ends = np.array([one.metrics.score_interval or (score, score) for one, score in pairs])
    apart = np.abs(ends - scores[:, None]).T
    axes.errorbar(costs, scores, yerr=apart, fmt="o", markersize=6, linewidth=1.4, color=ACCENT)
    low, high = np.log10([costs.min(), costs.max()])
    room = max(0.25 * (high - low), 0.15)
    axes.set_xscale("log")
    axes.set_xlim(10 ** (low - room), 10 ** (high + room))
    bottom, top = max(-0.02, ends.min() - 0.04), min(1.02, ends.max() + 0.04)
    axes.set_ylim(bottom, top)
    ticks = _round_costs(low - room, high + room)
    axes.set_xticks(ticks, [_round_giga(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    shares = MaxNLocator(5).tick_values(bottom, top)
    axes.set_yticks([share for share in shares if max(bottom, 0) <= share <= min(top, 1)])
    _percent_axis(axes.yaxis)
    axes.set_xlabel("MACs of one video, all views", fontsize=_POINTS, color=SOFT, loc="right")
    _plain(axes)
    figure.draw_without_rendering()  # places are known from here on
    _name_dots(axes, [one.run.name for one in models], costs, scores)
    return figure


def _name_dots(axes: Any, names: Sequence[str], costs: np.ndarray, scores: np.ndarray) -> None:
    """Write names beside dots, one below the other where dots lie on each other."""
    places = 72 * axes.transData.transform(np.stack([costs, scores], 1)) / axes.figure.dpi
    middle = 72 * axes.bbox.x0 / axes.figure.dpi + 36 * axes.bbox.width / axes.figure.dpi
    taken: list[tuple[float, float, float]] = []
    for i, (x, y) in enumerate(places.tolist()):
        name, left = drawable(names[i], f"model {i + 1}", _LONGEST_NAME), x > middle
        width = 0.65 * _POINTS * len(name)
        begin = x - 8 - width if left else x + 8
        while any(begin < b and a < begin + width and abs(y - c) < 12 for a, b, c in taken):
            y -= 12
        taken.append((begin, begin + width, y))
        axes.annotate(
            name,
            (costs[i], scores[i]),
            (-8 if left else 8, y - places[i, 1]),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=_POINTS,
            fontweight="bold",
            color=INK,
            bbox={"facecolor": PAPER, "alpha": 0.8, "linewidth": 0, "pad": 0.5},
            parse_math=False,  # a dollar sign in a name is no formula
        ).set_in_layout(False)


def drawable(name: str, otherwise: str, longest: int) -> str:
    """A name as a picture can show it: one short line, in letters that its font has.

    Args:
        name: Any text.
        otherwise: What is shown for a name that is empty or in other letters.
        longest: Characters; long names of one set often begin alike, so both ends are kept.
    """
    from matplotlib.font_manager import findfont, get_font

    line = printable(encodable(" ".join(name.split())))
    font = get_font(findfont("DejaVu Sans"))
    if not line or any(font.get_char_index(ord(char)) == 0 for char in line):
        return otherwise
    return shorten_middle(line, longest)


def _plain(axes: Any) -> None:
    axes.grid(axis="y", color=LINE)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=_POINTS, labelcolor=SOFT, length=0)
    axes.spines[:].set_visible(False)


def _percent_axis(axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def _round_giga(macs: int) -> str:
    number, _, unit = giga(macs).partition(" ")
    return f"{float(number):g} {unit}".rstrip()


def _round_costs(low: float, high: float) -> list[int]:
    """Round MACs between two logarithms, a few."""
    for factors in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [
            factor * 10**power
            for power in range(max(0, math.floor(low)), math.ceil(high) + 1)
            for factor in factors
            if low <= math.log10(factor * 10**power) <= high
        ]
        if len(found) <= _MOST_COSTS:
            return found
    return found[:: len(found) // _MOST_COSTS + 1]

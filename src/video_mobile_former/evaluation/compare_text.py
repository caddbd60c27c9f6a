"""A comparison as two tables for a terminal, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..text import pad, printable, shorten_middle
from .result import Cost, giga, percent

if TYPE_CHECKING:
    from .compare import Comparison

_NAME_COLUMNS = 22


def points(interval: tuple[float, float] | None) -> str:
    """An interval of a difference in percentage points."""
    if interval is None:
        return "–"
    return f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}".replace("-", "−")


def p_words(p: float | None) -> str:
    """A p value as people write it."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def summary_lines(found: Comparison) -> Iterator[str]:
    """The tables, in 80 columns.

    Args:
        found: A comparison.
    """
    score, second = ("mAP", "micro AP") if found.multi_label else ("top-1", "mean/class")
    columns = f"{score:>8}  {'95 % interval':<14}{second:>11}{'MACs × views = total':>23}"
    yield _cell("") + columns
    for one in found.contestants:
        between = "–"
        if one.interval is not None:
            between = f"{100 * one.interval[0]:.1f}–{100 * one.interval[1]:.1f} %"
        yield (
            f"{_cell(one.run.name)}{percent(one.score):>8}  "
            f"{between:<14}{percent(one.second):>11}"
            f"{_cost(one.run.cost):>23}"
        )
    yield ""
    columns = f"{'':>7}  {'95 % interval':<15}{'p':>8}{'p (Holm)':>12}"
    yield _cell("differences, points", 34) + columns
    for pair in found.pairs:
        name = f"{_cell(pair.first, 15).rstrip()} − {_cell(pair.second, 15).rstrip()}"
        apart = f"{100 * pair.difference:+.1f}".replace("-", "−")
        yield (
            f"{pad(name, 34)}{apart:>7}  {points(pair.interval):<15}"
            f"{p_words(pair.p):>8}{p_words(pair.p_holm):>12}"
        )
    yield ""
    test = "paired bootstrap" if found.multi_label else "McNemar's test, exact"
    unit = f"{found.num_units} groups" if found.by_group else "clips"
    yield f"p: {test}; Holm: corrected for {len(found.pairs)} pair(s)."
    yield f"Intervals of differences: paired bootstrap over {unit}."


def _cost(cost: Cost) -> str:
    return f"{giga(cost.macs_per_view)} × {cost.total_views:.4g} = {giga(cost.total_macs)}"


def _cell(name: str, width: int = _NAME_COLUMNS) -> str:
    return pad(shorten_middle(printable(name), width), width)

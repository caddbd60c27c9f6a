"""Comparing the models of one benchmark run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


def best_rows(rows: Iterable[Row], *, threads: int, batch: int = 1) -> dict[str, Row]:
    """The fastest row of each model, over runtimes and forms.

    Args:
        rows: From ``benchmark.run.time_contestants``. Unfused models and precisions other than
            float32 are ignored.
        threads: Only rows of this thread count.
        batch: Only rows of this batch.

    Returns:
        Rows by model, in order of first appearance.
    """
    best: dict[str, Row] = {}
    for row in rows:
        if (row["threads"], row["batch"]) != (threads, batch):
            continue
        if row["precision"] != "fp32" or not row["fused"]:
            continue
        held = best.get(row["model"])
        if held is None or row["latency_ms"] < held["latency_ms"]:
            best[row["model"]] = row
    return best


@dataclass(frozen=True)
class Goal:
    """A ratio with an upper limit."""

    what: str
    limit: float
    """Largest ratio that meets the goal."""
    ratio: float | None
    """Measured ratio; None where one of the two was not in the run."""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where not measured."""
        return None if self.ratio is None else self.ratio <= self.limit

    def line(self) -> str:
        """One line of a table."""
        ratio = "–" if self.ratio is None else f"{self.ratio:.2f}"
        word = {None: "not measured", True: "met", False: "not met"}[self.met]
        return f"{self.what:<44}{ratio:>8}  ≤ {self.limit:.2f}  {word}"


def latency_goal(best: Mapping[str, Row], ours: str, other: str, limit: float) -> Goal:
    """Latency of one model over that of another, each in its best runtime and form."""
    if ours in best and other in best:
        ratio = best[ours]["latency_ms"] / best[other]["latency_ms"]
    else:
        ratio = None
    return Goal(f"{ours} / {other}", limit, ratio)


def efficiency_goals(best: Mapping[str, Row], models: Sequence[str], limit: float) -> list[Goal]:
    """Time per multiply-accumulate of each model over that of the best of them."""
    measured = [best[name]["ms_per_gmac"] for name in models if name in best]
    return [
        Goal(
            f"{name}: ms per GMAC / best",
            limit,
            best[name]["ms_per_gmac"] / min(measured) if name in best else None,
        )
        for name in models
    ]


def artefact_table(rows: Iterable[Row]) -> str:
    """A Markdown table of artefacts: target, form, size, difference from eager and time.

    Args:
        rows: From ``benchmark.run.time_contestants``, or ``benchmark.prepare.written_only`` for
            what does not run.
    """
    lines = [
        "| model | target | form | MB | largest difference | ms | ms per GMAC |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (
            row["model"],
            row["runtime"],
            row["form"],
            _cell(row["size_mb"], ".1f"),
            _cell(row["max_difference"], ".1e"),
            _cell(row["latency_ms"], ".1f", "not run"),
            _cell(row["ms_per_gmac"], ".1f"),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: float | None, form: str, missing: str = "–") -> str:
    return missing if value is None else format(value, form)

"""Tables and a picture of what ``benchmarks/accuracy/run.py`` measured.

    python benchmarks/accuracy/summary.py [FILE.jsonl …] [--plot FILE.png]

Accuracies are means over seeds with their standard deviation. Beside them stands the difference to
the Video Mobile-Former of the same budget (ablations: to the unchanged network), seed by seed, and
what each network had reached when the quickest of them was through with its training.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import record

Run = dict[str, Any]
OWN = ("vmf", "as it is")
"""How rows begin that others are compared to."""
STYLES = {"0.5g": ":", "1g": "-", "2g": "--"}
"""Lines of a budget; colours tell networks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="default: all of results/")
    parser.add_argument("--plot", type=Path, help="also draw accuracy against training minutes")
    args = parser.parse_args()
    files = args.files or sorted(record.RESULTS.glob("*.jsonl"))
    groups: dict[str, list[Run]] = {}
    for file in files:
        for run in record.read(file):
            clips = "" if run["clips"] is None else f", {run['clips']} training clips"
            clips += f", generator {run['generator']}" if run.get("generator") else ""
            clips += f", rate {run['lr']:g}" if run.get("lr") else ""
            title = f"{file.stem}: {run['data']}, {run['epochs']} epochs{clips}"
            groups.setdefault(title, []).append(run)
    for title, runs in groups.items():
        print("\n".join([f"### {title}", "", *table(runs), ""]))
    if args.plot:
        draw(groups, args.plot)


def table(runs: Sequence[Run]) -> list[str]:
    """A Markdown table of runs on one data set, with a column for each family of classes."""
    rows = by_row(runs)
    families = list(next(iter(rows.values()))[0]["families"] or ())
    head = ["row", "clip", "M MACs × 1 view", "M parameters", "top-1 %", "seeds", "difference"]
    head += ["minutes", "top-1 % at equal minutes", *families]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    for row, found in rows.items():
        one = found[0]
        cells = [
            row,
            f"{one['num_frames']}×{one['size']}²",
            f"{one['macs_per_view'] / 1e6:.1f}",
            f"{one['parameters'] / 1e6:.2f}",
            spread([100 * run["top1"] for run in found]),
            str(len(found)),
            difference(found, rows[reference(row, rows)]),
            f"{statistics.mean(run['minutes'] for run in found):.1f}",
            spread([100 * reached(run, quickest(row, rows)) for run in found]),
        ]
        cells += [
            f"{100 * statistics.mean(run['families'][family] for run in found):.0f}"
            for family in families
        ]
        lines.append(" | ".join(cells))
    return [f"| {line} |" for line in lines]


def by_row(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs of each row, the family's own row before its baselines, else in order of time."""
    rows: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: not run["row"].startswith(OWN)):
        rows.setdefault(run["row"], []).append(run)
    return rows


def budget(row: str) -> str:
    """What stands in brackets after the name of a compared network; empty for ablations."""
    found = re.search(r"\((\w+\.?\w*g)\)$", row)
    return found.group(1) if found else ""


def network(row: str) -> str:
    """The name without its budget."""
    return row.removesuffix(f" ({budget(row)})")


def spaced(k: int) -> int:
    """Strong colours of a palette of ten pairs before pale ones."""
    return 2 * k % 20 + k // 10 % 2


def reference(row: str, rows: dict[str, list[Run]]) -> str:
    return next(name for name in rows if budget(name) == budget(row))


def quickest(row: str, rows: dict[str, list[Run]]) -> float:
    """Minutes after which the first network of a budget is trained."""
    return min(
        statistics.mean(run["minutes"] for run in found)
        for name, found in rows.items()
        if budget(name) == budget(row)
    )


def reached(run: Run, minutes: float) -> float:
    """Accuracy at a time, on a straight line between the points of the curve."""
    before = {"minutes": 0.0, "top1": 0.0}
    for point in run["curve"]:
        if point["minutes"] >= minutes:
            share = (minutes - before["minutes"]) / (point["minutes"] - before["minutes"])
            return before["top1"] + share * (point["top1"] - before["top1"])
        before = point
    return run["top1"]


def difference(found: Sequence[Run], other: Sequence[Run]) -> str:
    """Points above ``other``, over the seeds that both have."""
    theirs = {run["seed"]: run["top1"] for run in other}
    pairs = [100 * (run["top1"] - theirs[run["seed"]]) for run in found if run["seed"] in theirs]
    if not pairs or found is other:
        return "–"
    return spread(pairs, sign="+")


def spread(values: Sequence[float], sign: str = "") -> str:
    mean = f"{statistics.mean(values):{sign}.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def draw(groups: dict[str, list[Run]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(3, len(groups))
    lines = -(-len(groups) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(5.2 * columns, 4.2 * lines), squeeze=False, layout="constrained"
    )
    for axes in grid.flat[len(groups) :]:
        axes.set_axis_off()
    rows = [row for runs in groups.values() for row in by_row(runs)]
    names = list(dict.fromkeys(network(row) for row in rows))
    kinds: dict[str, Any] = {}
    for axes, (title, runs) in zip(grid.flat, groups.items(), strict=False):
        for row, found in by_row(runs).items():
            points = [
                [
                    statistics.mean(run["curve"][k][name] for run in found)
                    for name in ("minutes", "top1")
                ]
                for k in range(len(found[0]["curve"]))
            ]
            minutes, top1 = zip(*points, strict=True)
            sd = statistics.stdev(r["top1"] for r in found) if len(found) > 1 else 0.0
            color = plt.colormaps["tab20"](spaced(names.index(network(row))))
            style = STYLES.get(budget(row), "-")
            (kinds[row],) = axes.plot(
                minutes, [100 * v for v in top1], color=color, marker=".", linestyle=style
            )
            axes.errorbar(minutes[-1], 100 * top1[-1], 100 * sd, color=color, capsize=3)
        axes.set_title(title, fontsize=9)
        where = "one core" if runs[0]["device"] == "cpu" else runs[0]["processor"]
        axes.set_xlabel(f"minutes of training, {where}", fontsize=8)
        axes.set_ylabel("top-1 %, bar: sd over seeds", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    kinds = {row: kinds[row] for row in sorted(kinds, key=lambda row: names.index(network(row)))}
    figure.legend(kinds.values(), kinds, fontsize=8, ncols=4, loc="outside lower center")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()

"""Latency against multiply-accumulates: the family and its baselines, in turn in one run.

    python benchmarks/latency.py --json benchmarks/results/latency.json
    python benchmarks/latency.py --models vmf_1g x3d_s --runtimes openvino onnx eager --form all \\
        --json latency.json --artefacts runs/artefacts
    python benchmarks/latency.py --training                   # a training step on the CPU

Every model in its best runtime and graph form of those that are asked for, fp32, batch 1, at its
native clip: 16 × 224² for the family (20 frames for `vmf_6g`, 16 as `vmf_6g@16`), 4 × 160²,
13 × 160² and 16 × 224² for X3D, 50 × 172² for MoViNet-A0 and A1. Temporal kernels are the full 3-D
ones of each default. Exporting takes most of the time; with `--artefacts` what is unchanged is used
again in the next run. Written: the rows as a JSON list, a PNG of the same name, and on stdout the
table and the goals.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from latency_goals import Goal, best_rows, efficiency_goals, latency_goal

from video_mobile_former.benchmark import ModelChoice, format_rows, prepare, time_contestants
from video_mobile_former.benchmark.contestants import EAGER, Contestant
from video_mobile_former.errors import UserError
from video_mobile_former.files import atomic_path, write_json
from video_mobile_former.models import create_model
from video_mobile_former.models.video_model import Form
from video_mobile_former.profiling.child import in_child
from video_mobile_former.profiling.latency import clock_of, time_in_turn

FAMILY = ("vmf_500m", "vmf_1g", "vmf_2g", "vmf_3g", "vmf_4g", "vmf_6g", "vmf_6g@16", "vmf_9g")
BASELINES = ("x3d_xs", "x3d_s", "x3d_m", "movinet_a0", "movinet_a1")
FAMILIES = {"Video Mobile-Former": "vmf_", "X3D": "x3d_", "MoViNet": "movinet_"}
"""How names of a family begin."""
LATENCY_GOALS = (
    ("vmf_500m", "x3d_xs", 1.5),
    ("vmf_1g", "x3d_s", 0.6),
    ("vmf_2g", "x3d_s", 1.0),
    ("vmf_6g@16", "x3d_m", 1.1),
    ("vmf_2g", "movinet_a0", 0.45),
)
EFFICIENCY_LIMIT = 1.6
FUSED_LIMIT = 1 / 1.7
TRAINING_LIMIT = 0.6
TRAINED: tuple[tuple[str, Form], ...] = (("vmf_6g", "auto"), ("x3d_m", "auto"), ("x3d_m", "volume"))
"""X3D also as Conv3d, as its authors' code has it."""


def main() -> int:
    args = parse()
    try:
        if args.training:
            return train_in_turn(args)
        return run(args)
    except UserError as error:
        print(f"latency.py: error: {error}", file=sys.stderr)
        return 2


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", default=[*FAMILY, *BASELINES])
    parser.add_argument(
        "--runtimes", nargs="+", default=["openvino"], help="eager, export targets, or all"
    )
    parser.add_argument("--form", choices=("auto", "volume", "frames", "all"), default="auto")
    parser.add_argument("--channels", choices=("first", "last"), help="of exported inputs")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--json", type=Path, metavar="FILE", help="rows, and a PNG of this name")
    parser.add_argument("--artefacts", type=Path, metavar="FOLDER", help="keep artefacts here")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=8.0, help="for the rounds of each")
    parser.add_argument("--memory", action="store_true", help="also measure memory")
    parser.add_argument("--training", action="store_true", help="time a training step instead")
    return parser.parse_args()


def run(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="latency-") as temporary:
        contestants = prepare(
            [ModelChoice.parse(text) for text in args.models],
            runtimes=args.runtimes,
            form=args.form,
            channels=args.channels,
            folder=args.artefacts or Path(temporary),
        )
        contestants += eager_pair(contestants)
        rows = time_contestants(
            contestants,
            threads=args.threads,
            rounds=args.rounds,
            seconds=args.seconds,
            memory=args.memory,
        )
    print(rows[0]["machine"])
    print(format_rows(rows))
    for count in args.threads:
        best = best_rows(rows, threads=count)
        print(f"\n{count} thread{'s' if count > 1 else ''}, each in its best runtime and form\n")
        for goal in goals(best, rows, count):
            print(goal.line())
    if args.json:
        write_json(args.json, rows)
        draw(args.json.with_suffix(".png"), best_rows(rows, threads=args.threads[0]), rows[0])
    return 0


def eager_pair(contestants: Sequence[Contestant]) -> list[Contestant]:
    """``vmf_1g`` in eager PyTorch, folded in its own form and unfolded as Conv3d."""
    one = next((each for each in contestants if each.choice.label == "vmf_1g"), None)
    if one is None:
        return []
    pair = [
        Contestant(one.choice, EAGER, "frames", 1, one.clip, one.macs),
        Contestant(one.choice, EAGER, "volume", 1, one.clip, one.macs, fused=False),
    ]
    return [each for each in pair if each not in contestants]


def goals(best: Mapping[str, Any], rows: Sequence[dict[str, Any]], threads: int) -> list[Goal]:
    found = [latency_goal(best, *goal) for goal in LATENCY_GOALS]
    eager = [
        row
        for row in rows
        if (row["model"], row["runtime"], row["threads"]) == ("vmf_1g", EAGER, threads)
    ]
    fused = [row["latency_ms"] for row in eager if row["fused"]]
    unfused = [row["latency_ms"] for row in eager if not row["fused"]]
    ratio = min(fused) / min(unfused) if fused and unfused else None
    found.append(Goal("vmf_1g in eager: fused / unfused Conv3d", FUSED_LIMIT, ratio))
    return found + efficiency_goals(best, FAMILY, EFFICIENCY_LIMIT)


def training_step(name: str, form: Form) -> Callable[[], object]:
    """A step on four clips of 16 × 112², plain SGD."""
    torch.manual_seed(0)
    model = create_model(name, 400, form=form).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    clips, labels = torch.randn(4, 3, 16, 112, 112), torch.arange(4)

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(clips), labels).backward()
        optimizer.step()

    return step


def time_training(threads: int, rounds: int, seconds: float) -> Any:
    torch.set_num_threads(threads)
    steps = {f"{name} ({form})": training_step(name, form) for name, form in TRAINED}
    return time_in_turn(steps, rounds=rounds, seconds=seconds, min_rounds=3, settle=0)


def train_in_turn(args: argparse.Namespace) -> int:
    for count in args.threads:
        timings = in_child(
            time_training, count, args.rounds, 5 * args.seconds, what="training steps"
        )
        clock = clock_of(count)
        print(f"a training step of 4 clips of 16 × 112², {count} thread{'s' if count > 1 else ''}")
        medians = {name: timing.seconds(clock).median for name, timing in timings.items()}
        for name, median in medians.items():
            print(f"{name:20}{1e3 * median:9.0f} ms")
        ours, *others = medians
        for other in others:
            goal = Goal(f"{ours} / {other}", TRAINING_LIMIT, medians[ours] / medians[other])
            print(goal.line())
    return 0


def draw(path: Path, best: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Latency against multiply-accumulates, both logarithmic, a line for each family."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    figure, axes = plt.subplots(figsize=(8, 5.2), dpi=150)
    points = {name: (row["macs"] / 1e9, row["latency_ms"]) for name, row in best.items()}
    colors = {}
    for (family, start), marker in zip(FAMILIES.items(), "os^", strict=True):
        own = sorted((at, name) for name, at in points.items() if name.startswith(start))
        if own:
            x, y = zip(*(at for at, _ in own), strict=True)
            (line,) = axes.plot(x, y, marker=marker, label=family, linewidth=1, markersize=5)
            colors |= {name: line.get_color() for _, name in own}
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(0.12)
    ticks = [digit * 10.0**power for power in range(-2, 5) for digit in (1, 2, 5)]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("G multiply-accumulates of one clip")
    axes.set_ylabel("ms of one clip")
    threads = about["threads"]
    axes.set_title(
        f"fp32, batch 1, {threads} thread{'s' if threads > 1 else ''}, each in its best runtime "
        f"and form\n{about['machine']}",
        fontsize=9,
    )
    axes.grid(which="major", alpha=0.25)
    axes.legend(frameon=False, loc="upper left")
    figure.tight_layout()
    place_labels(axes, {name: (at, colors[name]) for name, at in points.items() if name in colors})
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
    plt.close(figure)


def place_labels(axes: Any, labels: Mapping[str, tuple[tuple[float, float], Any]]) -> None:
    """Write each name beside its point, where it hides no point, line or other name if possible."""
    from matplotlib.transforms import Bbox

    renderer = axes.figure.canvas.get_renderer()
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for line in axes.lines for x, y in dense(line)]
    places = [
        (dx, dy, "left" if dx > 0 else "right" if dx < 0 else "center")
        for far in (1.0, 1.6, 2.3)
        for dx, dy in ((7, -9), (-7, 7), (8, -2), (-8, 0), (0, 10), (0, -15), (7, 8), (-7, -11))
        for dx, dy in [(dx * far, dy * far)]
    ]
    for name, (at, color) in labels.items():
        tried = []
        for dx, dy, side in places:
            text = axes.annotate(
                name,
                at,
                xytext=(dx, dy),
                textcoords="offset points",
                ha=side,
                fontsize=8,
                color=color,
            )
            box = text.get_window_extent(renderer)
            inside = axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)
            hidden = sum(box.overlaps(other) for other in taken) + (0 if inside else 100)
            text.remove()
            tried.append((hidden, len(tried), (dx, dy, side), box))
            if not hidden:
                break
        _, _, (dx, dy, side), box = min(tried, key=lambda each: each[:2])
        axes.annotate(
            name, at, xytext=(dx, dy), textcoords="offset points", ha=side, fontsize=8, color=color
        )
        taken.append(box)


def dense(line: Any) -> list[tuple[float, float]]:
    """Points along a line on the screen, a few pixels apart."""
    corners = line.get_transform().transform(line.get_xydata())
    found = [tuple(corners[0])]
    for start, end in itertools.pairwise(corners):
        steps = max(1, int(max(abs(end - start)) // 8))
        found += [tuple(start + (end - start) * step / steps) for step in range(1, steps + 1)]
    return found


if __name__ == "__main__":
    sys.exit(main())

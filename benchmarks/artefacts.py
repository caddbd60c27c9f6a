"""The family in every export target: form, size, difference from eager, time. A Markdown table.

    python benchmarks/artefacts.py                              # every target installed here
    python benchmarks/artefacts.py --models vmf_1g --targets onnx openvino --artefacts runs/a

Fresh weights, native clips, fp32, batch 1, each target in the graph form it prefers. Those that
this package can only write (Core ML) are written and not run. Exports take most of the time; with
`--artefacts` what is unchanged is used again in the next run. A target that is not installed, or
that refuses a model, is named on stderr and has no row.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latency_goals import artefact_table

from video_mobile_former.benchmark import Contestant, ModelChoice, prepare, time_contestants
from video_mobile_former.benchmark.prepare import installed, written_only
from video_mobile_former.console import say
from video_mobile_former.errors import UserError
from video_mobile_former.export.targets.table import TARGETS, get_target
from video_mobile_former.files import write_json
from video_mobile_former.models import list_models


def main() -> int:
    args = parse()
    try:
        rows = table_rows(args)
    except UserError as error:
        print(f"artefacts.py: error: {error}", file=sys.stderr)
        return 2
    print(next((row["machine"] for row in rows if "machine" in row), ""))
    print()
    print(artefact_table(rows))
    if args.json:
        write_json(args.json, rows)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list_models(baselines=False))
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--artefacts", type=Path, metavar="FOLDER", help="keep artefacts here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=5.0, help="for the rounds of each")
    return parser.parse_args()


def table_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of what runs here, all in turn in one run, and of what is only written."""
    choices = [ModelChoice.parse(text) for text in args.models]
    targets = [get_target(name) for name in args.targets]
    with tempfile.TemporaryDirectory(prefix="artefacts-") as temporary:
        folder = args.artefacts or Path(temporary)
        contestants: list[Contestant] = []
        others: list[dict[str, Any]] = []
        for target in targets:
            if not installed(target):
                continue
            for choice in choices:
                try:
                    if target.runs_here:
                        contestants += prepare([choice], runtimes=[target.name], folder=folder)
                    else:
                        others.append(written_only(choice, target, folder))
                except UserError as error:
                    say(f"{choice.label} has no row for {target.name}: {error}")
        rows = timed(contestants, args)
    order = {name: number for number, name in enumerate(args.models)}
    return sorted(rows + others, key=lambda row: order[row["model"]])


def timed(contestants: Sequence[Contestant], args: argparse.Namespace) -> list[dict[str, Any]]:
    if not contestants:
        return []
    return time_contestants(
        contestants,
        threads=[args.threads],
        rounds=args.rounds,
        seconds=args.seconds,
        memory=False,
    )


if __name__ == "__main__":
    sys.exit(main())

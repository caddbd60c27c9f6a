"""``vmf evaluate`` with several models: measure them on the same clips, and compare."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..console import say
from ..errors import UserError
from .measuring import chosen_clips, evaluate_chosen, measured_speeds, per_model
from .options import EXIT_FAILED_FILES, check_outside, model_of, print_json


def compare_models(args: argparse.Namespace) -> int:
    """Measure models, or read what was measured, and write the comparison.

    Args:
        args: Options of the command; ``models`` are at least two.

    Raises:
        UserError: If models, reports or clips do not belong together.
    """
    from ..evaluation import write_report
    from ..evaluation.alignment import check_same_classes
    from ..evaluation.compare import compare
    from ..evaluation.predictions import is_report, load_run, run_of
    from ..evaluation.report.comparison import (
        check_comparison_folder,
        comparison_summary,
        write_comparison,
    )
    from ..evaluation.report.page import check_report_folder
    from ..evaluation.result import note_lines
    from ..inference.scorer import at_least_one

    names = short_names(args.models)
    views = per_model("num_views", args.num_views, len(names))
    crops = per_model("num_crops", args.num_crops, len(names))
    out, folders = Path(args.out or "comparison"), _folder_names(names)
    check_outside(out, args.data)
    check_comparison_folder(out, overwrite=args.overwrite)
    for folder in folders:
        check_report_folder(out / "models" / folder, overwrite=args.overwrite)
    for name, values in (("num_views", views), ("num_crops", crops)):
        for value in values:
            at_least_one(name, 1 if value == "full" else value)
    runs: list[Any] = []
    models: list[Any] = []
    plans: list[Any] = []
    # All that can be refused is refused before an hour of scoring.
    known: list[tuple[str, Any]] = []
    for path, name in zip(args.models, names, strict=True):
        run: Any = load_run(path, name) if is_report(path) else None
        args.model = path
        model: Any = None if run is not None else model_of(args)
        runs.append(run)
        models.append(model)
        classes = (run or model).class_names
        if classes is not None:
            known.append((name, classes))
            check_same_classes(classes, known[0][1], name, known[0][0])
        if model is not None:
            try:
                model.clip.sampled(args.sampling, args.stride)
            except UserError as error:
                raise UserError(f"{path}: {error}") from error
        plans.append(None if model is None else chosen_clips(args, model))
    _check_same_clips(names, runs, plans)
    unread = False
    for i, (path, name, model) in enumerate(zip(args.models, names, models, strict=True)):
        if model is None:
            continue
        say(f"{name} ({i + 1} of {len(names)})")
        one = argparse.Namespace(
            **{**vars(args), "model": path, "num_views": views[i], "num_crops": crops[i]}
        )
        result = evaluate_chosen(one, model, plans[i])
        write_report(result, out / "models" / folders[i], overwrite=args.overwrite)
        unread = unread or bool(result.method.failures)
        runs[i] = run_of(result, name)
    speeds = None
    if args.speed:
        measurable = zip(args.models, models, strict=True)
        speeds = measured_speeds([None if model is None else path for path, model in measurable])
    found = compare(runs, speeds)
    page = write_comparison(found, out, overwrite=args.overwrite)
    if args.json:
        print_json(found.to_dict())
    else:
        print(comparison_summary(found))
    for line in note_lines(found.notes):
        say(line)
    say(f"comparison: {page}")
    return EXIT_FAILED_FILES if unread else 0


def _check_same_clips(names: Sequence[str], runs: Sequence[Any], plans: Sequence[Any]) -> None:
    """Refuse models that would be measured on different clips, as each held out others, say.

    Raises:
        UserError: Says of which and what to do.
    """
    # Clips that a model could not read are left out of the comparison; they are no difference.
    unread = {key for run in runs if run is not None for key in run.unread}
    sets: list[set[Any]] = []
    for run, plan in zip(runs, plans, strict=True):
        found = set(run.keys) if run is not None else _keys(plan)
        sets.append(found - unread)
        if sets[-1] != sets[0]:
            raise UserError(
                f"{names[0]} and {names[len(sets) - 1]} would be measured on different clips, "
                f"{len(sets[0])} and {len(sets[-1])} of them: each on those that its training held "
                "out, or the data has changed; --split all measures all models on all clips"
            )


def _keys(chosen: Any) -> set[Any]:
    table = chosen.clips.table
    times = (
        [None if math.isnan(t) else t for t in x.tolist()]
        for x in (table.start_seconds, table.end_seconds)
    )
    return set(zip(table.names(), *times, strict=True))


def short_names(paths: Sequence[str]) -> list[str]:
    """Paths without what all of them share at begin and end, so that tables can hold them.

    Args:
        paths: At least two. A path that is given twice gets a number.
    """
    found = [Path(path) for path in paths]
    if any(not path.parts or ".." in path.parts for path in found):  # these name nothing
        found = [path.resolve() for path in found]
    parts = [list(path.parts) for path in found]
    while all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    while all(len(p) > 1 for p in parts) and len({p[-1] for p in parts}) == 1:
        parts = [p[:-1] for p in parts]
    names: list[str] = []
    for part in parts:
        name = "/".join(part).strip("/")
        same = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({same + 1})" if same else name)
    return names


def _folder_names(names: Sequence[str]) -> list[str]:
    """Names without separators; those that are then the same get a number."""
    flat = [name.replace("/", "-").replace("\\", "-") for name in names]
    return [
        name if flat.index(name) == i else f"{name} ({flat[:i].count(name) + 1})"
        for i, name in enumerate(flat)
    ]

"""The command ``vmf evaluate`` for several models: measure each, then compare."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import say
from .errors import UserError
from .files import check_folder

if TYPE_CHECKING:
    from .evaluation import Evaluation, MultiLabelEvaluation

Measured = tuple["Evaluation | MultiLabelEvaluation", str]
"""An evaluation and the name of the split."""


def per_model(name: str, values: Sequence[Any], count: int) -> list[Any]:
    """One value for each model, of one for all or of as many as there are models.

    Raises:
        UserError: If there are other numbers of them.
    """
    if len(values) not in (1, count):
        each = f", or one for each of {count} models" if count > 1 else " for one model"
        raise UserError(f"--{name} takes one value{each}: {len(values)} given")
    return list(values) * count if len(values) == 1 else list(values)


def compare_models(
    args: argparse.Namespace,
    load: Callable[[argparse.Namespace], Any],
    measure: Callable[[argparse.Namespace, Any], Measured],
) -> int:
    """Measure models, or read what was measured, and write the comparison.

    Args:
        args: Options of the command; ``models`` are at least two.
        load: Loads the model ``args.model``.
        measure: Measures a loaded model as its options say.

    Raises:
        UserError: If models, reports or clips do not belong together.
    """
    from .evaluation.alignment import check_same_classes
    from .evaluation.compare import compare
    from .evaluation.predictions import is_report, load_run, run_of
    from .evaluation.result import note_lines
    from .inference.scorer import at_least_one

    names = short_names(args.models)
    views = per_model("num_views", args.num_views, len(names))
    crops = per_model("num_crops", args.num_crops, len(names))
    out, folders = Path(args.out or "comparison"), _folder_names(names)
    check_folder(out)
    for name, values in (("num_views", views), ("num_crops", crops)):
        for value in values:
            at_least_one(name, 1 if value == "full" else value)
    runs: list[Any] = []
    models: list[Any] = []
    # All that can be refused is refused before an hour of scoring.
    known: list[tuple[str, Any]] = []
    for path, name in zip(args.models, names, strict=True):
        run: Any = load_run(path, name) if is_report(path) else None
        args.model = path
        model: Any = None if run is not None else load(args)
        runs.append(run)
        models.append(model)
        classes = (run or model).class_names
        if classes is not None:
            known.append((name, classes))
            check_same_classes(classes, known[0][1], name, known[0][0])
    for i, (path, name, model) in enumerate(zip(args.models, names, models, strict=True)):
        if model is None:
            continue
        say(f"{name} ({i + 1} of {len(names)})")
        one = argparse.Namespace(
            **{**vars(args), "model": path, "num_views": views[i], "num_crops": crops[i]}
        )
        result, _ = measure(one, model)
        result.write(out / "models" / folders[i])
        runs[i] = run_of(result, name)
    found = compare(runs)
    page = found.write(out)
    if args.json:
        print(json.dumps(found.to_dict(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print(found.summary())
    for line in note_lines(found.notes):
        say(line)
    say(f"comparison: {page}")
    return 0


def views_number(text: str) -> int | str:
    """Read a number of views, or ``full``.

    Raises:
        argparse.ArgumentTypeError: If it is neither.
    """
    if text == "full":
        return text
    try:
        return int(text)
    except ValueError:
        message = f"takes a whole number or 'full', not {text!r}"
        raise argparse.ArgumentTypeError(message) from None


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

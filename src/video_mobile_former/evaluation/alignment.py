"""Checking that runs have the same clips and classes, and aligning their order."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from ..data.index.labels import check_classes
from ..errors import DataError
from ..text import printable
from .predictions import Run


def aligned(run: Run, first: Run) -> Run:
    """A run with its clips in the order of another.

    Args:
        run: The run to reorder.
        first: A run on the same clips, with the wanted order.

    Raises:
        DataError: If classes, their order, the clips or their labels differ; names the first
            difference.
    """
    if run.multi_label != first.multi_label:
        kinds = ["single-label", "multi-label"]
        raise DataError(
            f"{run.name} is {kinds[run.multi_label]}, {first.name} "
            f"is {kinds[first.multi_label]}: they cannot be compared"
        )
    check_same_classes(run.class_names, first.class_names, run.name, first.name)
    for one in (run, first):
        if len(set(one.keys)) < len(one.keys):
            twice = next(key for key in one.keys if one.keys.count(key) > 1)
            raise DataError(f"{one.name}: the clip {printable(twice[0])} was measured twice")
    place = {key: i for i, key in enumerate(run.keys)}
    missing = [key for key in first.keys if key not in place]
    more = set(run.keys) - set(first.keys)
    if missing or more:
        example = printable((missing or sorted(more, key=str))[0][0])
        raise DataError(
            f"{run.name} and {first.name} were not measured on the same clips: "
            f"{len(run.keys)} and {len(first.keys)}, for example {example} only with "
            f"{first.name if missing else run.name}"
        )
    order = [place[key] for key in first.keys]
    true = tuple(run.true[i] for i in order)
    for key, ours, theirs in zip(first.keys, true, first.true, strict=True):
        if set(ours) != set(theirs):
            raise DataError(
                f"{printable(key[0])} is labelled {', '.join(ours) or 'nothing'} with {run.name} "
                f"and {', '.join(theirs) or 'nothing'} with {first.name}"
            )
    return dataclasses.replace(
        run,
        keys=first.keys,
        true=true,
        groups=tuple(run.groups[i] for i in order),
        scores=run.scores[torch.tensor(order)],
    )


def readable(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Runs without the clips that one of them could not read.

    Returns:
        The runs, and the names of the excluded clips.
    """
    unread = {key for run in runs for key in run.unread}
    found = []
    for run in runs:
        kept = [i for i, key in enumerate(run.keys) if key not in unread]
        if len(kept) < len(run.keys):
            run = dataclasses.replace(
                run,
                keys=tuple(run.keys[i] for i in kept),
                true=tuple(run.true[i] for i in kept),
                groups=tuple(run.groups[i] for i in kept),
                scores=run.scores[kept],
            )
        found.append(run)
    return found, sorted(key[0] for key in unread)


def check_same_classes(
    found: Sequence[str], expected: Sequence[str], name: str, other: str
) -> None:
    """Check that two models have the same classes in the same order.

    Raises:
        DataError: If not; names the first difference.
    """
    try:
        check_classes(found, expected, name, other=other)
    except DataError as error:
        text = str(error).removesuffix(f"; load the data with the class list of {other}")
        text = text.replace("the data has", "it has").replace("in the data", f"in {name}")
        raise DataError(text) from None

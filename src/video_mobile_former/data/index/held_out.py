"""Which clips a run held out for validation, where its data has no split that says so.

The division is a function of the clips, the share and the seed. Whoever has the data and the
checkpoint can make it again, so that a model is not measured on the clips that it was trained on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from ...errors import DataError
from .division import split_rows
from .index import ClipIndex
from .table import SPLITS
from .windows import event_windows

KEY = "held_out"
"""Of a checkpoint's ``training``: the fingerprint of both parts; absent where none was held out."""


def division_of(train: ClipIndex, val: ClipIndex | None, *, val_split: str | None) -> str | None:
    """What a checkpoint keeps, to know the division when it is made again; None if there is none.

    Args:
        train: Training clips of a run.
        val: Its validation clips.
        val_split: The split that holds validation clips where the data has one; None where they
            are data of their own.
    """
    held = val is not None and val_split is not None and val_split not in val.splits()
    return fingerprint(train, val) if held else None


def of_recipe(info: Any, *keys: str) -> Any:
    """What a checkpoint says of the recipe it was trained by; None where it does not.

    Args:
        info: ``model.info`` of a checkpoint or an artefact.
        keys: The way to a value of the recipe, such as ``"data", "path"``.
    """
    for key in ("training", "recipe", *keys):
        info = info.get(key) if isinstance(info, dict) else None
    return info


def with_held_out(index: ClipIndex, info: Any) -> ClipIndex:
    """The clips with the division of the run as their splits ``train`` and ``val``.

    Args:
        index: The clips, without those that the run excluded.
        info: ``model.info`` of a checkpoint or an artefact.

    Returns:
        The index as it is unless its clips are exactly those of the run.
    """
    key = info.get("training", {}).get(KEY) if of_recipe(info) is not None else None
    fraction, seed = of_recipe(info, "data", "val_fraction"), of_recipe(info, "seed")
    if key is None or not isinstance(fraction, float) or not isinstance(seed, int):
        return index
    if not 0 < fraction < 1:
        return index
    rows = np.arange(len(index))
    present = index.splits()
    if present:
        if "train" not in present or "val" in present:
            return index
        rows = np.flatnonzero(index.table.split == SPLITS.index("train"))
    part = dataclasses.replace(index, clips=index.table.take(rows))
    try:
        rest, held = split_rows(part, fraction, seed)
    except DataError:  # other clips than those of the run
        return index
    parts = (dataclasses.replace(part, clips=part.table.take(kept)) for kept in (rest, held))
    if index.intervals:
        # A run is told of its windows.
        told = info.get("training", {}).get("windows")
        if not isinstance(told, dict):
            return index
        parts = (event_windows(part, **told) for part in parts)
    if fingerprint(*parts) != key:
        return index
    splits = index.table.split.copy()
    splits[rows[held]] = SPLITS.index("val")
    splits[rows[rest]] = SPLITS.index("train")
    return dataclasses.replace(index, clips=index.table.with_splits(splits))


def fingerprint(*indexes: ClipIndex | None, class_weights: Tensor | None = None) -> str:
    """A short text that changes when clips, their labels or events, classes or weights do."""
    digest = hashlib.sha256()
    for index in indexes:
        digest.update(repr(index and index.class_names).encode())
        for row in _rows_of(index) if index else ():
            digest.update(repr(row).encode())
    if class_weights is not None:
        digest.update(repr(class_weights.tolist()).encode())
    return digest.hexdigest()[:16]


def _rows_of(index: ClipIndex) -> Iterator[tuple[object, ...]]:
    """What training depends on of each clip, read from the columns: there may be very many."""
    table = index.table
    starts, ends = (
        (None if math.isnan(value) else value for value in column.tolist())
        for column in (table.start_seconds, table.end_seconds)
    )
    rows = zip(table.names(), table.label.tolist(), starts, ends, strict=True)
    if table.has_events:
        return ((*row, clip.labels, clip.events) for row, clip in zip(rows, table, strict=True))
    if index.multi_label:
        return ((*row, clip.labels) for row, clip in zip(rows, table, strict=True))
    return rows

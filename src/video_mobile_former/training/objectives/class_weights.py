"""How much each class counts in the loss."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import torch
from torch import Tensor

from ...data.index.index import ClipIndex
from ...data.index.listing import read_text
from ...errors import DataError, known_names

_COLUMNS = ("class", "weight")


def class_weights(choice: str, index: ClipIndex) -> Tensor | None:
    """Find the weights that a recipe asks for.

    Args:
        choice: ``"none"``; ``"balanced"``, which weighs a class by the inverse of its number of
            clips; or a CSV/TSV file with the columns class and weight, in which classes that are
            not listed weigh 1.
        index: The training clips.

    Returns:
        ``(num_classes,)`` float32 whose mean over all labels of the clips is 1, so that a class of
        c of n labels and K classes weighs n / (K c) if balanced; None for ``"none"``. Classes
        without a clip do not count and weigh 1 if balanced.

    Raises:
        DataError: If the file cannot be read, or a class or weight in it is wrong.
    """
    if choice == "none":
        return None
    counts = torch.tensor(index.counts(), dtype=torch.float64)
    if choice == "balanced":
        weights = torch.where(counts > 0, 1 / counts.clamp_min(1), 0)
    else:
        weights = torch.tensor(_read(Path(choice), index.class_names), dtype=torch.float64)
    total = float(weights @ counts)
    if total == 0:
        raise DataError(f"{index.source}: no class with a weight above 0 has a clip to train on")
    weights *= counts.sum() / total
    if choice == "balanced":
        weights[counts == 0] = 1
    return weights.float()


def _read(path: Path, names: tuple[str, ...]) -> list[float]:
    text = read_text(path, "a CSV with class,weight")
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",\t;", key=first.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
    if not set(_COLUMNS) <= set(rows.fieldnames):
        found = ", ".join(rows.fieldnames) or "nothing"
        raise DataError(f"{path}: expected a header with class,weight; found: {found}")
    weights: dict[str, float] = {}
    for row in rows:
        where = f"{path}:{rows.line_num}"
        name, value = ((row[column] or "").strip() for column in _COLUMNS)
        if name not in names:
            near = known_names(name, names, cutoff=0.6, otherwise="the data has no such class")
            raise DataError(f"{where}: unknown class {name!r}{near}")
        if name in weights:
            raise DataError(f"{where}: class {name!r} is listed twice")
        weights[name] = _weight(value, where)
    return [weights.get(name, 1.0) for name in names]


def _weight(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise DataError(f"{where}: weight must be a number from 0 on, not {text!r}")
    return value

"""Which clips look alike to a model: the nearest of one, and copies in two sets."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError, UserError
from ..optional import require
from ..untrusted import read_bytes

_AT_ONCE = 1024
"""Clips compared with all others in one product of matrices."""


class Match(NamedTuple):
    """Two clips that look alike."""

    path: str
    other: str
    similarity: float
    """Cosine of the angle between their features, -1 to 1."""


@dataclass(frozen=True)
class Embeddings:
    """The features of many clips, as ``vmf embed`` writes them."""

    paths: tuple[str, ...]
    features: np.ndarray
    """``(N, D)`` float32."""
    options: dict[str, Any]
    """What they depend on: digest of the model, views."""

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or len(self.features) != len(self.paths):
            raise DataError(
                f"features must be (clips, D) of {len(self.paths)} clips, not {self.features.shape}"
            )

    def check_comparable(self, other: Embeddings, where: str) -> None:
        """Refuse to compare what different models made.

        Args:
            other: Other embeddings.
            where: Their file, for the message.

        Raises:
            UserError: Names the first option that differs.
        """
        for key in ("model", "num_views", "num_crops", "precision"):
            ours, theirs = self.options.get(key), other.options.get(key)
            if ours != theirs:
                raise UserError(
                    f"{where}: made with {key} {theirs}, not {ours}; embed it with the same model "
                    "and options"
                )


def read_embeddings(path: str | Path) -> Embeddings:
    """Read what ``vmf embed`` wrote; clips that could not be read are not in it.

    Args:
        path: ``.parquet``, ``.npz`` or ``.jsonl``.

    Raises:
        UserError: If the file is no such file, or a library is missing.
    """
    path = Path(path)
    readers = {".parquet": _from_parquet, ".npz": _from_arrays, ".jsonl": _from_lines}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise UserError(f"{path}: embeddings end in {', '.join(readers)}")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        return read(path)
    except (KeyError, ValueError, TypeError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, UserError):
            raise
        raise DataError(f"{path}: no embeddings of vmf embed, or damaged ({error})") from error


def nearest(features: np.ndarray, query: np.ndarray, count: int) -> list[tuple[int, float]]:
    """The clips whose features point most nearly where those of another do.

    Args:
        features: ``(N, D)``.
        query: ``(D,)``.
        count: How many, at least 1; all where there are fewer.

    Returns:
        Positions and cosines, the greatest first.
    """
    if query.shape != features.shape[1:]:
        raise UserError(f"the query has {query.shape} features, the clips {features.shape[1:]}")
    cosines = _directions(features) @ _directions(query[None])[0]
    best = np.argsort(-cosines, kind="stable")[:count]
    return [(int(i), float(cosines[i])) for i in best]


def duplicates(one: Embeddings, other: Embeddings, threshold: float) -> Iterator[Match]:
    """Pairs of clips, one of each set, that look alike.

    Args:
        one: Embeddings.
        other: Others of the same model.
        threshold: Least cosine, above -1 and at most 1.

    Yields:
        Pairs in the order of ``one``, of each clip the likest first. A file that is in both sets
        under the same path is no pair.
    """
    ours, theirs = _directions(one.features), _directions(other.features)
    for first in range(0, len(ours), _AT_ONCE):
        cosines = ours[first : first + _AT_ONCE] @ theirs.T
        for i, row in enumerate(cosines):
            for j in sorted(np.flatnonzero(row >= threshold), key=lambda j: -row[j]):
                pair = one.paths[first + i], other.paths[int(j)]
                if pair[0] != pair[1]:
                    yield Match(*pair, float(row[j]))


def _directions(features: np.ndarray) -> np.ndarray:
    """Each row at length 1; a row of zeros stays."""
    features = np.asarray(features, np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _from_parquet(path: Path) -> Embeddings:
    parquet = require("pyarrow.parquet", extra="batch", purpose="reading Parquet files")
    file = parquet.ParquetFile(path)
    columns = set(file.schema_arrow.names)
    if not {"path", "features"} <= columns:
        raise DataError(f"{path}: no column features; made by vmf embed?")
    table = file.read(["path", "features"])
    table = table.filter(table["features"].is_valid())
    lists = table["features"].combine_chunks()
    flat = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    features = flat.reshape(len(table), -1) if len(table) else np.zeros((0, 0), np.float32)
    made = json.loads((file.schema_arrow.metadata or {}).get(b"vmf", b"{}"))
    return Embeddings(tuple(table["path"].to_pylist()), features, made.get("options", {}))


def _from_arrays(path: Path) -> Embeddings:
    with np.load(io.BytesIO(read_bytes(path)), allow_pickle=False) as arrays:
        made = json.loads(str(arrays["made"]))
        paths = tuple(map(str, arrays["path"].tolist()))
        return Embeddings(paths, np.asarray(arrays["features"], np.float32), made["options"])


def _from_lines(path: Path) -> Embeddings:
    from .batch.run import journal_of  # what the lines depend on stands in the journal

    with path.open(encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if "features" in row]
    with journal_of(path).open(encoding="utf-8") as file:
        options = json.loads(file.readline())["options"]
    features = np.array([row["features"] for row in rows], np.float32)
    return Embeddings(
        tuple(str(row["path"]) for row in rows), features.reshape(len(rows), -1), options
    )

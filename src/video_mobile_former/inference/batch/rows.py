"""The rows of a batch run: lines of its journal, and the tables made of them at its end."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import UserError
from ...files import atomic_path
from ...optional import require
from ...text import encodable
from .sources import BatchItem

Row = dict[str, Any]
"""Of one video: path, start_seconds, end_seconds, duration_seconds, and labels, scores, classes,
num_frames, padded | features, tokens, num_frames, padded | events; or error."""

_ARRAY = "float32"
_TOGETHER = 1024
"""Rows in memory while a table is written."""


class EncodedRow(NamedTuple):
    """A row as a line of the journal, and what is counted of it on the way."""

    key: str
    line: str
    """JSON in ASCII, without a line break."""
    duration_seconds: float
    failed: bool


def encode_row(item: BatchItem, stamp: list[int] | None, row: Mapping[str, Any]) -> EncodedRow:
    """A row as a line of the journal; every value survives exactly.

    Args:
        item: The video.
        stamp: Size and time of change of its file.
        row: What was made of it.
    """
    plain: Row = {"path": encodable(item.path)}
    if item.start_seconds is not None or item.end_seconds is not None:
        plain |= {"start_seconds": item.start_seconds, "end_seconds": item.end_seconds}
    plain |= {name: _plain(value) for name, value in row.items()}
    line = json.dumps({"key": item.key, "file": stamp, "row": plain}, allow_nan=False)
    failed = "error" in row
    return EncodedRow(item.key, line, float(row.get("duration_seconds") or 0.0), failed)


def decode_row(plain: Mapping[str, Any]) -> Row:
    """The row of a line's ``"row"``.

    Raises:
        KeyError, TypeError, ValueError: If it is none.
    """
    return {
        name: _array(value) if isinstance(value, dict) and _ARRAY in value else value
        for name, value in plain.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value, "<f4").tobytes()
        return {"shape": list(value.shape), _ARRAY: base64.b64encode(data).decode("ascii")}
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value


def _array(value: Mapping[str, Any]) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(value[_ARRAY], validate=True), "<f4")
    return data.reshape([int(n) for n in value["shape"]]).astype(np.float32)


# Tables -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TableFormat:
    """A kind of file in which the rows of a run end."""

    suffix: str
    write: Callable[[Path, Callable[[], Iterator[Row]], str, Mapping[str, Any]], None]
    """Takes the path, a function that gives all rows in order, their kind, and what the file is to
    say of its making."""
    kinds: tuple[str, ...] = ("labels", "embeddings", "events")
    check: Callable[[], Any] = lambda: None
    """Raises where a library is missing."""


def table_format(out: str | Path) -> TableFormat:
    """The format of an output file, by its ending.

    Raises:
        UserError: If it is none of ours, or its library is missing.
    """
    found = TABLE_FORMATS.get(Path(out).suffix.lower())
    if found is None:
        known = ", ".join(TABLE_FORMATS)
        raise UserError(f"--out {out}: its ending must be one of {known}")
    found.check()
    return found


def _write_lines(
    path: Path, rows: Callable[[], Iterator[Row]], kind: str, made: Mapping[str, Any]
) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows():
            plain = {name: _as_numbers(value) for name, value in row.items()}
            file.write(json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n")


def _as_numbers(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _arrow() -> Any:
    require("pyarrow", extra="batch", purpose="writing Parquet files")
    return require("pyarrow.parquet", extra="batch", purpose="writing Parquet files")


def _write_parquet(
    path: Path, rows: Callable[[], Iterator[Row]], kind: str, made: Mapping[str, Any]
) -> None:
    parquet = _arrow()
    import pyarrow as pa

    shapes = _shapes(rows()) if kind == "embeddings" else {}
    schema = pa.schema(_columns(pa, kind, shapes), metadata={"vmf": json.dumps(made)})
    with atomic_path(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for some in _chunks(rows(), _TOGETHER):
            plain = [{name: _as_numbers(value) for name, value in row.items()} for row in some]
            writer.write_table(pa.Table.from_pylist(plain, schema=schema))


def _columns(pa: Any, kind: str, shapes: Mapping[str, tuple[int, ...]]) -> list[Any]:
    common = [
        ("path", pa.string()),
        ("start_seconds", pa.float64()),
        ("end_seconds", pa.float64()),
        ("duration_seconds", pa.float64()),
        ("error", pa.string()),
    ]
    seen = [("num_frames", pa.int32()), ("padded", pa.bool_())]
    if kind == "labels":
        own = [
            ("labels", pa.list_(pa.string())),
            ("scores", pa.list_(pa.float32())),
            ("classes", pa.list_(pa.int32())),
            *seen,
        ]
    elif kind == "embeddings":
        own = [(name, _nested(pa, shape)) for name, shape in shapes.items()] + seen
    else:
        event = [("start_seconds", pa.float64()), ("end_seconds", pa.float64())]
        event += [("label", pa.string()), ("score", pa.float64())]
        own = [("events", pa.list_(pa.struct(event)))]
    return [*common[:4], *own, common[4]]


def _nested(pa: Any, shape: tuple[int, ...]) -> Any:
    kind = pa.float32()
    for length in reversed(shape):
        kind = pa.list_(kind, length)
    return kind


def _shapes(rows: Iterator[Row]) -> dict[str, tuple[int, ...]]:
    """Shapes of features and tokens, by the first row that has them."""
    for row in rows:
        if "features" in row:
            return {name: row[name].shape for name in ("features", "tokens") if name in row}
    return {"features": (0,)}


def _write_arrays(
    path: Path, rows: Callable[[], Iterator[Row]], kind: str, made: Mapping[str, Any]
) -> None:
    good = [row for row in rows() if "error" not in row]
    bad = [row for row in rows() if "error" in row]
    arrays = {
        "path": np.array([row["path"] for row in good], dtype=np.str_),
        "failed_path": np.array([row["path"] for row in bad], dtype=np.str_),
        "failed_error": np.array([row["error"] for row in bad], dtype=np.str_),
        "made": np.array(json.dumps(made)),
    }
    for name in _shapes(iter(good)):
        arrays[name] = np.array([row[name] for row in good], dtype=np.float32)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    rows = iter(rows)
    while some := list(itertools.islice(rows, size)):
        yield some


TABLE_FORMATS: dict[str, TableFormat] = {
    each.suffix: each
    for each in (
        TableFormat(".parquet", _write_parquet, check=_arrow),
        TableFormat(".jsonl", _write_lines),
        TableFormat(".npz", _write_arrays, kinds=("embeddings",)),
    )
}

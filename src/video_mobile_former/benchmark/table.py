"""Rows of a benchmark as a table of 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..text import printable, shorten_middle

WIDTH = 80
_NARROWEST = 10
"""Smallest width of the column of model names."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    head: str
    text: Callable[[Row], str]
    caption: Callable[[str], str] | None = None
    """Text above the table for a value that all rows share."""
    left: bool = False
    spare: int = 0
    """Columns are dropped where the table is too wide, the highest first; 0 never."""


def format_rows(rows: Sequence[Row]) -> str:
    """A table, with shared values above it and an explanation of the figures below it.

    Args:
        rows: From :func:`.run.time_contestants`, at least one.
    """
    shared, columns = [], []
    some_stream = any(row.get("streams") for row in rows)
    for column in _COLUMNS:
        if column.head == "ms/frame" and not some_stream:
            continue
        texts = {column.text(row) for row in rows}
        if texts == {"–"}:
            continue
        if column.caption is not None and len(texts) == 1:
            shared.append(column.caption(texts.pop()))
        else:
            columns.append(column)
    body = [[column.text(row) for column in columns] for row in rows]
    widths = [
        max(len(column.head), *(len(line[i]) for line in body)) for i, column in enumerate(columns)
    ]
    kept = _fitting(columns, widths)
    lines = [", ".join(shared), ""] if shared else []
    for texts in ([column.head for column in columns], *body):
        cells = (shorten_middle(texts[i], widths[i]) for i in kept)
        lines.append(
            "  ".join(
                cell.ljust(widths[i]) if columns[i].left else cell.rjust(widths[i])
                for i, cell in zip(kept, cells, strict=True)
            ).rstrip()
        )
    return "\n".join([*lines, "", *_notes(rows)])


def _fitting(columns: Sequence[Column], widths: list[int]) -> list[int]:
    """Indices of the columns that fit; the first, the names of models, is narrowed first."""
    kept = list(range(len(columns)))
    spare = sorted(kept, key=lambda i: -columns[i].spare)
    for i in spare:
        over = sum(widths[k] for k in kept) + 2 * (len(kept) - 1) - WIDTH
        widths[0] = max(min(widths[0], _NARROWEST), widths[0] - max(over, 0))
        over = sum(widths[k] for k in kept) + 2 * (len(kept) - 1) - WIDTH
        if over <= 0 or not columns[i].spare:
            break
        kept.remove(i)
    return kept


def _notes(rows: Sequence[Row]) -> list[str]:
    counts = sorted({row["rounds"] for row in rows})
    times = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    told = {"processor": "processor time with one thread", "wall": "wall-clock time with several"}
    clocks = [told[name] for name in sorted({row["clock"] for row in rows})]
    lines = [
        f"ms: per clip, median of {times} rounds. ±: half the interquartile range.",
        *_stream_notes(rows),
        f"Clock: {', '.join(clocks)}.",
        "GMAC: 1e9 multiply-accumulates.",
    ]
    if any(row["peak_memory_mb"] is not None for row in rows):
        lines.append("MB: peak growth of resident memory from loading and running.")
    differences = [row["max_difference"] for row in rows if row["max_difference"] is not None]
    if differences:
        lines.append(f"Logits differ from those of eager by at most {max(differences):.1e}.")
    return lines


def _stream_notes(rows: Sequence[Row]) -> list[str]:
    if not any(row.get("streams") for row in rows):
        return []
    return [
        "Of a stream the clip is one step. ms/frame: ms by the frames of the clip; a clip",
        "model in a sliding window takes its ms anew for every stride.",
    ]


def _spread(row: Row) -> str:
    lower, upper = row["latency_ms_quartiles"]
    return f"{50 * (upper - lower) / row['latency_ms']:.0f} %" if row["latency_ms"] else "–"


def _number(key: str, digits: int) -> Callable[[Row], str]:
    return lambda row: "–" if row[key] is None else f"{row[key]:.{digits}f}"


def _milliseconds(row: Row) -> str:
    value = row["ms_per_clip"]
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


_COLUMNS = (
    Column("model", lambda row: printable(row["model"]), left=True),
    Column(
        "clip", lambda row: f"{row['num_frames']}×{row['size']}²", lambda text: f"clips of {text}"
    ),
    Column("runtime", lambda row: row["runtime"], lambda text: text, left=True),
    Column("form", lambda row: row["form"], lambda text: f"form {text}", left=True),
    Column("type", lambda row: row["precision"], lambda text: text, left=True),
    Column(
        "thr",
        lambda row: str(row["threads"]),
        lambda text: f"{text} thread{'' if text == '1' else 's'}",
    ),
    Column("batch", lambda row: str(row["batch"]), lambda text: f"batch {text}"),
    Column("ms", _milliseconds),
    Column("ms/frame", _number("ms_per_frame", 2)),
    Column("±", _spread, spare=2),
    Column("clips/s", _number("clips_per_second", 1), spare=3),
    Column("ms/GMAC", _number("ms_per_gmac", 1)),
    Column("MB", _number("peak_memory_mb", 0), spare=1),
)

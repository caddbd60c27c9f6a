"""Predictions for people (a table of 80 columns) and for programs (JSON, CSV)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from ..files import atomic_path, check_replaceable
from ..text import (
    csv_line,
    encodable,
    list_path,
    pad,
    printable,
    shorten_end,
    shorten_middle,
    table_cell,
    wrap,
)
from .predictor import Prediction, PredictionFailure

Result = Prediction | PredictionFailure

_SCORE_WIDTH = 5  # "0.123"
_GAP = "  "


class PredictionTable:
    """Lines of a table, made as results come in, so its columns have fixed widths.

    Args:
        paths: All paths of the table, to size its columns.
        width: Terminal columns of the whole table, at least 40.
        labels: All possible labels; None reserves half of the width for them.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        width: int = 80,
        *,
        labels: Iterable[str] | None = None,
    ):
        self.width = max(40, width)
        room = self.width - _SCORE_WIDTH - 2 * len(_GAP)
        # Paths get what labels leave, and at least half of the width.
        for_labels = room if labels is None else max(len("label"), _longest(labels))
        self.path_width = max(
            len("clip"), min(_longest(map(str, paths)), max(room // 2, room - for_labels))
        )
        self.label_width = room - self.path_width

    def head(self) -> list[str]:
        """Column names and a horizontal rule."""
        names = pad("clip", self.path_width) + _GAP + "score" + _GAP + "label"
        return [names, "─" * self.width]

    def lines(self, result: Result) -> list[str]:
        """The lines of one file: its name beside the first class, or its error."""
        name = pad(shorten_middle(printable(result.path), self.path_width), self.path_width)
        blank = " " * self.path_width
        if isinstance(result, PredictionFailure):
            room = self.width - self.path_width - len(_GAP)
            reason = wrap(f"failed: {printable(result.reason)}", room)
            return [(name if i == 0 else blank) + _GAP + text for i, text in enumerate(reason)]
        return [
            (name if i == 0 else blank)
            + f"{_GAP}{score:{_SCORE_WIDTH}.3f}{_GAP}"
            + shorten_end(printable(label), self.label_width)
            for i, (label, score) in enumerate(zip(result.labels, result.scores, strict=True))
        ]


def format_table(results: Sequence[Result], width: int = 80) -> str:
    """The whole table of finished results, failed files listed again at its end.

    Args:
        results: From :meth:`.Predictor.predict_many`.
        width: Terminal columns.
    """
    labels = [label for r in results if isinstance(r, Prediction) for label in r.labels]
    table = PredictionTable([result.path for result in results], width, labels=labels)
    lines = table.head()
    for result in results:
        lines += table.lines(result)
    summary = failure_summary(results)
    if summary:
        lines += ["", *summary]
    return "\n".join(lines)


def _longest(texts: Iterable[str]) -> int:
    return max((cell_len(printable(text)) for text in texts), default=0)


def failure_summary(results: Sequence[Result]) -> list[str]:
    """Lines that name every failed file in full; none where all succeeded."""
    failed = [result for result in results if isinstance(result, PredictionFailure)]
    if not failed:
        return []
    files = f"{len(results)} file{'s' if len(results) > 1 else ''}"
    return [
        f"{len(failed)} of {files} could not be read:",
        *(f"  {printable(result.path)}: {printable(result.reason)}" for result in failed),
    ]


def to_json(
    results: Sequence[Result],
    *,
    model: str = "",
    num_views: int = 1,
    multi_label: bool = False,
    artefact: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Plain data for ``--json``.

    Args:
        results: From :meth:`.Predictor.predict_many`.
        model: Name or folder of the model.
        num_views: Views per video.
        multi_label: Whether each class has an independent score.
        artefact: Of an artefact its target, runtime, form, precision and digest.

    Returns:
        ``model``, ``artefact`` (null for a checkpoint), ``num_views``, ``multi_label``,
        ``num_files``, ``num_failed`` and ``results``: for each file ``path`` and either
        ``predictions`` (``label``, ``class``, ``score``) or ``error``.
    """
    return {
        "model": encodable(model),
        "artefact": artefact,
        "num_views": num_views,
        "multi_label": multi_label,
        "num_files": len(results),
        "num_failed": sum(isinstance(result, PredictionFailure) for result in results),
        "results": [result.to_dict() for result in results],
    }


def write_csv(path: str | Path, results: Iterable[Result], *, overwrite: bool = False) -> None:
    """Write one line for each class of each file, all or nothing.

    The columns are ``path,rank,label,score,error``: rank from 1, score to six decimals; a file
    that failed has one line with only its path and the error. Cells that a spreadsheet would
    compute and control characters are made harmless, see :func:`~..text.table_cell`; a path that
    begins like a formula gets ``./`` before it.

    Args:
        path: The file to write.
        results: From :meth:`.Predictor.predict_many`; consumed while writing.
        overwrite: Replace a file that this program did not write.

    Raises:
        UserError: If it cannot be written, or is there and not ours.
    """
    check_replaceable([path], path, overwrite=overwrite)
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        stream.write(csv_line(["path", "rank", "label", "score", "error"]))
        for result in results:
            stream.writelines(map(csv_line, _csv_rows(result)))


def _csv_rows(result: Result) -> Iterator[list[str]]:
    name = table_cell(list_path(result.path))
    if isinstance(result, PredictionFailure):
        yield [name, "", "", "", table_cell(result.reason)]
        return
    ranked = zip(result.labels, result.scores, strict=True)
    for rank, (label, score) in enumerate(ranked, start=1):
        yield [name, str(rank), table_cell(label), f"{score:.6f}", ""]


def exit_status(results: Iterable[Result]) -> int:
    """Exit status of the command: 1 where any file failed, else 0."""
    return int(any(isinstance(result, PredictionFailure) for result in results))

"""``metrics.csv``: one row per log event, cut back to the saved state when a run is resumed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...text import csv_line
from .position import Position

COLUMNS = (
    "row",
    "epoch",
    "step",
    "lr",
    "loss",
    "top1",
    "top5",
    "mean_class",
    "map",
    "grad_norm",
    "clips",
    "failed",
    "seconds",
)
"""``row`` is ``step`` (mean since the last such row of the epoch), ``train`` (an epoch's mean) or
``val``; ``lr`` of an epoch is that of its last step; accuracies are shares in [0, 1], for which
multi-label data has ``map``; ``seconds`` is training time since the run began."""


class MetricsFile:
    """A CSV file that grows row by row.

    Args:
        path: The file.
        size: Bytes to keep of what is there; the rest is cut off. 0 begins anew.

    Raises:
        UserError: If it cannot be written.
    """

    def __init__(self, path: Path, size: int = 0):
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("r+b" if size else "wb") as file:
                file.truncate(size)
            if not size:
                self._append(COLUMNS)
        except OSError as error:
            raise self._refused(error) from error

    def write(self, values: Mapping[str, Any]) -> None:
        """Append one row; columns without a value stay empty.

        Raises:
            UserError: If it cannot be written.
        """
        unknown = set(values) - set(COLUMNS)
        assert not unknown, unknown
        try:
            self._append([_text(values.get(name)) for name in COLUMNS])
        except OSError as error:
            raise self._refused(error) from error

    def size(self) -> int:
        """Bytes that are safely on the disk, to be saved beside the state."""
        with self.path.open("r+b") as file:
            os.fsync(file.fileno())
            return file.seek(0, os.SEEK_END)

    def _append(self, fields: Any) -> None:
        with self.path.open("ab") as file:
            file.write(csv_line(fields).encode())

    def _refused(self, error: OSError) -> UserError:
        return UserError(
            f"cannot write {self.path}: {error.strerror}; the state saved last is unchanged"
        )


class RunLogs:
    """Tells every measured row to the CSV file and to Lightning's loggers.

    Args:
        file: None in all processes but the first.
        loggers: With ``log_metrics(values, step)``.
    """

    def __init__(self, file: MetricsFile | None, loggers: Sequence[Any]):
        self._file, self._loggers = file, loggers

    def write(self, row: str, at: Position, values: Mapping[str, Any]) -> None:
        """Log one row.

        Args:
            row: ``"step"``, ``"train"`` or ``"val"``.
            at: Where the run is; between epochs it stands before the next one.
            values: Names and numbers; those without a column go to the loggers alone.

        Raises:
            UserError: If something cannot be written.
        """
        epoch = at.epoch + 1 if row == "step" else at.epoch
        if self._file is not None:
            where = {"row": row, "epoch": epoch, "step": at.step, "seconds": round(at.seconds, 1)}
            known = {name: value for name, value in values.items() if name in COLUMNS}
            self._file.write({**where, **known})
        for logger in self._loggers:
            try:
                logger.log_metrics({f"{row}/{k}": v for k, v in values.items()}, step=at.step)
            except OSError as error:
                raise UserError(
                    f"cannot write the logs of {type(logger).__name__}: "
                    f"{error.strerror or error}; the state saved last is unchanged"
                ) from error

    def size(self) -> int:
        """Bytes of the CSV file, see :meth:`MetricsFile.size`."""
        return 0 if self._file is None else self._file.size()

    def close(self, status: str) -> None:
        """Let the loggers write what they hold; ``status`` is ``"success"`` or ``"failed"``."""
        for logger in self._loggers:
            with contextlib.suppress(OSError):
                logger.finalize(status)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)

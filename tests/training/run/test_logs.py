from __future__ import annotations

import csv
from pathlib import Path

import pytest

from video_mobile_former.errors import UserError
from video_mobile_former.training.run.logs import COLUMNS, MetricsFile


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_keep_their_columns_and_every_digit(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "a" / "metrics.csv")
    metrics.write({"row": "step", "step": 3, "loss": 1 / 3})
    metrics.write({"row": "val", "top1": 0.5})
    one, two = _rows(metrics.path)
    assert tuple(one) == COLUMNS
    assert (one["row"], one["step"], float(one["loss"]), one["top1"]) == ("step", "3", 1 / 3, "")
    assert (two["row"], two["top1"]) == ("val", "0.5")


def test_resuming_cuts_back_to_the_saved_size(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics = MetricsFile(path)
    metrics.write({"row": "step", "step": 1})
    size = metrics.size()
    metrics.write({"row": "step", "step": 2})
    with path.open("a") as file:
        file.write("step,1,3,0.0")  # half a row, as a kill may leave
    again = MetricsFile(path, size)
    again.write({"row": "step", "step": 7})
    assert [row["step"] for row in _rows(path)] == ["1", "7"]
    MetricsFile(path)
    assert _rows(path) == []


def test_a_folder_in_the_way_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*metrics\.csv"):
        MetricsFile(tmp_path / "metrics.csv")


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.csv")
    metrics.path = Path("/dev/full")
    if not metrics.path.exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(UserError, match="No space left"):
        metrics.write({"row": "val"})

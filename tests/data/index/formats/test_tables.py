from __future__ import annotations

from pathlib import Path

import pytest

from format_files import write
from video_mobile_former.data.index.formats.tables import find_columns, read_records, split_of
from video_mobile_former.errors import DataError


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.csv", "train"),
        ("jester-v1-validation.csv", "val"),
        ("kinetics_400_val.csv", "val"),
        ("validate.csv", "val"),
        ("Diving48_V2_test.json", "test"),
        ("trainlist01.txt", "train"),
        ("TEST.TXT", "test"),
        ("ucf101_train_split_1_videos.txt", "train"),
        ("labels.json", None),
        ("train_and_test.csv", None),
        ("trainer.csv", None),
        ("value.csv", None),
    ],
)
def test_splits_of_file_names(name: str, split: str | None):
    assert split_of(name) == split


def test_columns_whatever_they_are_called():
    names = {"id": ("youtube_id", "id"), "label": ("label", "class")}
    assert find_columns(["Label", "# YouTube-ID", "id"], names) == {"id": 1, "label": 0}
    assert find_columns(["class", "id"], names) == {"id": 1, "label": 0}
    assert find_columns(["zumba", "3yaoNwz99xM"], names) is None


def test_records_keep_their_line_numbers(tmp_path: Path):
    path = write(tmp_path / "a.csv", '\ufeff\r\n"a;\r\nb"; c\r\n;\r\nd;e\r\n')
    records = list(read_records(path, "a list"))
    assert records == [(2, ["a;\nb", "c"]), (5, ["d", "e"])]
    write(path, 'a,b\n"c,d\n')
    with pytest.raises(DataError, match=r"a\.csv:2: unexpected end of data"):
        list(read_records(path, "a list"))
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match=r"a\.csv: not a UTF-8 text file; expected a list"):
        list(read_records(path, "a list"))

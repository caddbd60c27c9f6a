from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from video_mobile_former.errors import UserError
from video_mobile_former.inference.output import (
    PredictionTable,
    Result,
    exit_status,
    failure_summary,
    format_table,
    to_json,
    write_csv,
)
from video_mobile_former.inference.predictor import Prediction, PredictionFailure

GOOD = Prediction("clips/a.mp4", ("serve", "smash"), (0.9123456, 0.0876544), (4, 6), 16)
BAD = PredictionFailure("clips/broken.mp4", "no video stream")


def test_a_table_is_aligned() -> None:
    assert format_table([GOOD, BAD]).splitlines() == [
        "clip              score  label",
        "─" * 80,
        "clips/a.mp4       0.912  serve",
        "                  0.088  smash",
        "clips/broken.mp4  failed: no video stream",
        "",
        "1 of 2 files could not be read:",
        "  clips/broken.mp4: no video stream",
    ]


def test_paths_take_what_labels_leave() -> None:
    path = "/a/folder/that/is/rather/deep/and/still/readable/clip.mp4"
    result = Prediction(path, ("serve",), (1.0,), (0,), 16)
    assert path in format_table([result])
    line = PredictionTable([path]).lines(result)[0]
    assert "…" in line
    assert line.index("1.000") == len(PredictionTable([path]).lines(GOOD)[1].rstrip()) - 12


results = st.one_of(
    st.builds(
        lambda path, ranked: Prediction(
            path, tuple(r[0] for r in ranked), tuple(r[1] for r in ranked), (0,) * len(ranked), 1
        ),
        st.text(st.characters(), max_size=90),
        st.lists(
            st.tuples(st.text(st.characters(), max_size=90), st.floats(0, 1)),
            min_size=1,
            max_size=3,
        ),
    ),
    st.builds(PredictionFailure, st.text(st.characters(), max_size=90), st.text(max_size=200)),
)


@pytest.mark.slow
@given(st.lists(results, max_size=4), st.integers(40, 120))
@settings(deadline=None)
def test_no_text_breaks_the_table(found: list[Result], width: int) -> None:
    table = PredictionTable([result.path for result in found], width)
    lines = table.head() + [line for result in found for line in table.lines(result)]
    for line in lines:
        assert line.isprintable()
        assert cell_len(line) <= width


@given(found=st.lists(results, max_size=4))
@settings(deadline=None, max_examples=30)
def test_csv_and_json_hold_any_text(
    tmp_path_factory: pytest.TempPathFactory, found: list[Result]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "out.csv"
    write_csv(path, found)
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    wanted = sum(len(r.labels) if isinstance(r, Prediction) else 1 for r in found)
    assert len(rows) == wanted
    text = json.dumps(to_json(found), allow_nan=False, ensure_ascii=False)
    assert len(json.loads(text.encode("utf-8"))["results"]) == len(found)


def test_json_holds_a_label_that_is_no_text() -> None:
    found = Prediction("a.mp4", ("bad\ud800",), (1.0,), (0,), 1)
    text = json.dumps(to_json([found]), ensure_ascii=False).encode("utf-8")
    assert json.loads(text)["results"][0]["predictions"][0]["label"] == "bad\\ud800"


def test_csv_columns(tmp_path: Path) -> None:
    write_csv(tmp_path / "new" / "out.csv", [GOOD, BAD])
    assert (tmp_path / "new" / "out.csv").read_text() == (
        "path,rank,label,score,error\n"
        "clips/a.mp4,1,serve,0.912346,\n"
        "clips/a.mp4,2,smash,0.087654,\n"
        "clips/broken.mp4,,,,no video stream\n"
    )


def test_csv_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    old = "path,rank,label,score,error\n"
    target.write_text(old)

    def interrupted():
        yield GOOD
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError):
        write_csv(target, interrupted())
    assert target.read_text() == old
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(UserError, match="cannot write"):
        write_csv(target / "below" / "a file.csv", [GOOD])
    target.write_text("of somebody else")
    with pytest.raises(UserError, match="not written by vmf"):
        write_csv(target, [GOOD])
    write_csv(target, [GOOD], overwrite=True)
    assert target.read_text().startswith(old)


def test_json() -> None:
    value = to_json([GOOD, BAD], model="runs/x/best", num_views=3)
    assert value["model"] == "runs/x/best"
    assert value["num_views"] == 3
    assert (value["num_files"], value["num_failed"]) == (2, 1)
    assert value["results"][0]["predictions"][0] == {
        "label": "serve",
        "class": 4,
        "score": 0.912346,
    }
    assert value["results"][1] == {"path": "clips/broken.mp4", "error": "no video stream"}


def test_exit_status_and_summary() -> None:
    assert exit_status([GOOD]) == 0
    assert exit_status([GOOD, BAD]) == 1
    assert exit_status([]) == 0
    assert failure_summary([GOOD]) == []
    assert failure_summary([BAD])[0] == "1 of 1 file could not be read:"


def test_no_cell_of_the_csv_is_a_formula(tmp_path: Path) -> None:
    hostile = ("=cmd|' /C calc'!A0", "@SUM(1)", "\x1b[2J\u202egpj")
    found = [
        Prediction("-a.mp4", hostile, (0.5, 0.3, 0.2), (0, 1, 2), 1),
        PredictionFailure("=b.mp4", "+reason"),
    ]
    write_csv(tmp_path / "out.csv", found)
    with (tmp_path / "out.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == ["./-a.mp4"] * 3 + ["./=b.mp4"]
    assert [row["label"] for row in rows[:3]] == [
        "'=cmd|' /C calc'!A0",
        "'@SUM(1)",
        "\\x1b[2J\\u202egpj",
    ]
    assert rows[3]["error"] == "'+reason"

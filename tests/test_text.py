from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from video_mobile_former.text import (
    csv_line,
    encodable,
    label_of_list,
    list_label,
    list_path,
    pad,
    printable,
    shorten_end,
    shorten_middle,
    table_cell,
    wrap,
)

printables = st.text(max_size=60).map(printable)


@given(st.text(st.characters(), max_size=60))
@settings(deadline=None)
def test_printable_text_is_one_harmless_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert "\x1b" not in shown
    assert printable(shown) == shown


def test_printable_keeps_letters_of_any_script_and_escapes_the_rest() -> None:
    assert printable("прыжок 跳 é") == "прыжок 跳 é"
    assert printable("a\nb\x1b[31m\u202e") == "a\\nb\\x1b[31m\\u202e"


@given(st.text(st.characters(), max_size=40))
@settings(deadline=None)
def test_encodable_text_can_be_written(text: str) -> None:
    assert encodable(text).encode("utf-8")[:0] == b""
    if not any(0xD800 <= ord(char) < 0xE000 for char in text):
        assert encodable(text) == text


def test_a_byte_of_a_file_name_that_is_no_utf8_is_shown() -> None:
    assert encodable("a\udcff.mp4") == "a\\udcff.mp4"


@given(printables, st.integers(1, 40))
@settings(deadline=None)
def test_shortened_text_fits(text: str, width: int) -> None:
    for shorten in (shorten_end, shorten_middle):
        short = shorten(text, width)
        assert cell_len(short) <= width
        if cell_len(text) <= width:
            assert short == text
        else:
            assert "…" in short
        assert cell_len(pad(short, width)) == width


def test_both_ends_of_a_path_stay() -> None:
    short = shorten_middle("/data/videos/of/a/long/summer/clip_0001.mp4", 24)
    assert short.startswith("/data")
    assert short.endswith("clip_0001.mp4")
    assert shorten_end("a label without end", 8) == "a label…"


@given(printables, st.integers(2, 40))
@settings(deadline=None)
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_wrapping_breaks_at_spaces() -> None:
    assert wrap("no video stream in it", 12) == ["no video", "stream in it"]
    assert wrap("abcdefgh i", 4) == ["abcd", "efgh", "i"]
    assert wrap("", 4) == [""]


FORMULAS = ["=1+1", "+x", "-a.mp4", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1+1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text):
    assert table_cell(text)[0] == "'"
    assert list_label(text)[0] == "'"
    assert list_path(text) == f"./{text}"


@pytest.mark.parametrize("text", ["a=b", "-1.5", "+3e4", "a-b", "'a", "", "push | pull", "Größe"])
def test_harmless_cells_stay(text):
    assert table_cell(text) == text


def test_control_and_right_to_left_characters_are_escaped_in_a_table():
    assert table_cell("a\x1b[2J\u202eb\nc\td") == "a\\x1b[2J\\u202eb\nc\td"


@given(st.text())
def test_a_label_comes_back_from_a_list(text):
    assert label_of_list(list_label(text)) == text


@pytest.mark.parametrize("text", [*FORMULAS, "'=1", "''-a", "'quoted'"])
def test_a_strange_label_comes_back_from_a_list(text):
    assert label_of_list(list_label(text)) == text


@pytest.mark.slow
@given(
    st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=3), max_size=3)
)
def test_rows_come_back_from_a_csv(rows):
    text = "".join(map(csv_line, rows))
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows


def test_a_lone_carriage_return_is_quoted():
    assert csv_line(["a\rb", "c"]) == '"a\rb",c\n'

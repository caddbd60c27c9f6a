from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_mobile_former.data.index.labels import (
    LABEL_SETS,
    check_classes,
    check_order,
    folded,
    label_names,
    read_label_file,
    spellings,
)
from video_mobile_former.errors import DataError

SIZES = {
    "kinetics400": 400,
    "kinetics600": 600,
    "kinetics700": 700,
    "something_something_v2": 174,
    "jester": 27,
    "ucf101": 101,
    "hmdb51": 51,
    "diving48": 48,
    "charades": 157,
}


@pytest.mark.parametrize("name", LABEL_SETS)
def test_known_sets(name: str):
    names = label_names(name)
    assert len(names) == len(set(names)) == SIZES[name]
    assert all(label == label.strip() and label for label in names)
    # However a release writes a name, it is still that of one class.
    assert len(spellings(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("kinetics400", "k400"),
        ("kinetics600", "k600"),
        ("kinetics700", "k700"),
        ("something_something_v2", "ssv2"),
        *((name, name) for name in ("jester", "ucf101", "hmdb51", "diving48")),
    ],
)
def test_they_are_the_published_ones(shared_data: Path, name: str, file: str):
    published = (shared_data / "lists" / f"labels_{file}.txt").read_text(encoding="utf-8")
    assert label_names(name) == tuple(published.splitlines())


def test_unknown_sets():
    with pytest.raises(DataError, match=r"data set 'kinetics40'.* did you mean 'kinetics400'"):
        label_names("kinetics40")
    with pytest.raises(DataError, match="known: kinetics400, kinetics600"):
        label_names("xyz")


def test_label_files(tmp_path: Path):
    path = tmp_path / "labels.json"
    path.write_text('{"jump": "1", "\\"run fast\\"": 0}')
    assert read_label_file(path) == ("run fast", "jump")
    path.write_text('["b", "a"]')
    assert read_label_file(path) == ("b", "a")
    assert read_label_file("jester") == label_names("jester")
    text = tmp_path / "labels.txt"
    text.write_bytes("\ufeffb\r\n\r\n 2 a \r\n".encode())
    assert read_label_file(text) == ("b", "2 a")


def test_a_file_wins_over_the_set_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("jester").write_text("a\n")
    assert read_label_file("jester") == ("a",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 0,}', r"labels\.json:1: not JSON"),
        ("3", "expected names in a list, or positions by name"),
        ("[1, 2]", "expected names in a list, or positions by name"),
        ('{"a": "x"}', "expected names in a list, or positions by name"),
        ('{"a": 0, "b": 2}', "positions must be 0 to 1, each once; 'b' has 2 where 1 should come"),
        ('{"a": 1, "b": 1}', "'a' has 1 where 0 should come"),
    ],
)
def test_wrong_json(tmp_path: Path, text: str, message: str):
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_label_file(path)


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        ("abx", "abc", "other classes than the model; first difference at position 2"),
        ("bac", "abc", "its classes in another order than the model; .* position 0 .*'b' in the "),
        ("ab", "abc", "2 classes where the model has 3; .* position 2 .*nothing in .*'c' in the"),
        ("axbc", "abc", "4 classes where the model has 3; .* position 1 .*'x' in .*'b' in the mod"),
    ],
)
def test_classes_must_be_those_of_the_model(found: str, expected: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"^clips\.csv: the data has {message}"):
        check_classes(tuple(found), tuple(expected), "clips.csv")
    check_classes(list(expected), tuple(expected), "clips.csv")


@pytest.mark.slow
@given(order=st.permutations(range(6)), kept=st.sets(st.integers(0, 5), min_size=1))
def test_an_order_is_refused_exactly_where_it_differs(order: list[int], kept: set[int]):
    expected = [f"c{i}" for i in range(6)]
    found = [f"c{i}" for i in order if i in kept] + ["another"]
    if [i for i in order if i in kept] == sorted(kept):
        check_order(found, expected, "here", "there")
        return
    first = next(
        i for i, (a, b) in enumerate(zip(found, sorted(found[:-1]), strict=False)) if a != b
    )
    with pytest.raises(DataError) as caught:
        check_order(found, expected, "here", "there")
    assert f"position {first} (from 0): {found[first]!r} in here" in str(caught.value)
    assert f"{sorted(found[:-1])[first]!r} in there" in str(caught.value)


def test_spellings_of_releases():
    assert folded(' Playing_"pan  pipes"') == folded("playing pan pipes")
    names = spellings(label_names("ucf101"))
    assert names[folded("HandStandPushups")] == "HandstandPushups"
    assert json.dumps(list(names)) == json.dumps([folded(name) for name in names.values()])

"""Size, nesting and numbers of small files have bounds."""

import os

import pytest

from video_mobile_former.errors import UserError
from video_mobile_former.untrusted import MAX_DEPTH, check_bounds, parse_json, read_bytes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000, "x.json is nested too deeply"),
        ("[" * 40 + "]" * 40, "nested too deeply: more than 32"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ("1" * 10_000, "no JSON"),
        ("{", "no JSON"),
        (b"\xff\xfe\xff", "no JSON"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(UserError, match=message) as caught:
        parse_json(text, "x.json")
    assert "\n" not in str(caught.value)


def test_size_and_depth_that_are_allowed():
    deepest = "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH
    assert str(parse_json(deepest, "x")) == deepest
    assert parse_json("[12]", "x", 4) == [12]
    with pytest.raises(UserError, match="larger than 3 bytes"):
        parse_json("[12]", "x", 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": {"b": [1, 10**9]}}, r"m\.a\.b\[1\] must be at most 1000000"),
        ({"a": float("nan")}, r"m\.a must be at most"),
        ({"a": -(10**18)}, r"m\.a must be at most"),
        ({"size": 20}, r"m\.size must be at most 9"),
        ({"a": [0] * 1001}, r"m\.a has more than 1000"),
        ({"a": [[0] * 900] * 900}, "more than 1000"),
        ({"a": "x" * 2_000_000}, r"m\.a is a text of more"),
    ],
)
def test_bounds(values, message):
    with pytest.raises(UserError, match=message):
        check_bounds(values, "m", {"size": 9})


def test_only_plain_files_are_opened(tmp_path):
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_bytes(b"abc")
    link.symlink_to(file)
    assert read_bytes(link) == read_bytes(file, 3) == b"abc"
    with pytest.raises(UserError, match="pipe is not a regular file"):
        read_bytes(pipe)
    with pytest.raises(UserError, match="larger than 2 bytes"):
        read_bytes(file, 2)
    with pytest.raises(UserError, match="cannot be read"):
        read_bytes(tmp_path / "none")

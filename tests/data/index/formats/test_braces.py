from __future__ import annotations

import pytest

from video_mobile_former.data.index.formats.shards import expand_braces
from video_mobile_former.errors import DataError


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("s-{008..011}.tar", ["s-008.tar", "s-009.tar", "s-010.tar", "s-011.tar"]),
        ("s-{9..11}.tar", ["s-9.tar", "s-10.tar", "s-11.tar"]),
        ("{train,val}-{0..1}.tar", ["train-0.tar", "train-1.tar", "val-0.tar", "val-1.tar"]),
        ("s3://b/{x,}.tar", ["s3://b/x.tar", "s3://b/.tar"]),
    ],
)
def test_names(pattern: str, names: list[str]):
    assert expand_braces(pattern) == names


@pytest.mark.parametrize(
    "pattern", ["{0..", "a}.tar", "{5..3}.tar", "{x}.tar", "{0..9999999}.tar", "{0..9999}{0..9999}"]
)
def test_what_is_not_understood_is_said(pattern: str):
    with pytest.raises(DataError, match=r"brace|must|more than"):
        expand_braces(pattern)

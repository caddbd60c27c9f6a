from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.prepare.file_names import output_names


def clip(name: str, start: float | None = None, end: float | None = None) -> Clip:
    return Clip(path=f"/data/{name}", labels=(0,), name=name, start_seconds=start, end_seconds=end)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fight/fi001.avi", "fight/fi001.mp4"),
        ("a/b.c/d.e.mkv", "a/b.c/d.e.mp4"),
        ("/abs/olute.mp4", "abs/olute.mp4"),
        ("../../up/x.mp4", "up/x.mp4"),
        ("s3://bucket/k/x.webm", "bucket/k/x.mp4"),
        ("ünï/çode 1.mp4", "ünï/çode 1.mp4"),
        ("no_ending", "no_ending.mp4"),
    ],
)
def test_usual_names_are_kept(name: str, expected: str):
    assert output_names([clip(name)], ".mp4") == [expected]


def test_parts_of_a_file_get_their_times():
    names = output_names([clip("a.mp4", 1.5, 3.0), clip("a.mp4", 3.0, None), clip("a.mp4")], ".mp4")
    assert names == ["a_1.500-3.000.mp4", "a_3.000-end.mp4", "a.mp4"]


def test_names_that_would_meet_get_a_hash_whatever_the_order():
    clips = [clip("x/a.mp4"), clip("x/A.avi"), clip("x/a.mkv"), clip("x/b.mp4")]
    forwards = output_names(clips, ".mp4")
    assert output_names(clips[::-1], ".mp4") == forwards[::-1]
    assert len({name.casefold() for name in forwards}) == 4
    assert forwards[3] == "x/b.mp4"


def test_a_name_that_is_no_utf8_or_holds_a_colon_stays_apart_from_its_like():
    names = output_names([clip("a\udcff.mp4"), clip("a\udcfe.mp4"), clip("a:.mp4")], ".mp4")
    assert len(set(names)) == 3
    assert all(name.startswith("a_-") for name in names)
    "".join(names).encode()


parts = st.text(
    st.sampled_from([*"abAB.~ -:/\\\n\t", "\udcff", "é", "ß", "\u202e", "\x00"]), max_size=12
)
times = st.none() | st.floats(0, 5)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.tuples(parts, times), min_size=1, max_size=12))
@example([("x.mp4/y", None), ("x", None)])
@example([("n" * 400, None), ("n" * 401, None)])
@example([(": ./:", None)])
def test_names_are_safe_and_all_different(named: list[tuple[str, float | None]]):
    names = output_names([clip(name, start) for name, start in named], ".mp4")
    assert len({name.casefold() for name in names}) == len(named)
    folders = {name.rsplit("/", depth)[0] for name in names for depth in range(1, 5)} - set(names)
    assert not folders & set(names)
    for name in names:
        assert name.endswith(".mp4")
        assert name.isprintable()
        assert not set(name) & set('<>:"|?*\\')
        for part in name.split("/"):
            assert part not in ("", ".", "..")
            assert len(part.encode()) < 200
            assert part == part.strip()
            assert not part.startswith((".", "~"))

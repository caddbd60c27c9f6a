from __future__ import annotations

import dataclasses
import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_mobile_former.data.index.clip import SPLITS, Clip, Event
from video_mobile_former.data.index.table import ClipTable

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
seconds = st.none() | st.floats(0, 1e4)


@st.composite
def events(draw: Any) -> Event[int]:
    return Event(draw(st.floats(0, 1e3)), draw(st.floats(1001, 1e4)), draw(st.integers(0, 9)))


@st.composite
def clips(draw: Any) -> Clip:
    one = st.integers(0, 9).map(lambda label: (label,))
    several = st.lists(st.integers(0, 9), max_size=3, unique=True).map(tuple)
    inside = draw(st.booleans())
    return Clip(
        path=draw(st.sampled_from(["/data/", "/data/videos/", "", "s3://bucket/"])) + draw(text),
        labels=draw(one | several),
        split=draw(st.sampled_from([None, "train", "val", "test"])),
        group=draw(st.none() | text),
        start_seconds=draw(seconds),
        end_seconds=draw(seconds),
        name=draw(text),
        offset=draw(st.integers(0, 2**40)) if inside else None,
        size=draw(st.integers(0, 2**40)) if inside else None,
        events=tuple(draw(st.lists(events(), max_size=1))),
    )


@pytest.mark.slow
@given(st.lists(clips(), max_size=8), st.data())
def test_a_table_gives_back_what_was_put_in(given_clips: list[Clip], data: st.DataObject):
    table = ClipTable(given_clips)
    assert list(table) == given_clips
    assert table == given_clips
    assert pickle.loads(ForkingPickler.dumps(table)) == given_clips  # noqa: S301 - our own
    if given_clips:
        rows = data.draw(st.lists(st.integers(0, len(given_clips) - 1), max_size=30))
        assert list(table.take(np.array(rows))) == [given_clips[i] for i in rows]
    assert list(table[1::2]) == given_clips[1::2]
    assert table[:0] == []


@pytest.mark.slow
@given(st.lists(clips(), min_size=1, max_size=20), st.data())
def test_clips_go_to_other_splits(given_clips: list[Clip], data: st.DataObject):
    table = ClipTable(given_clips)
    rows = data.draw(st.permutations(range(len(given_clips))))[: data.draw(st.integers(1, 20))]
    part = table.take(np.array(rows))
    splits = data.draw(st.lists(st.integers(-1, 2), min_size=len(part), max_size=len(part)))
    names = [*SPLITS, None]
    expected = [
        dataclasses.replace(given_clips[i], split=names[split])
        for i, split in zip(rows, splits, strict=True)
    ]
    assert list(part.with_splits(np.array(splits, dtype=np.int8))) == expected
    assert list(table) == given_clips


def test_several_events_of_some_clips():
    """More than a property tries: gaps before, between and behind clips with events."""
    some = (Event(0.0, 1.0, 3), Event(0.5, 2.5, 1))
    given_clips = [
        Clip("/a"),
        Clip("/b", events=some),
        Clip("/c", (1, 2)),
        Clip("/d", (0,), events=some[1:]),
        Clip("/e"),
    ]
    assert list(ClipTable(given_clips)) == given_clips
    assert ClipTable(given_clips).label.tolist() == [-1, -1, 1, 0, -1]
    assert [clip.events for clip in ClipTable(given_clips).take(np.array([3, 1, 4]))] == [
        some[1:],
        some,
        (),
    ]


def test_positions_count_from_both_ends():
    table = ClipTable([Clip("/a", (0,)), Clip("/b", (1,))])
    assert table[-1] == Clip("/b", (1,))
    for i in (2, -3):
        with pytest.raises(IndexError):
            table[i]


def test_names_that_are_not_utf8_survive(tmp_path: Path):
    path = str(tmp_path) + "/d\udce9j\udce0.mp4"  # bytes E9 and E0 of Latin-1
    assert ClipTable([Clip(path, (0,), name="d\udce9j\udce0.mp4")])[0].path == path


def test_targets():
    single = ClipTable([Clip("/a", (2,)), Clip("/b", (0,))])
    assert single.targets(3).tolist() == [[0, 0, 1], [1, 0, 0]]
    several = ClipTable([Clip("/a", (2, 0)), Clip("/b")])
    assert several.targets(3).tolist() == [[1, 0, 1], [0, 0, 0]]
    assert several.take(np.array([1, 0])).targets(3).tolist() == [[0, 0, 0], [1, 0, 1]]


def test_clips_are_found_by_name_or_path() -> None:
    odd = "/data/d\udcff.mp4"
    table = ClipTable(
        [
            Clip("/data/a.mp4", (0,), name="a.mp4"),
            Clip("/data/b.mp4", (0,), name="b.mp4"),
            Clip("/data/b.mp4", (0,), name="b.mp4", start_seconds=1.0),
            Clip("/data/cé.mp4", (0,)),
            Clip(odd, (0,)),
        ]
    )
    assert table.find({"b.mp4", "/data/a.mp4", "c.mp4", "x", ""}).tolist() == [0, 1, 2]
    assert table.find(["b.mp4"]).tolist() == [1, 2]
    assert table.find([odd, "/data/cé.mp4", "/data/c"]).tolist() == [3, 4]
    assert table.find(["/dat", "mp4", "/data/"]).tolist() == []
    assert table.find([]).tolist() == []
    assert ClipTable().find(["a"]).tolist() == []

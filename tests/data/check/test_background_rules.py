"""Clips of one camera, where no groups say so."""

from __future__ import annotations

import base64
import csv
from pathlib import Path

import numpy as np
import pytest

from video_mobile_former.data.check import background_rules
from video_mobile_former.data.check.background_rules import background, problems_of_backgrounds
from video_mobile_former.data.check.content import (
    GRID,
    MOMENTS,
    brightness_grid,
    moments,
    pack_signature,
)
from video_mobile_former.data.check.facts import FileFacts, FileKey
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.video.reader import VideoReader

RANDOM = np.random.default_rng(0)
PLACES = RANDOM.integers(30, 220, (4, GRID, GRID)).astype(float)
"""Four backgrounds, far apart."""


def seen(place: np.ndarray, noise: float = 2.0, walker: bool = True) -> np.ndarray:
    """The signature of somebody walking through a place."""
    pictures = np.repeat(place[None], MOMENTS, 0) + RANDOM.normal(0, noise, (MOMENTS, GRID, GRID))
    if walker:
        for moment in range(MOMENTS):
            pictures[moment, 2:6, moment] = 255
    return np.clip(pictures, 0, 255).round().astype(np.uint8)


def of(
    name: str,
    signature: np.ndarray,
    split: str | None = "train",
    group: str | None = None,
    fault: str = "",
) -> tuple[Clip, FileFacts]:
    text = base64.b64encode(signature.tobytes()).decode()
    facts = FileFacts(FileKey(f"/{name}", 0, 1, 0), full=True, signature=text, fault=fault)
    return Clip(f"/{name}", (0,), split=split, group=group, name=name), facts


def found(*pairs: tuple[Clip, FileFacts], known: frozenset[str] = frozenset()) -> list[tuple]:
    return [(p.kind, p.name, p.related) for p in problems_of_backgrounds(pairs, known)]


def test_the_background_is_what_stands_still():
    levels = background(base64.b64encode(seen(PLACES[0]).tobytes()).decode())
    assert np.abs(levels - PLACES[0].ravel()).max() < 8


def test_a_clip_before_the_background_of_a_training_clip():
    pairs = [
        of("a", seen(PLACES[0])),
        of("b", seen(PLACES[1])),
        of("c", seen(PLACES[1]), "test"),
        of("d", seen(PLACES[2]), "val"),
    ]
    assert found(*pairs) == [("same camera across splits", "c", ("b",))]
    assert found(*pairs, known=frozenset({"c"})) == []


def test_groups_say_what_belongs_together_and_faulty_files_say_nothing():
    train, test = seen(PLACES[0]), seen(PLACES[0])
    assert found(of("a", train), of("b", test, "test", group="g")) == []
    assert found(of("a", train, group="g"), of("b", test, "test")) == []
    assert found(of("a", train), of("b", test, "test", fault="truncated")) == []
    assert len(found(of("a", train), of("b", test, "test"))) == 1


def test_parts_of_one_file_are_another_problem():
    here = seen(PLACES[0])
    first, second = of("a", here), of("a", here, "test")
    assert found(first, second) == []


def test_another_light_or_little_contrast_is_no_evidence():
    assert found(of("a", seen(PLACES[0])), of("b", seen(PLACES[0] + 30), "test")) == []
    # Grey walls a few levels apart may be anywhere.
    wall = np.full((GRID, GRID), 120.0)
    assert found(of("a", seen(wall, 1, False)), of("b", seen(wall + 5, 1, False), "test")) == []


def test_without_splits_whole_sets_are_named_the_largest_first():
    pairs = [of(f"x{i}", seen(PLACES[0]), None) for i in range(2)]
    pairs += [of(f"y{i}", seen(PLACES[1]), None) for i in range(3)]
    pairs += [of("z", seen(PLACES[2]), None)]
    assert found(*pairs) == [
        ("same camera", "y0", ("y1", "y2")),
        ("same camera", "x0", ("x1",)),
    ]
    assert found(*(of(f"x{i}", seen(PLACES[0])) for i in range(3))) == []  # train alone


def test_more_files_than_can_be_compared_are_thinned(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background_rules, "_MOST_CLIPS", 10)
    pairs = [of(f"{i}", seen(PLACES[0]), None) for i in range(30)]
    ((_, first, others),) = found(*pairs)
    assert (first, len(others)) == ("0", 9)


@pytest.mark.slow
def test_of_real_clips_none_of_another_group_is_taken_for_the_same(shared_data: Path):
    folder = shared_data / "surv_fight2"
    rows = list(csv.DictReader((folder / "clips.csv").read_text().splitlines()))[::2]
    pairs = []
    for row in rows:
        with VideoReader(folder / row["path"]) as video:
            frames = video.frames(moments(len(video.timestamps())), 96, enlarge=False)
        grids = [brightness_grid(one) for one in frames.permute(0, 2, 3, 1).numpy()]
        key = FileKey(row["path"], 0, 1, 0)
        clip = Clip(row["path"], (0,), name=row["path"])
        pairs.append((clip, FileFacts(key, full=True, signature=pack_signature(grids))))
    groups = {row["path"]: row["group"] for row in rows}
    sets = list(problems_of_backgrounds(pairs))
    assert len(sets) >= 5
    for one in sets:
        assert len({groups[name] for name in (one.name, *one.related)}) == 1

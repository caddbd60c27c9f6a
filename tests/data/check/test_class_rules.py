"""Classes, groups and splits as a whole."""

from __future__ import annotations

import numpy as np

from video_mobile_former.data.check.class_rules import class_counts, problems_of_classes
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex


def index(
    *rows: tuple[int, str | None, int], names: tuple[str, ...] = ("run", "jump")
) -> ClipIndex:
    """So many clips of a class and split for each row."""
    clips = [
        Clip(f"/{label}-{split}-{i}", (label,), split=split, name=f"{label}-{split}-{i}")
        for label, split, count in rows
        for i in range(count)
    ]
    return ClipIndex(clips, names, "clips.csv")


def found(data: ClipIndex, bad: int = 0, min_clips: int = 5, one_split: bool = False) -> dict:
    usable = np.arange(len(data)) >= bad
    problems = problems_of_classes(data, usable, min_clips=min_clips, one_split=one_split)
    out: dict[str, list[str]] = {}
    for one in problems:
        out.setdefault(one.kind, []).append(f"{one.name}: {one.text}")
    return out


def test_nothing_to_say():
    assert found(index((0, "train", 9), (1, "train", 9), (0, "val", 1), (1, "val", 1))) == {}
    assert found(index((0, None, 9), (1, None, 9))) == {}


def test_empty_and_tiny_classes():
    names = ("run", "jump", "swim", "never")
    data = index((0, "train", 9), (1, "train", 3), (2, "test", 4), names=names)
    assert found(data) == {
        "tiny class": ["jump: 3 usable training clips"],
        "empty class": ["swim: 0 usable training clips of 4 listed"],
        "class without clips": ["never: no clip has it"],
        "class absent from split": ["run: no usable clip in test", "jump: no usable clip in test"],
    }


def test_what_is_unusable_does_not_count():
    data = index((0, "train", 2), (1, "train", 9))
    assert found(data, bad=2)["empty class"] == ["run: 0 usable training clips of 2 listed"]
    many = index((0, "train", 6), (1, "train", 9))
    assert found(many, bad=1, min_clips=6)["tiny class"] == ["run: 5 usable training clips"]


def test_too_many_unusable():
    data = index((0, "train", 20), (1, "train", 20), (0, "val", 5), (1, "val", 5))
    assert "too many unusable" not in found(data, bad=4)
    assert found(data, bad=5)["too many unusable"] == ["train: 5 of 40 clips of the train split"]


def test_typos():
    names = ("brush hair", "brush_hiar", "Brush-Hair", "sing")
    data = index((0, "train", 50), (1, "train", 1), (2, "train", 1), (3, "train", 50), names=names)
    problems = found(data)
    assert problems == {
        "likely label typo": [
            "brush_hiar: 1 clip; did you mean 'brush hair' (50 clips)?",
            "Brush-Hair: 1 clip; did you mean 'brush hair' (50 clips)?",
        ]
    }


def test_names_that_are_alike_on_purpose():
    names = ("move_left", "move_right", "dive 11", "dive 12")
    rows = [(0, "train", 50), (1, "train", 2), (2, "train", 50), (3, "train", 2)]
    assert "likely label typo" not in found(index(*rows, names=names))
    equal = index((0, "train", 8), (1, "train", 8), names=("wave", "weave"))
    assert found(equal) == {}


def test_without_splits_every_class_must_be_divisible():
    data = index((0, None, 9), (1, None, 1))
    assert found(data)["cannot be held out"] == ["jump: only one clip"]
    clips = [Clip(f"/{i}", (i % 2,), group=f"g{i % 2}") for i in range(20)]
    grouped = found(ClipIndex(clips, ("run", "jump"), "clips.csv"))
    assert grouped["cannot be held out"] == ["run: only one group", "jump: only one group"]


def test_groups_across_splits():
    clips = [
        Clip("/a", (0,), "a", split="train", group="g1"),
        Clip("/b", (0,), "b", split="test", group="g1"),
        Clip("/c", (1,), "c", split="train", group="g2"),
        Clip("/d", (1,), "d", split="train", group="g2"),
    ]
    data = ClipIndex(clips, ("run", "jump"), "clips.csv")
    assert found(data)["group across splits"] == ["g1: its clips are in train and test"]


def test_imbalance():
    assert "imbalance" not in found(index((0, "train", 90), (1, "train", 10)))
    text = found(index((0, "train", 100), (1, "train", 10)))["imbalance"]
    assert text == ["jump: 100 clips of run, 10 of jump"]


def test_one_class_and_no_training_clips():
    assert "one class" in found(index((0, "train", 9), names=("run",)))
    data = index((0, "test", 9), (1, "test", 9))
    assert found(data)["no training clips"] == ["clips.csv: there are: test (18 clips)"]
    assert found(data, one_split=True) == {}


def test_names_of_classes_are_utf8():
    names = ("run", "d\udce9j\udce0")
    data = index((0, "train", 9), (1, "train", 9), names=names)
    assert found(data)["malformed"] == [
        "d\udce9j\udce0: the name of a class is not UTF-8: rename its folder"
    ]


def test_multi_label_classes_are_counted_each():
    clips = [Clip(f"/{i}", (0, 1) if i < 6 else (0,), split="train") for i in range(9)]
    clips.append(Clip("/none", split="train"))
    data = ClipIndex(clips, ("run", "jump"), "clips.csv", multi_label=True)
    counts = class_counts(data, np.ones(len(data), dtype=bool))
    assert counts["train"].tolist() == [9, 6]
    assert counts["val"].tolist() == [0, 0]
    assert found(data) == {}

"""Copies of clips: byte by byte, and made anew."""

from __future__ import annotations

import base64
import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.data.check.content import SIGNATURE_BYTES
from video_mobile_former.data.check.copy_rules import near_pairs, problems_of_copies
from video_mobile_former.data.check.facts import FileFacts, FileKey
from video_mobile_former.data.check.problems import Problem
from video_mobile_former.data.index.clip import Clip


def facts(content: str, signature: np.ndarray | None = None, seconds: float = 2.0) -> FileFacts:
    text = (
        "" if signature is None else base64.b64encode(signature.astype(np.uint8).tobytes()).decode()
    )
    return FileFacts(
        FileKey(content, 0, 1000, 0),
        full=True,
        sha256=content,
        signature=text,
        duration_seconds=seconds,
    )


def found(*clips: tuple[Clip, str]) -> list[tuple[str, str]]:
    problems = problems_of_copies([(clip, facts(content)) for clip, content in clips])
    return [(one.kind, one.name) for one in problems]


def clip(name: str, split: str | None = "train", *labels: int, **kwargs) -> Clip:
    return Clip(f"/{name}", labels or (0,), split=split, name=name, **kwargs)


def test_different_content_is_fine():
    assert found((clip("a"), "x"), (clip("b", "test"), "y")) == []


def test_a_leak_is_laid_to_the_clip_in_train():
    for order in itertools.permutations([(clip("a"), "x"), (clip("b", "test"), "x")]):
        assert found(*order) == [("leak", "a")]
    both = found((clip("a", "val"), "x"), (clip("b"), "x"), (clip("c", "test"), "x"))
    assert both == [("leak", "b")]


def test_a_leak_between_val_and_test():
    names = found((clip("a", "val"), "x"), (clip("b", "test"), "x"))
    assert names == [("leak", "a"), ("leak", "b")]


def test_the_others_are_named():
    pairs = [(clip("a"), facts("x")), (clip("b", "test"), facts("x"))]
    (leak,) = problems_of_copies(pairs)
    assert leak.related == ("b",)
    assert leak.text == "in train, and the same content in test"


def test_copies_in_one_split():
    assert found((clip("a"), "x"), (clip("b"), "x")) == [("duplicate", "b")]
    two = found((clip("a"), "x"), (clip("b", "train", 1), "x"))
    assert two == [("same content, two labels", "b")]
    assert found((clip("a", None), "x"), (clip("b", None), "x")) == [("duplicate", "b")]


def test_classes_of_multi_label_clips_are_compared_as_sets():
    a, b = clip("a", "train", 1, 2), clip("b", "train", 2, 1)
    assert found((a, "x"), (b, "x")) == [("duplicate", "b")]


def test_parts_of_one_video():
    first = clip("a", start_seconds=0, end_seconds=2)
    second = clip("a", start_seconds=2, end_seconds=4)
    assert found((first, "x"), (second, "x")) == []
    elsewhere = dataclasses.replace(second, split="test")
    assert found((first, "x"), (elsewhere, "x")) == [("video across splits", "a")]
    overlapping = dataclasses.replace(elsewhere, start_seconds=1.5)
    assert found((first, "x"), (overlapping, "x")) == [("leak", "a")]
    other_label = dataclasses.replace(second, start_seconds=1.5, labels=(1,))
    assert found((first, "x"), (other_label, "x")) == []  # two actions at once


@pytest.mark.slow
def test_ten_thousand_parts_take_no_time():
    parts = [clip("a", start_seconds=i, end_seconds=i + 1) for i in range(10_000)]
    assert found(*[(part, "x") for part in parts]) == []


def test_of_many_copies_each_is_told_of_once():
    names = found(*[(clip(str(i)), "x") for i in range(300)])
    assert sorted(names) == sorted(("duplicate", str(i)) for i in range(1, 300))


# The same pictures


def near(*signatures: np.ndarray, seconds: tuple[float, ...] = (2.0, 2.0)) -> int:
    times = itertools.cycle(seconds)
    return len(list(near_pairs([facts(f"{i}", s, next(times)) for i, s in enumerate(signatures)])))


def random_signature(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, SIGNATURE_BYTES)


def test_slight_differences_are_one_content():
    one = np.clip(random_signature(0), 10, 240)
    noise = np.random.default_rng(1).integers(-2, 3, SIGNATURE_BYTES)
    assert near(one, one + noise) == 1
    assert near(one, one) == 1


def test_a_hand_that_moves_is_a_difference():
    one = np.clip(random_signature(0), 10, 240)
    other = one.copy()
    other[100] += 12
    assert near(one, other) == 0
    brighter = one + 3
    assert near(one, brighter) == 0


def test_other_lengths_are_other_content():
    one = random_signature(0)
    assert near(one, one, seconds=(2.0, 2.1)) == 1
    assert near(one, one, seconds=(2.0, 2.5)) == 0


def test_nothing_is_said_of_blank_videos():
    assert near(np.full(SIGNATURE_BYTES, 16), np.full(SIGNATURE_BYTES, 16)) == 0


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.floats(0.3, 12))
def test_boxes_lose_no_pair(seed: int, count: int, spread: float):
    """Against a comparison of all with all."""
    rng = np.random.default_rng(seed)
    base = rng.integers(30, 220, SIGNATURE_BYTES)
    rows = [
        np.clip(base + rng.normal(rng.normal(0, spread), spread, SIGNATURE_BYTES), 0, 255)
        for _ in range(count)
    ]
    rows = [row.astype(np.uint8).astype(int) for row in rows]
    wanted = {
        (i, j)
        for i, j in itertools.combinations(range(count), 2)
        if np.abs(rows[i] - rows[j]).max() <= 9 and np.abs(rows[i] - rows[j]).mean() <= 2
    }
    pairs = near_pairs([facts(str(i), row) for i, row in enumerate(rows)])
    got = [tuple(sorted((int(a.sha256), int(b.sha256)))) for a, b in pairs]
    assert set(got) == wanted
    assert len(got) == len(set(got))


@pytest.mark.parametrize(
    ("split", "label", "kind", "text"),
    [
        ("test", 0, "near leak", "in train; looks like b in test"),
        ("train", 0, "near duplicate", "looks like b"),
        ("train", 1, "near duplicate", "looks like b, which has another label"),
    ],
)
def test_what_is_said_of_near_copies(split: str, label: int, kind: str, text: str):
    one = random_signature(0)
    pairs = [(clip("a"), facts("x", one)), (clip("b", split, label), facts("y", one))]
    (problem,) = problems_of_copies(pairs)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.text, problem.severity) == (kind, text, "warning")

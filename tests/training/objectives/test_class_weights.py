from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.errors import DataError
from video_mobile_former.training.objectives.class_weights import class_weights

NAMES = ("a", "b", "c, or d", "e")


def make_index(*labels: int | tuple[int, ...]) -> ClipIndex:
    clips = [
        Clip(f"/{i}.mp4", (label,)) if isinstance(label, int) else Clip(f"/{i}.mp4", label)
        for i, label in enumerate(labels)
    ]
    several = any(not isinstance(label, int) for label in labels)
    return ClipIndex(clips, NAMES, "clips.csv", multi_label=several)


def test_none() -> None:
    assert class_weights("none", make_index(0, 1)) is None


def test_balanced_by_hand() -> None:
    # Six clips of three classes; the fourth class has none.
    found = class_weights("balanced", make_index(0, 0, 0, 1, 1, 2))
    assert found is not None
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([6 / 9, 6 / 6, 6 / 3, 1])


def test_balanced_by_hand_with_several_labels_a_clip() -> None:
    # Labels: a three times, b once, c twice; six of them on four clips, one with none.
    found = class_weights("balanced", make_index((0, 1), (0, 2), (0, 2), ()))
    assert found is not None
    assert found.tolist() == pytest.approx([6 / 9, 6 / 3, 6 / 6, 1])


@pytest.mark.slow
@given(st.lists(st.integers(0, 3), min_size=1, max_size=50))
def test_balanced_classes_count_alike_and_the_mean_is_one(labels: list[int]) -> None:
    index = make_index(*labels)
    weights = class_weights("balanced", index)
    assert weights is not None
    counts = torch.tensor(index.counts())
    share = (weights * counts)[counts > 0]
    torch.testing.assert_close(share, torch.full_like(share, len(labels) / len(share)))
    assert float(weights[labels].mean()) == pytest.approx(1, rel=1e-5)


def test_a_file_in_any_order_and_only_in_part(tmp_path: Path) -> None:
    file = tmp_path / "weights.csv"
    file.write_text('Class, weight\n"c, or d",6\n\na,0\n', encoding="utf-8")
    found = class_weights(str(file), make_index(0, 1, 1, 2))
    assert found is not None
    # 0, 1, 6, 1 of which the clips have a mean of (0 + 1 + 1 + 6) / 4 = 2.
    assert found.tolist() == pytest.approx([0, 0.5, 3, 0.5])
    file.write_text("weight\tclass\n2\tb\n", encoding="utf-8-sig")
    found = class_weights(str(file), make_index(0, 1))
    assert found is not None
    assert found.tolist() == pytest.approx([2 / 3, 4 / 3, 2 / 3, 2 / 3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header with class,weight; found: nothing"),
        ("name,weight\na,1\n", "expected a header with class,weight; found: name, weight"),
        ("class,weight\na,1\nbb,2\n", r"w\.csv:3: unknown class 'bb'; did you mean 'b'"),
        ("class,weight\nzzz,2\n", r"w\.csv:2: unknown class 'zzz'; the data has no such"),
        ("class,weight\na,1\na,2\n", r"w\.csv:3: class 'a' is listed twice"),
        ("class,weight\na,much\n", r"w\.csv:2: weight must be a number from 0 on, not 'much'"),
        ("class,weight\na,-1\n", "weight must be a number from 0 on"),
        ("class,weight\na,inf\n", "weight must be a number from 0 on"),
        ("class,weight\na\n", "weight must be a number from 0 on, not ''"),
        ("class,weight\na,0\nb,0\n", "no class with a weight above 0 has a clip"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "w.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        class_weights(str(file), make_index(0, 1))


def test_a_word_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="balancd: No such file"):
        class_weights("balancd", make_index(0, 1))

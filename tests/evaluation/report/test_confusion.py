from __future__ import annotations

import io

import matplotlib.image
import numpy as np
import pytest

from video_mobile_former.evaluation.report.confusion import confusion_png


def pixels(matrix: np.ndarray, names: list[str] | None = None) -> np.ndarray:
    names = names or [f"class name {i}" for i in range(len(matrix))]
    return matplotlib.image.imread(io.BytesIO(confusion_png(matrix.tolist(), names)))[..., :3]


def share_of(picture: np.ndarray, color: tuple[float, float, float]) -> float:
    return float((np.abs(picture - np.array(color)).max(axis=-1) < 0.02).mean())


DARK = (8 / 255, 48 / 255, 107 / 255)  # the end of matplotlib's "Blues": a share of one
GREY = (0.88, 0.88, 0.88)


@pytest.mark.slow
@pytest.mark.parametrize(
    "num_classes", [1, 24, 25, 400, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 7, 101))]
)
def test_it_has_a_readable_size_for_any_number_of_classes(num_classes: int) -> None:
    picture = pixels(np.eye(num_classes, dtype=int) * 3)
    height, width, _ = picture.shape
    assert 400 < width < 2000
    assert 400 < height < 2000
    # The diagonal is dark; it covers 1 / K of the matrix.
    if num_classes < 100:
        assert share_of(picture, DARK) > 0.3 / num_classes


@pytest.mark.slow
def test_a_class_without_clips_is_grey() -> None:
    full, gap = np.eye(4, dtype=int), np.eye(4, dtype=int)
    gap[2, 2] = 0
    assert share_of(pixels(full), GREY) < 0.01
    assert share_of(pixels(gap), GREY) > 0.08


@pytest.mark.slow
def test_counts_are_written_where_classes_are_few() -> None:
    matrix = np.diag([5, 5, 5])
    more = np.diag([888888, 888888, 888888])
    # The colours are the same; only the numbers in the cells differ.
    assert not np.array_equal(pixels(matrix), pixels(more))
    assert np.array_equal(pixels(np.eye(25, dtype=int) * 5), pixels(np.eye(25, dtype=int) * 88))


@pytest.mark.slow
def test_a_single_error_among_many_classes_can_be_seen() -> None:
    right = np.eye(100, dtype=int) * 50
    wrong = right.copy()
    wrong[10, 80] = 2
    difference = np.abs(pixels(right) - pixels(wrong)).max(axis=-1)
    assert (difference > 0.12).sum() > 25


@pytest.mark.slow
def test_any_name_can_be_drawn() -> None:
    names = ["$\\frac{", "跳", "a\nb\x1b[0m", "", "x" * 500, "прыжок", "\udcff", "100 % & _"]
    picture = pixels(np.eye(len(names), dtype=int), names)
    assert picture.shape[1] < 2000

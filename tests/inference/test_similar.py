"""Clips that look alike."""

from __future__ import annotations

import numpy as np
import pytest

from video_mobile_former.errors import UserError
from video_mobile_former.inference.similar import (
    Embeddings,
    duplicates,
    nearest,
    read_embeddings,
)


def embeddings(*rows: list[float], names: str = "abcdef", **options: object) -> Embeddings:
    features = np.array(rows, np.float32)
    return Embeddings(tuple(names[: len(rows)]), features, {"model": "m", **options})


def test_nearest_goes_by_direction_not_length() -> None:
    found = embeddings([3, 0], [0, 1], [0.1, 0.1], [-1, 0])
    best = nearest(found.features, np.array([0.0, 9.0], np.float32), 3)
    assert [i for i, _ in best] == [1, 2, 0]
    assert [s for _, s in best] == pytest.approx([1, 0.5**0.5, 0], abs=1e-6)
    with pytest.raises(UserError, match="query"):
        nearest(found.features, np.zeros(3, np.float32), 1)


def test_duplicates_are_all_pairs_above_the_threshold_but_a_file_itself() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 40, 4)).astype(np.float32)
    names = [f"{i}" for i in range(40)]
    pairs = duplicates(Embeddings((*names,), one, {}), Embeddings((*names,), other, {}), 0.8)
    wanted = set()
    for i in range(40):
        for j in range(40):
            cosine = one[i] @ other[j] / (np.linalg.norm(one[i]) * np.linalg.norm(other[j]))
            if cosine >= 0.8 and i != j:
                wanted.add((names[i], names[j], round(float(cosine), 4)))
    assert {(p.path, p.other, round(p.similarity, 4)) for p in pairs} == wanted
    assert len(wanted) > 10


def test_other_models_and_other_files_are_refused(tmp_path) -> None:
    one = embeddings([1, 0])
    one.check_comparable(embeddings([0, 1], tokens=True), "x")
    with pytest.raises(UserError, match="model"):
        one.check_comparable(Embeddings(("a",), np.ones((1, 2), np.float32), {"model": "n"}), "x")
    for name, data in (("a.npz", b"zip"), ("a.jsonl", b"no"), ("a.parquet", b"no"), ("a.x", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=name):
            read_embeddings(tmp_path / name)

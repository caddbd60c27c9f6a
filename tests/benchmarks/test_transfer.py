"""The benchmark of transfer: which clips are taken, and what is done with features."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from video_mobile_former.data.index.index import load_index


@pytest.fixture
def transfer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    yield importlib.import_module("transfer")
    for name in ("transfer", "transfer_parts", "timing"):
        sys.modules.pop(name, None)


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    """A list of 12 training clips of two classes, and 4 for validation."""
    lines = ["path,label,split"]
    for i in range(16):
        (tmp_path / f"{i}.mp4").write_bytes(b"")
        lines.append(f"{i}.mp4,{'ab'[i % 2]},{'train' if i < 12 else 'val'}")
    path = tmp_path / "clips.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_so_many_clips_of_each_class(transfer: Any, listing: Path, tmp_path: Path) -> None:
    train = load_index(listing).split("train")
    assert len(transfer.few(train, transfer.FULL, 0)) == 12
    chosen = transfer.few(train, 2, 0)
    assert np.bincount(train.table.label[chosen]).tolist() == [2, 2]
    assert chosen.tolist() == transfer.few(train, 2, 0).tolist()
    assert any(chosen.tolist() != transfer.few(train, 2, s).tolist() for s in range(1, 5))
    assert len(transfer.few(train, 50, 0)) == 12
    whole = load_index(listing)
    path = tmp_path / "lists" / "x.tsv"
    index = load_index(transfer.write_list(train, 2, 0, whole.split("val"), path))
    assert index.splits() == {"train": 4, "val": 4}
    assert index.class_names == ("a", "b")


def test_halves_are_learned_from_for_each_other(transfer: Any, listing: Path) -> None:
    index = load_index(listing)
    (train, test), (other_train, other_test) = transfer.pairs(index, "halves")
    assert train.counts() == test.counts() == (4, 4)
    one, other = ({clip.path for clip in part.clips} for part in (train, test))
    assert len(one | other) == 16
    assert {clip.path for clip in other_train.clips} == other
    assert {clip.path for clip in other_test.clips} == one
    [(train, test)] = transfer.pairs(index, "val")
    assert (len(train), len(test)) == (12, 4)


def test_probe_and_neighbours_find_classes_that_are_there(transfer: Any) -> None:
    torch.manual_seed(0)
    y = torch.arange(60) % 3
    x = torch.randn(60, 8) + 6 * torch.nn.functional.one_hot(y, 8)
    test = torch.randn(30, 8) + 6 * torch.nn.functional.one_hot(torch.arange(30) % 3, 8)
    truth = torch.arange(30) % 3
    shuffled = y[torch.randperm(60)]
    for method in (transfer.linear_probe, transfer.nearest):
        assert (method(x, y, test) == truth).float().mean() > 0.85
        assert (method(x, shuffled, test) == truth).float().mean() < 0.7
    # Neighbours of themselves.
    assert torch.equal(transfer.nearest(x, y, x), y)


def test_the_summary_is_over_seeds(transfer: Any) -> None:
    rows = [
        {"data": "d", "clips_per_class": "all", "method": "m", "top1": top1} for top1 in (0.2, 0.4)
    ]
    (line,) = transfer.summarise(rows)
    assert line["mean_top1"] == pytest.approx(0.3)
    assert line["sd"] == pytest.approx(0.1414, abs=1e-3)
    assert line["seeds"] == 2


def test_rows_of_other_settings_are_not_taken(transfer: Any, tmp_path: Path) -> None:
    about = {"start": "a", "model": "vmf_500m", "lr": 1e-3, "frames": 8, "size": 64}
    args = argparse.Namespace(work=tmp_path / "w", tuned=["train.freeze_epochs=3"], **about)
    transfer.check_settings(args)
    transfer.check_settings(args)
    args.start = "b"
    with pytest.raises(SystemExit, match="holds rows of start 'a'"):
        transfer.check_settings(args)


@pytest.mark.slow
def test_frozen_features_are_measured_for_the_numbers_of_clips_that_are_asked_for(
    transfer: Any, listing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def labels_as_features(_: Any, index: Any) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(len(index))
        labels = torch.from_numpy(index.table.label).long()
        return torch.nn.functional.one_hot(labels, 2).float(), labels

    monkeypatch.setattr(transfer, "features", labels_as_features)
    args = argparse.Namespace(
        work=tmp_path / "work", split="val", frames=8, size=64, model="vmf_500m", clips=[0]
    )
    rows = transfer.frozen(listing, "scratch", 0, args)
    assert [row["clips_per_class"] for row in rows] == ["all", "all"]
    args.clips = [5, 2]
    rows = transfer.frozen(listing, "scratch", 0, args)
    assert [row["clips_per_class"] for row in rows] == [5, 5, 2, 2]
    assert calls == [12, 4] * 2
    args.clips = [0, 2]
    rows = transfer.frozen(listing, "scratch", 0, args)
    assert [row["clips_per_class"] for row in rows] == ["all", "all", 2, 2]
    assert calls == [12, 4] * 2

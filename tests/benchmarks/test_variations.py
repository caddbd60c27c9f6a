"""The benchmark of variations of pre-training: what runs, and what is told of it."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from video_mobile_former.cli.train import recipe_from_words
from video_mobile_former.procedural import FAMILIES, ProceduralSpec, ProceduralVideo


@pytest.fixture
def variations(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    yield importlib.import_module("variations")
    for name in ("variations", "transfer", "transfer_parts", "timing"):
        sys.modules.pop(name, None)


def test_each_variation_is_a_recipe_of_its_own(variations: Any) -> None:
    made = {
        name: recipe_from_words(["procedural_500m", *words, "--train.epochs", str(epochs)])
        for name, words in variations.VARIATIONS.items()
        for epochs in [8 * variations.LONGER.get(name, 1)]
    }
    texts = {json.dumps(dataclasses.asdict(recipe)) for recipe in made.values()}
    assert len(texts) == len(made)
    families = [made[name].pretrain.families for name in ("three families", "the other four")]
    assert len({*families[0], *families[1]}) == 7
    fewer = ProceduralVideo(ProceduralSpec(classes=made["fewer classes"].pretrain.classes))
    assert len(fewer.class_names) == 34
    assert set(fewer.class_family) == set(FAMILIES)


def test_the_table_has_a_line_a_variation_and_means_of_seeds(variations: Any) -> None:
    row = {"data": "fights", "frames": 8, "clips_per_class": "all"}
    probe, near = "linear probe", "nearest neighbour"
    rows = [
        {**row, "variation": "random weights", "method": f"scratch, {probe}", "top1": 0.5},
        {**row, "variation": "random weights", "method": f"scratch, {probe}", "top1": 0.6},
        {**row, "variation": "random weights", "method": f"scratch, {near}", "top1": 0.4},
        {**row, "variation": "small bodies", "method": f"procedural, {probe}", "top1": 0.75},
        {**row, "variation": "small bodies", "method": f"procedural, {near}", "top1": 0.25},
    ]
    lines = variations.table(rows).splitlines()
    assert lines[0] == "| | fights, linear probe, 8 frames | fights, nearest neighbour, 8 frames |"
    assert lines[2:] == ["| random weights | 55.0 ± 7.1 | 40.0 |", "| small bodies | 75.0 | 25.0 |"]

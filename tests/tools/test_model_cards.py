"""The page of model cards is what the cards beside the weights say."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from video_mobile_former.models.shipped_weights import FOLDER

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cards() -> ModuleType:
    spec = importlib.util.spec_from_file_location("model_cards", ROOT / "tools" / "model_cards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(cards: ModuleType) -> None:
    found = cards.PAGE.read_text(encoding="utf-8")
    assert found == cards.page(), "run python tools/model_cards.py"


def test_every_weights_file_has_a_card_on_the_page(cards: ModuleType) -> None:
    page = cards.PAGE.read_text(encoding="utf-8")
    files = sorted(FOLDER.glob("*.safetensors"))
    assert files
    for file in files:
        facts = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        section = page.split(f"## {file.stem}\n")[1].split("\n## ")[0]
        assert f"{file.stat().st_size / 1e6:.2f} MB" in section
        assert facts["license"] in section
        assert facts["limits"] in section
        assert f"{100 * facts['validation']['top1']:.1f}%" in section
        assert section.count("\n| surv_fight2 |") == sum(
            row["data"] == "surv_fight2" for row in facts["transfer"]
        )

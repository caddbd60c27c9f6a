"""The public names: what they are, that they are quick to import, and that the page lists them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import video_mobile_former

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"


def test_every_public_name_is_there_and_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in video_mobile_former.__all__:
        assert getattr(video_mobile_former, name) is not None
        assert name == "__version__" or f"`{name}" in page, name
    assert set(video_mobile_former.__all__) <= set(dir(video_mobile_former))


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, video_mobile_former as v; v.ClipSpec; v.UserError;"
        "heavy = {'torch', 'av', 'lightning', 'huggingface_hub', 'numpy'};"
        "found = heavy & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(video_mobile_former, "load_everything")


@pytest.mark.parametrize("wrong", [5, b"clips", None, ["clips"]])
def test_what_is_no_path_is_refused_in_one_line(wrong: Any) -> None:
    v = video_mobile_former
    model = v.create_model("vmf_500m", 2)
    other: Any = [wrong]
    calls = {
        "model": lambda: v.load_model(wrong),
        "data": lambda: v.load_index(wrong),
        "evaluate": lambda: v.evaluate(model, wrong),
        "video": lambda: v.Predictor(model).predict_many([wrong]),
        "recipe": lambda: v.fit(wrong),
        "out": lambda: v.Recipe(out=other),
    }
    for name, call in calls.items():
        with pytest.raises(v.UserError, match=r"must be a|must be text") as error:
            call()
        assert len(str(error.value).splitlines()) == 1, name

"""``train.compile``: the same training, by compiled code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from video_mobile_former.errors import RecipeError
from video_mobile_former.models import load_checkpoint
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.fields import Recipe

Make = Callable[..., Recipe]


@pytest.mark.slow
def test_the_curve_is_that_of_plain_code(
    small_recipe: Make,
    read_metrics: Callable[[Any], list[dict[str, str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, compiled = nn.Module.compile, []

    def traced(self: nn.Module) -> None:
        # Traced and run by plain operators: inductor's code would take minutes to build.
        compiled.append(self)
        original(self, backend="aot_eager")

    monkeypatch.setattr(nn.Module, "compile", traced)
    changes: dict[str, Any] = {"train__epochs": 1, "model__name": "vmf_500m_cnn"}
    runs = [
        small_recipe(out=str(tmp_path / str(wanted)), train__compile=wanted, **changes)
        for wanted in (False, True)
    ]
    results = [fit(recipe) for recipe in runs]
    torch.compiler.reset()
    assert len(compiled) == 1
    plain, other = (read_metrics(recipe.out) for recipe in runs)
    assert len(plain) == len(other) > 2
    for a, b in zip(plain, other, strict=True):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), abs=1e-3)
    states = [load_checkpoint(result.last).state_dict() for result in results]
    assert states[0].keys() == states[1].keys()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"optim__temporal_smoothness": 0.1}, r"optim\.temporal_smoothness"),
        ({"pretrain__masked_weight": 1.0}, "pretrain"),
    ],
)
def test_what_looks_into_the_network_is_refused(
    small_recipe: Make, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(RecipeError, match=rf"train\.compile: {named} looks at features"):
        fit(small_recipe(train__compile=True, **changes))

"""Costs: exact where a formula is at hand, and the table that people read."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from video_mobile_former import create_model, list_models
from video_mobile_former.cli.main import main
from video_mobile_former.errors import UserError
from video_mobile_former.profiling import table
from video_mobile_former.profiling.cost import count_macs, count_parameters
from video_mobile_former.profiling.table import cost_rows, format_rows


def test_macs_of_layers_with_known_counts() -> None:
    conv = nn.Conv3d(4, 8, (3, 1, 1), padding=(1, 0, 0), groups=4)
    assert count_macs(conv, (2, 4, 5, 6, 7)) == 2 * 8 * 5 * 6 * 7 * 3
    assert count_macs(nn.Linear(10, 20), (3, 10)) == 3 * 10 * 20
    assert count_parameters(nn.BatchNorm3d(8)) == 16


@pytest.mark.slow
def test_macs_count_batches_and_leave_the_model_alone() -> None:
    model = create_model("vmf_500m", 2, form="frames").train()
    one = count_macs(model, (1, 3, 4, 64, 64))
    assert count_macs(model, (3, 3, 4, 64, 64)) == 3 * one
    assert model.training
    assert model.form == "frames"
    assert next(model.parameters()).device == torch.device("cpu")


def test_a_model_without_native_clip_needs_a_shape() -> None:
    with pytest.raises(UserError, match="give clip_shape"):
        count_macs(nn.Linear(2, 2))


def test_models_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "500m", "--json"]) == 0
    row, stream, light = json.loads(capsys.readouterr().out)
    assert (row["name"], row["baseline"]) == ("vmf_500m", False)
    assert row["parameters"] == 2_650_860
    assert row["macs_per_view"] == 424_582_144
    assert row["macs_per_view_2plus1d"] == 322_975_744
    assert (row["num_frames"], row["crop_size"], row["num_tokens"]) == (16, 224, 3)
    assert (light["name"], light["baseline"], light["published"]) == ("vmf_500m_cnn", True, [])
    assert light["macs_per_view"] < row["macs_per_view"]
    assert (stream["name"], stream["frames_per_update"]) == ("vmf_500m_stream", 4)
    assert stream["macs_per_frame"] * 16 == stream["macs_per_view"] > row["macs_per_view"]
    printed = format_rows([row, stream, light])
    assert max(len(line) for line in printed.splitlines()) <= 80
    assert "0.425 G" in printed
    assert "vmf_500m_cnn" in printed
    assert main(["models", "nothing"]) == 2
    assert "known: vmf_500m" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_kept_is_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = json.loads(table.COUNTED.read_text())
    assert list(kept) == list(list_models()), "run tools/count_models.py"
    assert cost_rows("500m", recount=True) == cost_rows("500m")
    monkeypatch.setattr(table, "_counted", lambda: {"vmf_500m": kept["vmf_500m"]})
    asked: list[str] = []
    count = table.count
    monkeypatch.setattr(table, "count", lambda name: asked.append(name) or count(name))
    names = ["vmf_500m", "vmf_500m_stream", "vmf_500m_cnn"]
    assert [row["name"] for row in cost_rows("500m")] == names
    assert asked == names[1:]


@pytest.mark.slow
def test_every_model_still_costs_what_is_kept() -> None:
    assert cost_rows(recount=True) == cost_rows(), "run tools/count_models.py"

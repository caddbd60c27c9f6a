"""``vmf benchmark`` from the command line; figures are only looked at for their form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from video_mobile_former.benchmark import ModelChoice, prepare, profile_contestant, time_contestants
from video_mobile_former.cli.main import main


@pytest.mark.slow
def test_rows_as_json_with_operators(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["benchmark", "vmf_500m@2x32", "--rounds", "5", "--seconds", "0", "--no_memory"]
    assert main([*words, "--profile", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["model"], row["runtime"], row["threads"]) == ("vmf_500m@2x32", "eager", 1)
    assert (row["num_frames"], row["size"], row["batch"]) == (2, 32, 1)
    assert row["macs"] > 1e6
    assert row["latency_ms"] > 0
    assert row["rounds"] == 5
    shares = [kind["share"] for kind in row["operators"]["by_kind"]]
    assert sum(shares) == pytest.approx(1, abs=0.01)


@pytest.mark.slow
def test_a_table_with_memory(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["benchmark", "vmf_500m@2x32", "--rounds", "5", "--seconds", "0"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()[1:]) <= 80
    assert "clips of 2×32²" in out
    assert "MB" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vmf_7g"], "vmf_7g"),
        (["model.onnx"], "model.onnx"),
        (["vmf_500m", "--runtime", "tensorrt"], "tensorrt"),
        (["vmf_500m", "--batch", "0"], "--batch: must be"),
        (["vmf_500m@2x32", "--rounds", "1"], "--rounds: must be"),
        (["vmf_500m@2x32", "--threads", "0"], "--threads: must be"),
        (["vmf_500m@2x16"], "32"),
        (["vmf_500m@abc"], "vmf_500m@abc: after @ stand frames"),
        (["vmf_500m", "--num_frames", "0"], "--num_frames/--frames: must be"),
        (["vmf_500m", "--form", "rows"], "rows"),
    ],
)
def test_wrong_input_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("vmf: error: ")
    assert message in line


@pytest.mark.slow
def test_exported_and_eager_in_one_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino")
    choice = ModelChoice.parse("vmf_500m@2x32")
    options = {"runtimes": ["openvino", "eager"], "batches": [2], "folder": tmp_path}
    contestants = prepare([choice], **options)
    assert [each.runtime for each in contestants] == ["openvino", "eager"]
    exported = contestants[0]
    assert exported.max_difference is not None
    assert exported.max_difference < 1e-4
    assert exported.size_bytes is not None
    assert exported.size_bytes > 5_000_000  # weights of 2.65 M parameters in half or full precision
    assert "exporting vmf_500m@2x32" in capsys.readouterr().err
    rows = time_contestants(contestants, rounds=3, seconds=0, memory=False)
    assert [row["form"] for row in rows] == [exported.form, "frames"]
    assert all(row["latency_ms"] > 0 and row["batch"] == 2 for row in rows)
    kinds = {operator.kind for operator in profile_contestant(exported, 1).operators}
    assert any("Convolution" in kind for kind in kinds)

    # The same weights and code: nothing is exported again, and the artefact stands for itself.
    capsys.readouterr()
    assert prepare([choice], **options) == contestants
    assert capsys.readouterr().err == ""
    assert main(["benchmark", str(exported.path), "--batch", "3", "--no_memory"]) == 2
    assert "--batch must be a multiple" in capsys.readouterr().err

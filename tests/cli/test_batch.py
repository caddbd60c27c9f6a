"""The commands ``vmf batch`` and ``vmf embed``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mobile_models import small_model
from video_files import write_video
from video_mobile_former.cli.main import main
from video_mobile_former.inference import Predictor


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint and three videos, two of them alike."""
    folder = tmp_path_factory.mktemp("batch")
    small_model().save_pretrained(folder / "model")
    write_video(folder / "clips" / "0.mp4", 12, fps=10)
    write_video(folder / "clips" / "1.mp4", [np.full((64, 96, 3), 30, np.uint8)] * 9, fps=10)
    (folder / "clips" / "2.mp4").write_bytes((folder / "clips" / "0.mp4").read_bytes())
    return folder


def batch(parts: Path, *more: str, command: str = "batch", model: str = "model") -> int:
    words = [command, str(parts / model), str(parts / "clips"), *more]
    return main([*words, "--device", "cpu", "--num_workers", "0"])


@pytest.mark.slow
def test_json_on_stdout_and_nothing_done_twice(parts: Path, tmp_path: Path, capsys) -> None:
    out = str(tmp_path / "a.parquet")
    assert batch(parts, "--out", out, "--json", "--dollars_per_core_hour", "0.05") == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["num_files"], value["costs"]["files"]) == (3, 3)
    assert value["costs"]["dollars"] == pytest.approx(0.05 * value["costs"]["core_hours"], abs=2e-6)
    assert batch(parts, "--out", out) == 0
    said = capsys.readouterr()
    assert "3 of 3 files were done before" in said.err
    assert f"{out}: 3 rows" in said.out


def test_broken_files_are_the_exit_status(parts: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "bad.mp4").write_text("no video")
    assert batch(parts, str(tmp_path / "bad.mp4"), "--out", str(tmp_path / "a.jsonl")) == 1
    assert "1 of them with an error" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "a.csv"], ".parquet"),
        (["--out", "a.npz"], "embeddings"),
        (["--out", "there.parquet"], "--overwrite"),
        (["--out", "file/a.jsonl"], "file"),
        (["--out", "a.jsonl", "none/*.mp4"], "none"),
        (["--out", "a.jsonl", "--tokens"], "--rows embeddings"),
        (["--out", "a.jsonl", "--address", "auto"], "--engine ray"),
        (["--out", "a.jsonl", "--on", "0.5", "--off", "0.9", "--rows", "events"], "off"),
        (["--out", "a.jsonl", "--dollars_per_core_hour", "-1"], "dollars"),
        ([], "--out"),
    ],
)
def test_wrong_input_is_one_line(
    parts: Path, tmp_path: Path, monkeypatch, capsys, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.parquet").write_bytes(b"PAR1")
    Path("file").touch()
    before = sorted(tmp_path.iterdir())
    assert batch(parts, *words) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert (said.err.count("\n"), said.out) == (1, "")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["gone", "clips/0.mp4", "clips"])
def test_a_bad_model_is_one_line(parts: Path, tmp_path: Path, capsys, name: str) -> None:
    assert batch(parts, "--out", str(tmp_path / "a.jsonl"), model=name) == 2
    said = capsys.readouterr().err
    assert str(parts / name) in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["parquet", "npz", "jsonl"])
def test_nearest_and_duplicates(parts: Path, tmp_path: Path, capsys, ending: str) -> None:
    from video_mobile_former import load_model

    out, query = str(tmp_path / f"a.{ending}"), str(parts / "clips" / "1.mp4")
    more = ("--nearest", query, "--top_k", "2", "--json")
    assert batch(parts, "--out", out, *more, command="embed") == 0
    near = json.loads(capsys.readouterr().out)["nearest"]
    features = {
        name: Predictor(load_model(parts / "model"), device="cpu").embed(name).features
        for name in (query, str(parts / "clips" / "0.mp4"))
    }
    one, other = features.values()
    cosine = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    assert near[0] == {"path": query, "similarity": pytest.approx(1, abs=1e-5)}
    assert near[1]["path"].endswith(("0.mp4", "2.mp4"))
    assert near[1]["similarity"] == pytest.approx(cosine, abs=1e-5)
    more = ("--duplicates", out, "--threshold", "0.9999")
    assert batch(parts, "--out", out, *more, command="embed") == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    pairs = [tuple(Path(path).name for path in line[1:]) for line in printed]
    assert pairs == [("0.mp4", "2.mp4"), ("2.mp4", "0.mp4")]


@pytest.mark.slow
def test_embeddings_of_other_views_are_not_compared(parts: Path, tmp_path: Path, capsys) -> None:
    one, other = str(tmp_path / "a.npz"), str(tmp_path / "b.npz")
    assert batch(parts, "--out", one, command="embed") == 0
    more = ("--num_views", "2", "--duplicates", one)
    assert batch(parts, "--out", other, *more, command="embed") == 2
    assert "num_views" in capsys.readouterr().err
    assert batch(parts, "--out", other, "--duplicates", "gone.npz", command="embed") == 2
    assert batch(parts, "--out", other, "--nearest", "gone.mp4", command="embed") == 2


@pytest.mark.slow
def test_a_killed_driver_goes_on(parts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(150):
        os.link(parts / "clips" / "0.mp4", folder / f"{number}.mp4")
    words = [str(parts / "model"), str(folder), "--device", "cpu"]
    command = [sys.executable, "-m", "video_mobile_former", "batch", *words]
    out, serial = tmp_path / "o.jsonl", tmp_path / "serial.jsonl"
    journal = tmp_path / "o.jsonl.progress.jsonl"
    driver = subprocess.Popen([*command, "--out", str(out), "--num_workers", "1"])
    try:
        while not journal.exists() or journal.read_bytes().count(b"\n") < 10:
            assert driver.poll() is None
            time.sleep(0.02)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    done = journal.read_bytes().count(b"\n") - 1
    assert 9 <= done < 150
    assert not out.exists()
    going_on = [*command, "--out", str(out), "--num_workers", "2"]
    said = subprocess.run(going_on, check=True, capture_output=True, text=True).stderr
    assert f"{done} of 150 files were done before" in said
    assert main(["batch", *words, "--out", str(serial), "--num_workers", "0"]) == 0
    assert out.read_bytes() == serial.read_bytes()

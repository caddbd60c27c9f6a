"""Batch runs in actors of a real Ray cluster on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from deadly_model import deadly_job
from mobile_models import small_model
from video_files import write_video
from video_mobile_former.cli.main import main
from video_mobile_former.errors import UserError
from video_mobile_former.inference.batch.local import LocalEngine
from video_mobile_former.inference.batch.run import run_batch
from video_mobile_former.inference.batch.sources import batch_items

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint and a folder of sixty videos, one of them broken."""
    folder = tmp_path_factory.mktemp("ray")
    small_model().save_pretrained(folder / "model")
    first = write_video(folder / "first.mp4", 12, fps=10)
    (folder / "clips").mkdir()
    for number in range(60):
        os.link(first, folder / "clips" / f"{number}.mp4")
    (folder / "clips" / "broken.mp4").write_text("no video")
    return folder


def actors_with(mark: str) -> list[int]:
    """Process numbers of the actors that inherited a mark of ours in their environment."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            ours = mark.encode() in (process / "environ").read_bytes()
            if ours and b"ray::MapWorker" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except (OSError, ValueError):
            continue
    return found


def test_actors_and_the_driver_are_killed_and_no_row_is_lost(parts: Path, tmp_path: Path) -> None:
    words = [str(parts / "model"), str(parts / "clips"), "--device", "cpu"]
    command = [sys.executable, "-m", "video_mobile_former", "batch", *words]
    command += ["--engine", "ray", "--num_workers", "2", "--json"]
    out, serial, mark = tmp_path / "o.jsonl", tmp_path / "serial.jsonl", uuid.uuid4().hex
    journal = tmp_path / "o.jsonl.progress.jsonl"

    def rows() -> int:
        return journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0

    driver = subprocess.Popen(
        [*command, "--out", str(out)],
        env={**os.environ, "VMF_TEST_MARK": mark},
        stdout=subprocess.DEVNULL,
    )
    killed = 0
    try:
        while rows() < 4:
            assert driver.poll() is None
            time.sleep(0.02)
        for number in actors_with(mark)[:1]:
            os.kill(number, signal.SIGKILL)
            killed += 1
        before = rows()
        while rows() < before + 4:
            assert driver.poll() is None
            time.sleep(0.02)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert killed == 1
    done = rows()
    assert 8 <= done < 61
    going_on = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True)
    assert going_on.returncode == 1, going_on.stderr  # of the broken file
    assert f"{done} of 61 files were done before" in going_on.stderr
    assert going_on.stderr.count("\n") <= 4, going_on.stderr
    assert '"engine": "ray"' in going_on.stdout
    assert main(["batch", *words, "--out", str(serial), "--num_workers", "0"]) == 1
    assert out.read_bytes() == serial.read_bytes()


def test_a_video_that_ends_its_actor_twice_is_a_row(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from video_mobile_former.integrations.ray_data import RayEngine

    monkeypatch.setattr(ray, "init", _unreachable)
    far = RayEngine(address="far:1")
    with pytest.raises(UserError, match="far:1 cannot be reached"):
        _ = far.cores
    monkeypatch.undo()
    white = [np.full((64, 96, 3), 255, np.uint8)] * 6
    items = batch_items(
        [
            parts / "clips" / "0.mp4",
            write_video(tmp_path / "white.mp4", white, fps=10),
            parts / "clips" / "1.mp4",
        ]
    )
    helpers = str(Path(__file__).parents[1] / "helpers")
    monkeypatch.setenv("PYTHONPATH", f"{helpers}:{os.environ.get('PYTHONPATH', '')}")
    tame = deadly_job(parts / "model", tmp_path / "tame", 0)
    run_batch(tame, items, tmp_path / "serial.jsonl", LocalEngine(0))
    deadly = deadly_job(parts / "model", tmp_path / "marks", 99)
    result = run_batch(deadly, items, tmp_path / "o.jsonl", RayEngine(1))
    rows = (tmp_path / "o.jsonl").read_text().splitlines()
    wanted = (tmp_path / "serial.jsonl").read_text().splitlines()
    assert (rows[0], rows[2]) == (wanted[0], wanted[2])
    assert "2 times" in rows[1]
    assert (result.num_failed, len(list((tmp_path / "marks").iterdir()))) == (1, 2)
    assert not ray.is_initialized()


def _unreachable(**options: object) -> None:
    raise ConnectionError("nobody answers")

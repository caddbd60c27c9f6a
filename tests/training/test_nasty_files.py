"""Training on data some of whose files cannot be read, or end the process that reads them."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from nasty_clips import NastyDataset
from video_mobile_former.data.index.quarantine import read_quarantine
from video_mobile_former.training.clips import file_clips
from video_mobile_former.training.fit import fit
from video_mobile_former.training.loop import Training
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.run.interrupt import TrainingInterrupted

Make = Callable[..., Recipe]
Read = Callable[[Any], list[dict[str, str]]]


@pytest.fixture
def nasty_csv(clips_csv: Path, tmp_path: Path) -> Path:
    """The list of the small data set with four files that cannot be read."""
    with clips_csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["path"] = str(clips_csv.parent / row["path"])
    train = [row for row in rows if row["split"] == "train"]
    for name, row in zip(("crash", "hang", "slow", "text"), train[::6], strict=True):
        path = tmp_path / f"{name}.mp4"
        if name == "text":
            path.write_text("no video " * 100)
        else:
            path.symlink_to(row["path"])
        row["path"] = path.name
    out = tmp_path / "clips.csv"
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return out


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sends signals")
def test_a_run_over_files_that_stop_processes_finishes_and_resumes_to_the_same_curve(
    small_recipe: Make,
    nasty_csv: Path,
    read_metrics: Read,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(file_clips, "ClipDataset", NastyDataset)
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.3,))
    changes = {
        "data__path": str(nasty_csv),
        "data__num_workers": 1,
        "decode__timeout_seconds": 0.7,
        "train__checkpoint_every_n_steps": 1,
    }
    whole = small_recipe(**changes)
    fit(whole)
    said = capfd.readouterr().err
    listed = {
        "crash.mp4": "crashed the decoder (SIGSEGV)",
        "hang.mp4": "took longer than 0.7 s",
        "slow.mp4": "took longer than 0.7 s",
        "text.mp4": "not a video file but text",
    }
    assert read_quarantine(Path(str(whole.out), "quarantine.txt")) == listed
    assert "epoch 1: 4 clips could not be read and were excluded: " in said
    for name in ("crash", "hang"):
        assert f"{name}.mp4: ended the process that read it and is excluded" in said
    for name in ("slow", "text"):
        assert f"{name}.mp4: failed 2 times and is excluded" in said
    rows = read_metrics(whole.out)
    assert [row["failed"] for row in rows if row["row"] == "train"] == ["4", "4"]

    # The same, interrupted after the first batch of the second epoch.
    step = Training.step
    broken = small_recipe(out=f"{whole.out}-broken", **changes)

    def stop_there(self: Training, batch: Any) -> Any:
        self.stop.requested = self.stop.requested or self.position.step == 3
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", stop_there)
        with pytest.raises(TrainingInterrupted):
            fit(broken)
    before = read_quarantine(Path(str(broken.out), "quarantine.txt"))
    assert {"crash.mp4", "hang.mp4"} <= before.keys()
    capfd.readouterr()
    fit(broken)
    assert "ended the process" not in capfd.readouterr().err  # not read again
    assert read_metrics(broken.out) == rows
    # Failures are counted anew, so a file that failed once before and once after is still read.
    after = read_quarantine(Path(str(broken.out), "quarantine.txt"))
    assert before.keys() <= after.keys() <= listed.keys()

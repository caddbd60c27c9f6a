"""A run goes on with the clips it began with, whatever a later check of the data says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from video_mobile_former.data.index.quarantine import (
    check_source,
    default_quarantine,
    read_quarantine,
    write_quarantine,
)
from video_mobile_former.training.build import build_indexes
from video_mobile_former.training.fit import fit
from video_mobile_former.training.loop import Training
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.run.interrupt import TrainingInterrupted
from video_mobile_former.training.run.run_folder import RunFolder

Make = Callable[..., Recipe]


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False])
def test_a_run_keeps_what_it_excluded(
    first: bool,
    small_recipe: Make,
    clips_csv: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    train, val = build_indexes(small_recipe())
    assert val is not None
    names = [clip.name for clip in (*train.clips[:3], val.clips[0])]
    checked = default_quarantine(clips_csv)
    if first:
        write_quarantine(checked, dict.fromkeys(names[::3], "cut off"), check_source(clips_csv))
    recipe = small_recipe(train__epochs=1)
    run = RunFolder(str(recipe.out))
    step = Training.step

    def stop(self: Training, batch: Any) -> Any:
        self.stop.requested = True
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", stop)
        with pytest.raises(TrainingInterrupted):
            fit(recipe)
    assert run.excluded.exists() == first
    if first:
        assert read_quarantine(run.excluded) == dict.fromkeys(names[::3], "cut off")

    # The data is checked again, and more is found.
    write_quarantine(checked, dict.fromkeys(names, "damaged"), check_source(clips_csv))
    capsys.readouterr()
    fit(recipe)
    said = capsys.readouterr().err
    assert "resuming at" in said
    assert (f"2 of 32 clips are excluded by {run.excluded}" in said) == first
    assert str(checked) not in said

    # A new run goes by the new list.
    fit(small_recipe(train__epochs=1, overwrite=True))
    assert read_quarantine(run.excluded) == dict.fromkeys(names, "damaged")
    assert f"4 of 32 clips are excluded by {checked}" in capsys.readouterr().err

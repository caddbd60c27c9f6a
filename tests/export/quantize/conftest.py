"""Clips to calibrate on, some of which cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from procedural_files import write_clips
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex, load_index


@pytest.fixture(scope="session")
def procedural_index(tmp_path_factory: pytest.TempPathFactory) -> ClipIndex:
    """16 procedural clips for training and 8 for testing."""
    folder = tmp_path_factory.mktemp("procedural")
    table = write_clips(folder / "clips", {"train": 2, "test": 1}, size=32, num_frames=16)
    return load_index(table)


@pytest.fixture
def with_broken(procedural_index: ClipIndex, tmp_path: Path):
    """Makes an index of ``good`` training clips and ``broken`` ones beside them."""

    def make(good: int, broken: int) -> ClipIndex:
        clips = list(procedural_index.split("train").clips)[:good]
        for i in range(broken):
            path = tmp_path / f"broken{i}.mp4"
            path.write_text("no video, whatever its name says\n")
            clips.append(Clip(path=str(path), labels=(0,), split="train", name=path.name))
        return ClipIndex(clips, procedural_index.class_names, "clips.csv")

    return make

"""One service for the tests that only ask it, and what they send."""

from __future__ import annotations

import pytest

from mobile_models import small_model
from procedural_files import write_clips
from running_service import running_service
from small_streams import small_stream


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """Two checkpoints and a folder of eight videos of 4.9 s."""
    folder = tmp_path_factory.mktemp("serve")
    write_clips(folder / "clips", {"test": 1}, num_frames=60)
    model = small_model()
    model.class_names = ("a", "b", "c", "background")
    model.save_pretrained(folder / "small")
    small_stream().save_pretrained(folder / "stream")
    return folder


@pytest.fixture(scope="session")
def videos(parts):
    return sorted((parts / "clips").rglob("*.mp4"))


@pytest.fixture(scope="session")
def service(parts, tmp_path_factory):
    """A service of both models that tests leave as it is."""
    with running_service(
        tmp_path_factory.mktemp("uploads"),
        str(parts / "small"),
        f"live={parts / 'stream'}",
        "--max_mb", "4", "--max_seconds", "30", "--max_pixels", "1000000",
        "--max_frames", "2000", "--max_views", "3", "--idle_seconds", "3", "--workers", "2",
        "--keep_seconds", "300", "--streams", "2",
    ) as found:  # fmt: skip
        yield found

"""Mutated clips, and absurd headers: frames or one clear line, in bounded time."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from video_files import write_video
from video_mobile_former.data.limits import Limits, limited
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import VideoError

CONTAINERS = {
    ".mp4": {"codec": "libx264"},
    ".mkv": {"codec": "libx264"},
    ".webm": {"codec": "libvpx"},
    ".avi": {"codec": "mpeg4"},
    ".ts": {"codec": "mpeg2video"},
}
SECONDS = 20.0


def mutated(content: bytes, generator: np.random.Generator) -> bytes:
    """Noise, or bytes cut out, doubled or set to zero, at one to eight places."""
    data = bytearray(content)
    for _ in range(generator.integers(1, 9)):
        place, length = int(generator.integers(len(data))), int(generator.integers(1, 200))
        piece = bytes(data[place : place + length])
        replacements = (generator.bytes(len(piece)), b"", piece * 2, bytes(len(piece)))
        data[place : place + length] = replacements[generator.integers(4)]
    return bytes(data)


def outcome(path: Path) -> str:
    """Read some frames within limits: what is wrong with the file, empty for frames."""
    start = time.monotonic()
    try:
        with limited(str(path), Limits(seconds=SECONDS)), VideoReader(path) as reader:
            times = reader.timestamps()
            which = times[:: max(1, len(times) // 4)]
            assert reader.frames(which, 32).shape[:2] == (len(which), 3)
            assert (np.diff(times) > 0).all()
            return ""
    except VideoError as error:
        return error.reason
    finally:
        assert time.monotonic() - start < 2 * SECONDS


def run(tmp_path: Path, suffix: str, count: int) -> None:
    sound = write_video(tmp_path / f"sound{suffix}", 40, **CONTAINERS[suffix])  # type: ignore[arg-type]
    content = sound.read_bytes()
    generator = np.random.default_rng(len(suffix) + ord(suffix[-1]))
    path = tmp_path / f"mutated{suffix}"
    reasons = []
    for _ in range(count):
        path.write_bytes(mutated(content, generator))
        reasons.append(outcome(path))
    assert all("\n" not in reason and "Errno" not in reason for reason in reasons)
    assert any(not reason for reason in reasons) or suffix == ".mp4"


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_mutated_clips(tmp_path: Path, suffix: str):
    run(tmp_path, suffix, 12)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", CONTAINERS)
def test_many_mutated_clips(tmp_path: Path, suffix: str):
    run(tmp_path, suffix, 200)


def test_absurd_headers(shared_data: Path):
    for path in sorted((shared_data / "hostile" / "headers").iterdir()):
        assert "\n" not in outcome(path)

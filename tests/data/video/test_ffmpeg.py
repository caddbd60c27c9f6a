"""The reader against an independent decoder: the commands ffmpeg and ffprobe, where they are."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from video_files import CAN_WRITE_ROTATION, write_video

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"

pytestmark = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")),
    reason="ffmpeg and ffprobe are not installed; test_decode.py compares with PyAV itself",
)


@pytest.fixture(scope="module")
def facts() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location(
            "decode_facts", BENCHMARKS / "decode_facts.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["decode_facts"] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


def check(facts: ModuleType, path: Path, *, most: int = 0, mean: float = 0.0) -> None:
    found = facts.compare(path)
    assert not found.error, found
    assert found.frames == found.frames_of_ffmpeg, found
    assert found.largest_time_difference_ms is not None, found
    assert found.largest_time_difference_ms <= 0.001, found
    assert found.size_of_ffmpeg == f"{found.width}x{found.height}", found
    assert found.largest_pixel_difference is not None, found
    assert found.largest_pixel_difference <= most, found
    assert found.mean_pixel_difference <= mean, found


@pytest.mark.slow
def test_samples(facts: ModuleType, shared_data: Path):
    checked = 0
    for path in sorted((shared_data / "samples").iterdir()):
        if path.name == "sine_mono_s16.wav":
            assert facts.compare(path).error
        elif path.name == "corrupted.mp4":  # one packet does not decode, and the frame before stays
            found = facts.compare(path)
            assert (found.error, found.frames, found.frames_of_ffmpeg) == ("", 50, 49)
        elif path.name == "h264_10bits.mp4":
            # Colours at twice the spacing of brightness: scalers place them differently.
            check(facts, path, most=255, mean=4.0)
            checked += 1
        elif path.name == "test.mp4":
            # Pixels that are not square: two commands that widen the picture, of other versions.
            check(facts, path, most=255, mean=4.0)
            checked += 1
        else:
            check(facts, path)
            checked += 1
    assert checked == 14


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("b_frames.mp4", {"options": {"x264-params": "bframes=4:b-pyramid=strict"}}),
    ("open_gop.ts", {"options": {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3"}}),
    ("vp9.webm", {"codec": "libvpx-vp9", "gop": 60}),
    ("mpeg2.ts", {"codec": "mpeg2video", "options": {"bf": "2"}}),
    ("late.ts", {"pts": [900 + i for i in range(40)]}),
    ("bt709.mp4", {"color": {"colorspace": 1}}),
    ("full_range.mp4", {"pix_fmt": "yuvj420p"}),
    ("hevc.mov", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
    ("moving.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), KINDS, ids=[name for name, _ in KINDS])
def test_generated_files(facts: ModuleType, tmp_path: Path, name: str, kind: dict[str, Any]):
    check(facts, write_video(tmp_path / name, 40, **kind))


def test_variable_frame_rate(facts: ModuleType, tmp_path: Path):
    pts = np.cumsum(np.random.default_rng(3).integers(1, 200, 40)).tolist()
    check(
        facts,
        write_video(tmp_path / "a.webm", 40, codec="libvpx", pts=pts, time_base=Fraction(1, 1000)),
    )


def remade(source: Path, target: Path, *options: str) -> Path:
    command = ["ffmpeg", "-v", "error", *options, "-i", str(source), "-c", "copy", str(target)]
    subprocess.run(command, check=True)
    return target


@pytest.mark.slow
@pytest.mark.parametrize("bframes", [0, 3])
@pytest.mark.parametrize("offset", [0, 77])
def test_a_stream_cut_out_of_a_longer_one(
    facts: ModuleType, tmp_path: Path, bframes: int, offset: int
):
    """Pictures that refer to what was cut away are no frames."""
    options = {"x264-params": f"open-gop=1:keyint=12:min-keyint=12:bframes={bframes}"}
    content = write_video(tmp_path / "a.ts", 60, options=options).read_bytes()
    path = tmp_path / "cut.ts"
    path.write_bytes(content[len(content) // 3 // 188 * 188 + offset :])
    found = facts.compare(path)
    assert not found.error
    assert found.frames == found.frames_of_ffmpeg > 20
    assert found.largest_pixel_difference == 0


@pytest.mark.slow
def test_an_edit_list_and_a_clock_before_zero(facts: ModuleType, tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 60)
    check(facts, remade(path, tmp_path / "edit.mp4", "-ss", "0.7"))
    check(facts, remade(path, tmp_path / "early.mp4", "-itsoffset", "-0.5"))


@pytest.mark.slow
@pytest.mark.skipif(not CAN_WRITE_ROTATION, reason="this PyAV cannot write how a picture is turned")
@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation(facts: ModuleType, tmp_path: Path, rotation: int):
    check(facts, write_video(tmp_path / "a.mp4", 20, rotation=rotation), most=255, mean=3.0)


CONTAINERS: list[tuple[str, str, dict[str, Any]]] = [
    ("mp4", "libx264", {}),
    ("mov", "libx265", {"options": {"x265-params": "log-level=none"}}),
    ("mkv", "libx264", {"options": {"x264-params": "bframes=3:open-gop=1"}}),
    ("webm", "libvpx-vp9", {"gop": 30}),
    ("avi", "mjpeg", {"pix_fmt": "yuvj420p"}),
    ("flv", "libx264", {}),
    ("ts", "libx264", {"options": {"x264-params": "bframes=2"}}),
    ("mpg", "mpeg2video", {"options": {"bf": "2"}}),
    ("nut", "mpeg4", {"options": {"bf": "2"}}),
    ("3gp", "mpeg4", {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "codec", "kind"), CONTAINERS, ids=[c[0] for c in CONTAINERS])
@pytest.mark.parametrize("which", range(5))
def test_a_sweep_of_containers(
    facts: ModuleType, tmp_path: Path, ending: str, codec: str, kind: dict[str, Any], which: int
):
    """Fifty files: counts and times as the ffmpeg command gives them, and every pixel."""
    frames, fps, gop = ((40, 25, 12), (61, 30, 30), (90, 24, 250), (25, 50, 5), (7, 25, 1))[which]
    options = {"gop": gop, **kind}
    check(facts, write_video(tmp_path / f"a.{ending}", frames, fps=fps, codec=codec, **options))

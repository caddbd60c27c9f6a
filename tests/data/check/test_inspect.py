"""What is found out about single files, good and broken."""

from __future__ import annotations

import base64
import json
import os
import sys
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damage import write_sound, write_still
from video_files import AV_MAJOR, CAN_WRITE_ROTATION, NO_ROTATION, numbered_frame, write_video
from video_mobile_former.data.check.content import (
    GRID,
    MOMENTS,
    brightness_grid,
    moments,
    unpack_signature,
)
from video_mobile_former.data.check.facts import FileFacts, FileTask, file_key
from video_mobile_former.data.check.file_rules import odd_name, problems_of
from video_mobile_former.data.check.inspect import inspect_file
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.video.picture import jpeg


def inspect(path: Path, **kwargs) -> FileFacts:
    return inspect_file(FileTask(file_key(str(path)), **kwargs), lambda: None)


def kinds(path: Path, clip: Clip | None = None, **kwargs) -> dict[str, str]:
    """Text of each problem by kind."""
    clip = clip or Clip(str(path), (0,), name=path.name)
    return {one.kind: one.text for one in problems_of(clip, inspect(path, **kwargs))}


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_a_good_file(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 20, fps=10)
    facts = inspect(path, thumbnail=True)
    assert (facts.fault, facts.codec, facts.bits) == ("", "h264", 8)
    assert (facts.width, facts.height, facts.short_side) == (96, 64, 64)
    assert (facts.header_frames, facts.frames, facts.decoded, facts.corrupt) == (20, 20, 20, 0)
    assert facts.duration_seconds == pytest.approx(2.0)
    assert facts.frame_rate == pytest.approx(10.0)
    assert facts.irregular_steps == 0
    assert facts.key.size == path.stat().st_size
    assert base64.b64decode(facts.thumbnail).startswith(b"\xff\xd8")
    assert kinds(path) == {}
    assert FileFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_quick_reads_one_frame_and_finds_the_same_otherwise(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 20)
    quick, full = inspect(path, full=False, thumbnail=True), inspect(path, thumbnail=True)
    assert quick.decoded == 1
    assert not quick.signature
    same = ("frames", "width", "height", "sha256", "duration_seconds", "thumbnail")
    assert all(getattr(quick, name) == getattr(full, name) for name in same)


def test_facts_of_another_version_are_not_taken(tmp_path: Path):
    value = inspect(write_video(tmp_path / "a.mp4", 3)).to_json()
    assert FileFacts.from_json(value) is not None
    assert FileFacts.from_json({**value, "format": 0}) is None
    assert FileFacts.from_json({**value, "new": 1}) is None


def test_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("video_mobile_former.data.check.inspect._TICK_SECONDS", 0)
    ticks: list[int] = []
    task = FileTask(file_key(str(write_video(tmp_path / "a.mp4", 20))))
    inspect_file(task, lambda: ticks.append(1))
    assert len(ticks) >= 20


# Files that give no clip


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi", "a.mov"])
@pytest.mark.parametrize("share", [0.9, 0.4])
def test_truncated(tmp_path: Path, name: str, share: float):
    codec = "libvpx" if name.endswith("webm") else "libx264"
    path = write_video(tmp_path / name, 120, gop=30, codec=codec, options={"crf": "10"})
    assert kinds(path) == {}
    assert set(kinds(cut(path, share))) == {"truncated"}


def test_truncated_with_its_index_in_front(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 60, container_options={"movflags": "faststart"})
    text = kinds(cut(path, 0.6))["truncated"]
    assert "of 60 frames are there" in text


@pytest.mark.slow
def test_an_unreadable_packet(shared_data: Path):
    facts = inspect(shared_data / "samples" / "corrupted.mp4", thumbnail=True)
    assert not facts.fault
    assert (facts.unreadable, facts.decoded, facts.frames) == (1, 49, 50)
    assert facts.thumbnail
    assert (
        "1 cannot be decoded"
        in kinds(shared_data / "samples" / "corrupted.mp4")["damaged pictures"]
    )


def test_odd_files(shared_data: Path):
    odd = shared_data / "odd"
    for name, word in (
        ("bframes_without_ctts.mp4", "another order"),
        ("one_duplicate_time.mkv", "1 of 60 time stamps"),
        ("joined_clocks_overlap.ts", "clock starts anew"),
        ("header_longer_than_pictures.webm", "header says 9.0 s"),
    ):
        assert word in kinds(odd / name)["time stamps"]
    assert "1.78 times as wide" in kinds(odd / "pixels_16_9.mp4")["pixel shape"]
    assert "damaged pictures" in kinds(odd / "one_bad_packet.webm")
    assert "fewer frames" in kinds(odd / "avi_with_empty_pictures.avi")
    assert "time stamps" not in kinds(odd / "one_duplicate_time_reference.mkv")


def test_frames_that_the_decoder_patches(tmp_path: Path):
    # Looking ahead, x264 does not write the same bytes each time, and what is damaged differs.
    fixed = {"crf": "5", "preset": "ultrafast"}
    path = write_video(tmp_path / "a.mp4", 60, gop=60, options=fixed)
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 3, len(data) * 2 // 3, 997):
        data[place] ^= 0xFF
    path.write_bytes(data)
    assert "damaged pictures" in kinds(path)


def test_no_bytes(tmp_path: Path):
    (tmp_path / "a.mp4").touch()
    assert kinds(tmp_path / "a.mp4") == {"empty file": "the file is empty"}


def test_zero_bytes(tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(bytes(50_000))
    assert kinds(tmp_path / "a.mp4") == {"unreadable": "it starts with nothing but zero bytes"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"hello, this is text\n" * 20, "not a video but text"),
        (b"\n<!DOCTYPE html><html>404 not found</html>", "not a video but a web page"),
        (b"%PDF-1.4" + bytes(range(256)), "not a video but a PDF document"),
        (b"PK\x03\x04" + bytes(200), "not a video but a ZIP archive"),
        (base64.b64decode(jpeg(np.zeros((48, 64, 3), np.uint8))), "not a video but a JPEG picture"),
    ],
)
def test_something_else_under_the_name_of_a_video(tmp_path: Path, content: bytes, text: str):
    (tmp_path / "a.mp4").write_bytes(content)
    assert kinds(tmp_path / "a.mp4") == {"not a video": text}


def test_noise(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, 30_000, dtype=np.uint8)
    (tmp_path / "a.mp4").write_bytes(noise.tobytes())
    assert set(kinds(tmp_path / "a.mp4")) == {"unreadable"}


def test_only_sound(tmp_path: Path):
    write_sound(tmp_path / "a.mp4")
    with wave.open(str(tmp_path / "b.mp4"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(4000))
    assert set(kinds(tmp_path / "a.mp4")) == {"no video stream"}
    assert set(kinds(tmp_path / "b.mp4")) == {"no video stream"}


def test_a_single_frame(tmp_path: Path):
    write_still(tmp_path / "a.mp4")
    assert kinds(tmp_path / "a.mp4") == {"zero duration": "a single frame"}


def test_gone_and_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert kinds(tmp_path / "gone.mp4") == {"missing": "no such file"}
    path = write_video(tmp_path / "a.mp4", 3)
    path.chmod(0)
    if os.geteuid() == 0:  # whom no permission stops
        really_open = Path.open

        def refuse(file: Path, *args: Any, **kwargs: Any) -> Any:
            if file == path:
                raise PermissionError(13, "Permission denied")
            return really_open(file, *args, **kwargs)

        monkeypatch.setattr(Path, "open", refuse)
    assert kinds(path) == {"no permission": "no permission to read it"}


def test_a_video_that_is_passed_over_for_its_name(tmp_path: Path):
    video = write_video(tmp_path / "a.mp4", 3).rename(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text("notes\n")
    write_sound(tmp_path / "c.mp3")
    (tmp_path / "d.jpg").write_bytes(base64.b64decode(jpeg(numbered_frame(3))))
    found = {
        path.name: inspect(path, full=False, sniff=True).fault
        for path in (video, *(tmp_path / n for n in ("b.txt", "c.mp3", "d.jpg", "gone.txt")))
    }
    assert found.pop("a.txt") == ""
    assert set(found.values()) == {"not a video", "cannot be read"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
def test_more_memory_than_allowed(tmp_path: Path):
    big = [np.zeros((1088, 1920, 3), np.uint8)] * 2
    path = write_video(tmp_path / "a.mp4", big)
    facts = inspect(path, memory_limit_mb=4)
    assert facts.fault == "too large"
    assert "needs more than 4 MB of memory" in facts.reason
    assert inspect(path, memory_limit_mb=500).fault == ""


def test_part_of_an_archive(tmp_path: Path):
    video = write_video(tmp_path / "a.mp4", 12).read_bytes()
    (tmp_path / "shard.tar").write_bytes(b"x" * 512 + video + b"y" * 512)
    key = file_key(str(tmp_path / "shard.tar"), 512, len(video))
    facts = inspect_file(FileTask(key, in_archive=True), lambda: None)
    assert (facts.fault, facts.decoded) == ("", 12)
    assert facts.sha256 == inspect(tmp_path / "a.mp4").sha256
    beyond = file_key(str(tmp_path / "shard.tar"), 512, len(video) + 9999)
    assert inspect_file(FileTask(beyond, in_archive=True), lambda: None).fault == "cannot be read"


# Folders of pictures


def write_pictures(folder: Path, count: int = 12, first: int = 1) -> Path:
    folder.mkdir()
    for i in range(count):
        content = base64.b64decode(jpeg(numbered_frame(i)))
        (folder / f"img_{first + i:05d}.jpg").write_bytes(content)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.mark.parametrize("full", [True, False])
def test_a_folder_of_pictures(tmp_path: Path, full: bool):
    folder = write_pictures(tmp_path / "a")
    facts = inspect(folder, full=full, thumbnail=True)
    assert (facts.fault, facts.codec, facts.frames, facts.header_frames) == ("", "mjpeg", 12, 12)
    assert (facts.width, facts.height) == (96, 64)
    assert facts.duration_seconds == pytest.approx(0.4)
    assert facts.decoded == (12 if full else 2)
    assert bool(facts.signature) == full
    assert facts.thumbnail
    assert kinds(folder, full=full) == {}


def test_folders_are_compared_by_their_pictures(tmp_path: Path):
    one = inspect(write_pictures(tmp_path / "a"))
    same = inspect(write_pictures(tmp_path / "b", first=100))
    assert one.sha256 == same.sha256
    (tmp_path / "b" / "img_00105.jpg").unlink()
    assert inspect(tmp_path / "b").sha256 != one.sha256


def test_gaps_and_damage_in_a_folder(tmp_path: Path):
    folder = write_pictures(tmp_path / "a")
    (folder / "img_00005.jpg").unlink()
    assert kinds(folder) == {"fewer frames": "12 announced, 11 decoded"}
    cut(folder / "img_00009.jpg", 0.5)
    text = "img_00009.jpg: the picture is damaged or cut off"
    assert kinds(folder) == {"truncated": text}
    assert inspect(folder).decoded == 7
    for path in folder.glob("*.jpg"):
        path.unlink()
    assert set(kinds(folder)) == {"unreadable"}


def test_pictures_of_several_sizes(tmp_path: Path):
    folder = write_pictures(tmp_path / "a")
    large = jpeg(numbered_frame(5, 128, 96))
    (folder / "img_00005.jpg").write_bytes(base64.b64decode(large))
    assert kinds(folder) == {"size changes": "2 sizes"}


# Readable files with something odd


def test_variable_frame_rate(tmp_path: Path):
    steps = [1, 1, 1, 5, 1, 1, 9, 1, 1, 1, 1, 7, 1, 1, 1]
    pts = np.concatenate([[0], np.cumsum(steps)]).tolist()
    path = write_video(tmp_path / "a.mp4", 16, pts=pts, time_base=Fraction(1, 30))
    assert kinds(path) == {
        "variable frame rate": "3 of 15 steps differ from the usual 33 ms, the longest is 0.30 s"
    }


def test_one_dropped_frame_and_a_coarse_clock_are_fine(tmp_path: Path):
    pts = [i for i in range(31) if i != 7]
    assert kinds(write_video(tmp_path / "a.mp4", 30, pts=pts)) == {}
    assert kinds(write_video(tmp_path / "b.mkv", 30)) == {}  # counts in milliseconds


@pytest.mark.skipif(not CAN_WRITE_ROTATION, reason=NO_ROTATION)
@pytest.mark.parametrize("full", [True, False])
def test_rotated(tmp_path: Path, full: bool):
    path = write_video(tmp_path / "a.mp4", 6, rotation=90)
    facts = inspect(path, full=full)
    assert (facts.width, facts.height) == (64, 96)
    assert kinds(path, full=full) == {"rotated": "turned by 90°"}


def test_ten_bits(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 6, pix_fmt="yuv420p10le")
    assert kinds(path) == {"more than 8 bits": "10 bits, yuv420p10le"}


@pytest.mark.skipif(AV_MAJOR < 15, reason="this PyAV cannot write colour characteristics")
@pytest.mark.parametrize(("number", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range(tmp_path: Path, number: int, name: str):
    color = {"color_trc": number, "color_primaries": 9}
    path = write_video(tmp_path / "a.mp4", 6, color=color)
    assert kinds(path)["high dynamic range"] == f"{name}, BT.2020 colours"


def test_another_container_than_the_name_says(tmp_path: Path):
    path = write_video(tmp_path / "a.mkv", 6).rename(tmp_path / "a.mp4")
    text = "its content is matroska, but its name ends in .mp4"
    assert kinds(path) == {"wrong extension": text}
    path = path.rename(tmp_path / "a.txt")
    text = "a matroska video, but its name ends in .txt"
    assert kinds(path) == {"wrong extension": text}


@pytest.mark.parametrize(("fps", "kind"), [(1000, "absurd duration"), (100, None)])
def test_absurd_frame_rates(tmp_path: Path, fps: int, kind: str | None):
    assert set(kinds(write_video(tmp_path / "a.mp4", 12, fps=fps))) == ({kind} if kind else set())


def test_absurd_length(tmp_path: Path):
    pts = [0, 1, 2, 3, 60 * 60 * 13]
    path = write_video(tmp_path / "a.mp4", 5, pts=pts, time_base=Fraction(1))
    assert kinds(path)["absurd duration"] == "13.0 hours"


def test_blank_and_still(tmp_path: Path):
    gray = [np.full((64, 96, 3), 100, np.uint8)] * 8
    assert set(kinds(write_video(tmp_path / "a.mp4", gray))) == {"blank"}
    assert set(
        kinds(write_video(tmp_path / "b.mp4", [numbered_frame(5)] * 8, options={"crf": "4"}))
    ) == {"still"}


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (1.95, None, None),
        (2.5, 3.0, "starts at 2.5 s, but the last frame is at 1.95 s"),
        (None, 0.0, "ends at 0 s, before the first frame at 0.00 s"),
        (0.5, 99.0, None),
    ],
)
def test_annotated_times(tmp_path: Path, start: float | None, end: float | None, text: str | None):
    path = write_video(tmp_path / "a.mp4", 40, fps=20)
    clip = Clip(str(path), (0,), name="a.mp4", start_seconds=start, end_seconds=end)
    assert kinds(path, clip) == ({"empty part": text} if text else {})


@pytest.mark.parametrize(
    ("name", "odd"),
    [("ä b/ünder.mp4", False), (os.fsdecode(b"d\xe9j\xe0.mp4"), True), ("a\x1b[31m.mp4", True)],
)
def test_odd_names(name: str, odd: bool):
    assert bool(odd_name(name)) == odd


# Content


def test_moments_are_inside_and_rise():
    for frames in range(1, 40):
        places = moments(frames)
        assert len(places) == MOMENTS
        assert (np.diff(places) >= 0).all()
        assert places[0] >= 0
        assert places[-1] < frames


@pytest.mark.parametrize("size", [(8, 8), (64, 96), (61, 37), (3, 500), (1, 1)])
def test_brightness_of_cells(size: tuple[int, int]):
    assert (brightness_grid(np.full((*size, 3), 77, np.uint8)) == 77).all()
    ramp = np.broadcast_to(np.linspace(0, 255, size[1])[None, :, None], (*size, 3)).astype(np.uint8)
    grid = brightness_grid(ramp).astype(int)
    assert grid.shape == (GRID, GRID)
    assert (np.diff(grid, axis=1) >= 0).all()
    assert (grid == grid[0]).all()


def test_cells_are_means():
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[2:4, 6:8] = 200
    grid = brightness_grid(picture)
    assert grid[1, 3] == 200
    assert grid.sum() == 200


def test_a_signature_survives_encoding_and_tells_clips_apart(tmp_path: Path):
    one = unpack_signature(inspect(write_video(tmp_path / "a.mp4", 24)).signature).astype(int)
    same = write_video(tmp_path / "b.mkv", 24, codec="mpeg4", options={"b": "4000000"})
    other = write_video(tmp_path / "c.mp4", [numbered_frame(i + 100) for i in range(24)])
    assert np.abs(unpack_signature(inspect(same).signature) - one).max() <= 9
    assert np.abs(unpack_signature(inspect(other).signature) - one).max() > 50

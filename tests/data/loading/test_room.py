"""Batches and workers are as many as there is room for, or the shortage is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from video_files import write_video
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.index import Clip, ClipIndex
from video_mobile_former.data.loading import room
from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.loading.loader import make_loader
from video_mobile_former.errors import UserError

MB = 2**20


def shortage(monkeypatch: pytest.MonkeyPatch, megabytes: float, handles: float = 1e9) -> None:
    monkeypatch.setattr(room, "shared_memory", lambda: megabytes * MB)
    monkeypatch.setattr(room, "file_handles", lambda wanted: handles)


@pytest.mark.parametrize(
    ("megabytes", "expected"),
    [(1000, (8, 2)), (64, (4, 1)), (30, (1, 1)), (1e9, (8, 2))],
)
def test_workers_and_batches_by_shared_memory(
    monkeypatch: pytest.MonkeyPatch, megabytes: float, expected: tuple[int, int]
):
    shortage(monkeypatch, megabytes)
    workers, ahead = room.fitting(8, 11 * MB)
    assert (workers, ahead) == expected
    assert (workers * ahead + 1) * 11 <= megabytes


def test_processes_share_the_room(monkeypatch: pytest.MonkeyPatch):
    shortage(monkeypatch, 200)
    alone, shared = room.fitting(8, 10 * MB), room.fitting(8, 10 * MB, processes=4)
    assert alone[0] * alone[1] > shared[0] * shared[1]


def test_fewer_workers_are_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    shortage(monkeypatch, 64)
    room.fitting(8, 11 * MB)
    said = capsys.readouterr().err
    assert "--shm-size" in said
    assert "11.0 MB" in said
    shortage(monkeypatch, 1e9)
    room.fitting(8, 11 * MB)
    assert not capsys.readouterr().err


def test_no_room_is_one_line(monkeypatch: pytest.MonkeyPatch):
    shortage(monkeypatch, 3)
    with pytest.raises(UserError, match=r"--shm-size.*num_workers 0.*batch size") as caught:
        room.fitting(4, 38 * MB)
    assert "\n" not in str(caught.value)
    shortage(monkeypatch, 1e9, handles=20)
    with pytest.raises(UserError, match="ulimit -n"):
        room.fitting(4, MB)


def test_a_loader_looks_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clip = Clip(str(write_video(tmp_path / "a.mp4", 20)), labels=(0,))
    index = ClipIndex((clip,) * 4, ("a",), "clips")
    dataset = ClipDataset(index, ClipSpec(num_frames=4, crop_size=32), train=True)
    assert dataset.clip_bytes == dataset[0, 0]["clip"].numel()  # type: ignore[typeddict-item]
    shortage(monkeypatch, 2.5 * 2 * dataset.clip_bytes / MB)
    loader = make_loader(dataset, batch_size=2, num_workers=3)
    assert (loader.num_workers, loader.prefetch_factor) == (1, 1)
    shortage(monkeypatch, 0.0)
    with pytest.raises(UserError, match="shm-size"):
        make_loader(dataset, batch_size=2, num_workers=3)
    assert len(list(make_loader(dataset, batch_size=2, num_workers=0))) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_few_file_handles_in_a_process_of_its_own():
    code = (
        "import resource, sys\n"
        "from video_mobile_former.data.loading.room import fitting\n"
        "from video_mobile_former.errors import UserError\n"
        "hard = int(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (min(64, hard), hard))\n"
        "try:\n"
        "    print(*fitting(8, 1000))\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )

    def limited(hard: int) -> str:
        command = [sys.executable, "-c", code, str(hard)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert limited(4096).split() == ["8", "2"]  # a low soft limit is raised
    workers, ahead = limited(128).split()
    assert int(workers) < 8
    assert ahead == "1"
    assert "ulimit -n" in limited(40)

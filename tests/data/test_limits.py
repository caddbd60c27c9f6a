"""Limits of time and memory on reading one clip, within the process that reads."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import av.error
import numpy as np
import pytest
import torch

from video_files import write_video
from video_mobile_former.data import limits as limits_module
from video_mobile_former.data.limits import Limits, Slot, check_memory, check_time, limited
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import VideoError

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
MB = 2**20


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", 30)


def allowance() -> tuple[int, int]:
    import resource

    return resource.getrlimit(resource.RLIMIT_DATA)


# Time


def test_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(limits_module.time, "monotonic", lambda: now[0])
    with limited("a.mp4", Limits(seconds=2.5)):
        now[0] = 102.5
        check_time()
        now[0] = 102.6
        with pytest.raises(VideoError) as caught:
            check_time()
    assert str(caught.value) == "a.mp4: took longer than 2.5 s"
    check_time()  # the limit ended with the block
    now[0] = 200.0
    with limited("a.mp4", Limits(seconds=2.5)):
        check_time()


@pytest.mark.parametrize("resize_size", [None, 32])
def test_reading_looks_at_the_clock(video: Path, resize_size: int | None) -> None:
    with pytest.raises(VideoError, match=r"took longer than 1e-09 s"):  # noqa: SIM117
        with limited(str(video), Limits(seconds=1e-9)), VideoReader(video) as reader:
            reader.timestamps()
    with VideoReader(video) as reader:
        times = reader.timestamps()
        with pytest.raises(VideoError, match="took longer"), limited("a", Limits(seconds=1e-9)):
            reader.frames(times, resize_size)
        assert len(reader.frames(times, resize_size)) == 30  # the reader is as good as before


def test_time_limits_of_other_threads_are_their_own() -> None:
    found: list[str] = []

    def other() -> None:
        check_time()
        found.append("fine")

    with limited("a.mp4", Limits(seconds=1e-9)):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert found == ["fine"]


# Memory


@linux
@pytest.mark.parametrize(
    "take",
    [
        # Larger than any hole that earlier tests may have left in the heap of this process.
        lambda: np.ones(400 * MB, np.uint8),
        lambda: torch.empty(400 * MB, dtype=torch.uint8),
        lambda: bytearray(400 * MB),
        lambda: av.VideoFrame(16000, 9000, "rgb24"),
    ],
    ids=["numpy", "torch", "python", "ffmpeg"],
)
def test_memory_is_refused(take: Callable[[], object]) -> None:
    before = allowance()
    with pytest.raises(VideoError) as caught, limited("a.mp4", Limits(memory_mb=30)):
        take()
    assert str(caught.value) == "a.mp4: needs more than 30 MB of memory"
    assert allowance() == before
    with limited("a.mp4", Limits(memory_mb=800)):
        take()


@linux
def test_other_errors_stay_what_they_are() -> None:
    before = allowance()
    for error in (RuntimeError("something"), VideoError("b.mp4", "cut off"), KeyError("x")):
        with pytest.raises(type(error)) as caught, limited("a.mp4", Limits()):
            raise error
        assert caught.value is error
    assert allowance() == before


@linux
def test_several_threads_leave_no_limit_behind() -> None:
    before = allowance()
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    def first() -> None:
        with limited("a.mp4", Limits(memory_mb=300)):
            first_in.set()
            second_in.wait(10)
        first_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    first_in.wait(10)
    alone = allowance()[0]
    with limited("b.mp4", Limits(memory_mb=100)):
        # The smaller limit of one must not fall upon the other.
        assert allowance()[0] >= alone > 0
        second_in.set()
        first_out.wait(10)
        assert allowance()[0] > 0
    thread.join()
    assert allowance() == before


@linux
def test_what_cannot_fit_is_refused_before_it_is_decoded(video: Path) -> None:
    with VideoReader(video) as reader:
        times = reader.timestamps()
        with pytest.raises(VideoError) as caught, limited("a.mp4", Limits(memory_mb=500)):
            reader.frames(times, 4000)
        assert str(caught.value) == (
            "a.mp4: needs more than 500 MB of memory (30 frames of 6000×4000 from pictures of "
            "96×64)"
        )
    check_memory(10**15, "anything")  # nothing is being read


READ_IT = """
import sys
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.limits import Limits

index = ClipIndex((Clip(sys.argv[1], (0,), name="big.mp4"),), ("a",), "clips")
spec = ClipSpec(num_frames=2, crop_size=32, resize_size=36)
item = ClipDataset(index, spec, train=False, limits=Limits(memory_mb=float(sys.argv[2])))[0]
print("read" if isinstance(item, dict) else item)
"""


@linux
@pytest.mark.slow
def test_big_pictures_are_told_from_damage(tmp_path: Path) -> None:
    gray = np.full((4096, 4096, 3), 128, np.uint8)
    params = "ref=4:bframes=3:b-adapt=0"
    options = {"preset": "ultrafast", "crf": "50", "x264-params": params}
    path = write_video(tmp_path / "big.mp4", [gray] * 6, options=options)

    def read(megabytes: int) -> str:
        # A process of its own: one that has read before holds memory that it can use again.
        command = [sys.executable, "-c", READ_IT, str(path), str(megabytes)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    begin = "big.mp4: needs more than"
    assert read(30) == (f"{begin} 30 MB of memory (2 frames of 36×36 from pictures of 4096×4096)")
    # Here decoding begins, and the decoder calls the file damaged.
    assert read(110) == f"{begin} 110 MB of memory (pictures of 4096×4096)"
    assert read(1000) == "read"


# Notes


def test_notes_of_a_worker() -> None:
    numbers = np.zeros(Slot.SIZE, np.int64)
    slot = Slot(numbers)
    assert slot.at is None
    slot.begin(3, 0)
    assert Slot(numbers).at == (3, 0)
    slot.end(ok=True)
    slot.begin(3, 7)
    slot.end(ok=False)
    assert (slot.at, slot.reads, slot.failures) == (None, 1, 1)
    assert Limits(seconds=30).hard_seconds == 36


def test_worker_processes_give_freed_memory_back_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []
    slot = Slot(np.zeros(Slot.SIZE, np.int64))
    monkeypatch.setattr(
        limits_module, "give_back_memory", lambda: given.append(slot.reads + slot.failures)
    )
    with limited("a.mp4", Limits()):  # not in a process that is no worker
        pass
    monkeypatch.setattr(limits_module, "_slot", slot)
    for i in range(40):
        if i % 3:
            with limited("a.mp4", Limits()):
                pass
        else:
            with pytest.raises(VideoError), limited("a.mp4", Limits()):
                raise VideoError("a.mp4", "cut off")
    assert given == [16, 32]

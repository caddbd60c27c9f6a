from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from video_files import write_video
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.loading.dataset import Batch, ClipDataset
from video_mobile_former.data.loading.loader import default_workers, make_loader
from video_mobile_former.data.transforms import TrainTransform
from video_mobile_former.errors import UserError

SPEC = ClipSpec(num_frames=4, crop_size=32, resize_size=40)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> ClipIndex:
    root = tmp_path_factory.mktemp("clips")
    clips = [
        Clip(str(write_video(root / f"{i}.mp4", 20 if i else 3)), labels=(i % 2,), name=f"{i}.mp4")
        for i in range(9)
    ]
    text = root / "text.mp4"
    text.write_text("no video " * 100)
    clips.append(Clip(str(text), labels=(0,), name="text.mp4"))
    return ClipIndex(tuple(clips), ("a", "b"), "clips")


def dataset(index: ClipIndex, *, train: bool = True, seed: int = 0) -> ClipDataset:
    transform = TrainTransform(SPEC, color_jitter=0.2) if train else None
    return ClipDataset(index, SPEC, train=train, seed=seed, transform=transform)


def content(batch: Batch) -> tuple:
    return (
        batch["clips"].numpy().tobytes(),
        batch["labels"].tolist(),
        batch["indices"].tolist(),
        batch["failures"],
        batch["padded"],
    )


@pytest.fixture(scope="module")
def two_epochs(index: ClipIndex) -> list[tuple]:
    loader = make_loader(dataset(index), batch_size=3, num_workers=0)
    return [content(batch) for _ in range(2) for batch in loader]


def test_there_cannot_be_fewer_workers_than_none(index: ClipIndex):
    with pytest.raises(UserError, match="num_workers must be at least 0, not -1"):
        make_loader(dataset(index), batch_size=3, num_workers=-1)


def test_training_epochs(two_epochs: list[tuple]):
    assert len(two_epochs) == 6  # the tenth clip is dropped
    indices = [[*batch[2], *(f.index for f in batch[3])] for batch in two_epochs]
    for epoch in (indices[:3], indices[3:]):
        flat = [i for batch in epoch for i in batch]
        assert len(set(flat)) == 9
    assert sorted(map(sorted, indices[:3])) != sorted(map(sorted, indices[3:]))


@pytest.mark.slow
def test_resume_within_an_epoch(index: ClipIndex, two_epochs: list[tuple]):
    for stop in range(6):
        first = make_loader(dataset(index), batch_size=3, num_workers=0)
        state, count = first.state_dict(), 0
        while count < stop:
            for batch in first:
                assert content(batch) == two_epochs[count]
                count += 1
                state = first.state_dict()
                if count == stop:
                    break
        second = make_loader(dataset(index), batch_size=3, num_workers=0)
        second.load_state_dict(state)
        rest = []
        while len(rest) < 6 - stop:
            rest += [content(batch) for batch in second]
        assert rest == two_epochs[stop:]


def test_set_epoch(index: ClipIndex, two_epochs: list[tuple]):
    loader = make_loader(dataset(index), batch_size=3, num_workers=0)
    loader.set_epoch(1)
    assert [content(batch) for batch in loader] == two_epochs[3:]


def test_evaluation_is_in_order_and_starts_anew(index: ClipIndex):
    loader = make_loader(dataset(index, train=False), batch_size=4, num_workers=0)
    assert len(loader) == 3
    assert next(iter(loader))["indices"].tolist() == [0, 1, 2, 3]
    batches = list(loader)
    assert [batch["indices"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    assert [str(f)[:9] for batch in batches for f in batch["failures"]] == ["text.mp4:"]


def test_shortness_is_said_once(index: ClipIndex, capsys: pytest.CaptureFixture[str]):
    loader = make_loader(dataset(index, train=False), batch_size=1, num_workers=0)
    for _ in range(2):
        list(loader)
    said = capsys.readouterr().err
    assert "text.mp4: failed 2 times" in said
    assert said.replace(said.splitlines(keepends=True)[-1], "") == (
        "clips: 0.mp4 is shorter than a clip of 4 frames; its last frame is repeated, "
        "as for every such video\n"
    )


def test_processes_share_an_epoch(index: ClipIndex):
    loaders = [
        make_loader(dataset(index), batch_size=2, num_workers=0, rank=rank, world_size=2)
        for rank in (0, 1)
    ]
    seen = [
        [*batch["indices"].tolist(), *(f.index for f in batch["failures"])]
        for loader in loaders
        for batch in loader
    ]
    assert len(loaders[0]) == len(loaders[1]) == 2
    flat = [i for batch in seen for i in batch]
    assert len(set(flat)) == len(flat) == 8


def test_default_workers():
    assert 1 <= default_workers() <= 8


# Worker processes: importing torch in them takes seconds.


@pytest.mark.slow
def test_workers_change_nothing(
    index: ClipIndex, two_epochs: list[tuple], capfd: pytest.CaptureFixture[str]
):
    for workers in (1, 2):
        loader = make_loader(dataset(index), batch_size=3, num_workers=workers)
        got = [content(batch) for _ in range(2) for batch in loader]
        assert got == two_epochs
    # Once per loader, not once per worker and epoch.
    said = capfd.readouterr().err
    assert said.count("is shorter than a clip") == 2
    assert "Traceback" not in said


@pytest.mark.slow
def test_workers_resume(index: ClipIndex, two_epochs: list[tuple]):
    loader = make_loader(dataset(index), batch_size=3, num_workers=2)
    batches = iter(loader)
    next(batches)
    next(batches)
    state = loader.state_dict()  # the workers are further on already
    assert state == {"epoch": 0, "batch": 2}
    resumed = make_loader(dataset(index), batch_size=3, num_workers=2)
    resumed.load_state_dict(state)
    assert [content(batch) for _ in range(2) for batch in resumed] == two_epochs[2:]


# A program that trains for ever, in its own process group.
ENDLESS = """
import signal
import sys
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.loading.loader import make_loader

def main():
    clips = tuple(Clip(path, (0,)) for path in sys.argv[1:] * 50)
    spec = ClipSpec(num_frames=4, crop_size=32, resize_size=40)
    dataset = ClipDataset(ClipIndex(clips, ("a",), "clips"), spec, train=True)
    loader = make_loader(dataset, batch_size=2, num_workers=2)
    while True:
        for batch in loader:
            print(*(worker.pid for worker in loader._iterator._workers), flush=True)

if __name__ == "__main__":
    # Ignored where the tests were started in the background of a script.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
"""


@pytest.fixture
def endless(index: ClipIndex, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """The running program and the numbers of its worker processes."""
    script = tmp_path / "script.py"
    script.write_text(ENDLESS)
    paths = [clip.path for clip in index.clips if "text" not in clip.path]
    process = subprocess.Popen(
        [sys.executable, str(script), *paths],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        yield process, [int(pid) for pid in process.stdout.readline().split()]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    # One that ended may be on the list until somebody asks for its result.
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def wait_for_the_end_of(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "workers are still running"
        time.sleep(0.05)


posix = pytest.mark.skipif(os.name != "posix", reason="sends signals")


@pytest.mark.slow
@posix
def test_ctrl_c_is_quiet(endless: tuple[subprocess.Popen[str], list[int]]):
    process, workers = endless
    assert len(workers) == 2
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert "interrupted" in errors
    wait_for_the_end_of(workers)


@pytest.mark.slow
@posix
def test_workers_do_not_outlive_a_killed_program(
    endless: tuple[subprocess.Popen[str], list[int]],
):
    process, workers = endless
    assert all(is_running(pid) for pid in workers)
    process.kill()
    wait_for_the_end_of(workers)

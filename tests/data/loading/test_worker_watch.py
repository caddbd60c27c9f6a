"""Worker processes that die over a file: the file is named and left out, all others are read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from nasty_clips import NastyDataset
from video_files import write_video
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.index.quarantine import read_quarantine
from video_mobile_former.data.limits import Limits
from video_mobile_former.data.loading.failures import Quarantine
from video_mobile_former.data.loading.loader import ClipLoader, WorkersEndedError, make_loader

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sends signals, limits memory")

LIMITS = Limits(seconds=0.5, memory_mb=200)
SPEC = ClipSpec(num_frames=2, crop_size=32, resize_size=36)


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    # PyTorch looks every five seconds whether its workers live.
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.3,))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", 8)


def make(
    folder: Path, video: Path, names: Sequence[str], *, train: bool = False, **options: Any
) -> ClipLoader:
    """A loader of links to one video under these names."""
    clips = []
    for name in names:
        path = folder / f"{name}.mp4"
        path.symlink_to(video)
        clips.append(Clip(str(path), (0,), name=path.name))
    index = ClipIndex(tuple(clips), ("a",), "clips")
    options = {"batch_size": 2, "num_workers": 2} | options
    return make_loader(NastyDataset(index, SPEC, train=train, limits=LIMITS), **options)


def read(loader: ClipLoader) -> tuple[list[int], list[str]]:
    """What an epoch brings: positions read, and failures."""
    batches = list(loader)
    return (
        [i for batch in batches for i in batch["indices"].tolist()],
        [str(failure) for batch in batches for failure in batch["failures"]],
    )


NASTY = ("ok0", "hang", "ok1", "crash", "hog", "ok2", "slow", "ok3", "ok4", "ok5")


@pytest.mark.slow
def test_every_file_that_stops_a_process_is_named_and_the_others_are_read(
    tmp_path: Path, video: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "quarantine.txt"
    loader = make(tmp_path, video, NASTY, quarantine=Quarantine(path, source="test"))
    done, failed = read(loader)
    assert done == [0, 2, 5, 7, 8, 9]
    assert failed == [
        "hang.mp4: took longer than 0.5 s",
        "crash.mp4: crashed the decoder (SIGSEGV)",
        "hog.mp4: needs more than 200 MB of memory",
        "slow.mp4: took longer than 0.5 s",
    ]
    # What ended a process is not tried again; what only failed has a second chance.
    listed = {
        "hang.mp4": "took longer than 0.5 s",
        "crash.mp4": "crashed the decoder (SIGSEGV)",
    }
    assert read_quarantine(path) == listed
    done, failed = read(loader)
    assert done == [0, 2, 5, 7, 8, 9]
    assert failed[0] == "hang.mp4: in quarantine: took longer than 0.5 s"
    listed |= {
        "hog.mp4": "needs more than 200 MB of memory",
        "slow.mp4": "took longer than 0.5 s",
    }
    assert read_quarantine(path) == listed
    said = capfd.readouterr().err.splitlines()
    assert sorted(said) == sorted(
        f"{name}: {what} and is excluded from now on, as {path} says: {listed[name]}"
        for name, what in (
            ("hang.mp4", "ended the process that read it"),
            ("crash.mp4", "ended the process that read it"),
            ("hog.mp4", "failed 2 times"),
            ("slow.mp4", "failed 2 times"),
        )
    )
    # Nothing is read now that stops anything: another start with the same list is quick.
    (tmp_path / "again").mkdir()
    again = make(tmp_path / "again", video, NASTY, quarantine=Quarantine(path))
    done, failed = read(again)
    assert done == [0, 2, 5, 7, 8, 9]
    assert [text.partition(": ")[2] for text in failed] == [
        f"in quarantine: {listed[f'{name}.mp4']}" for name in ("hang", "crash", "hog", "slow")
    ]
    assert again.watch is not None
    assert [slot.failures for slot in again.watch.slots] == [0, 0]


def test_training_goes_on_at_the_batch_where_a_worker_died(tmp_path: Path, video: Path) -> None:
    names = [*(f"ok{i}" for i in range(7)), "crash"]
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    loader = make(tmp_path / "one", video, names, train=True, num_workers=1)
    names[-1] = "text"  # the same data with a file that fails in the usual way
    plain = make(tmp_path / "other", video, names, train=True, num_workers=0)
    Path(plain.failures._index.clips[7].path).unlink()
    for _ in range(2):
        got, wanted = list(loader), list(plain)
        assert len(got) == len(wanted) == 4
        for a, b in zip(got, wanted, strict=True):
            assert torch.equal(a["clips"], b["clips"])
            assert a["indices"].tolist() == b["indices"].tolist()
            assert [f.index for f in a["failures"]] == [f.index for f in b["failures"]]
    assert loader.state_dict() == plain.state_dict() == {"epoch": 2, "batch": 0}


@pytest.mark.slow
def test_a_killed_worker_is_no_proof_against_its_file(
    tmp_path: Path, video: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    loader = make(tmp_path, video, ["ok0", "killed", "ok1"], num_workers=1)
    done, failed = read(loader)
    assert done == [0, 2]
    reason = "killed, as the system does when memory runs out"
    assert failed == [f"killed.mp4: in quarantine: {reason}"]
    said = capfd.readouterr().err
    assert said.count("new ones go on") == 2
    assert f"killed.mp4: failed 2 times and is excluded from now on: {reason}" in said


@pytest.mark.slow
def test_where_everything_crashes_reading_ends(tmp_path: Path, video: Path) -> None:
    loader = make(tmp_path, video, [f"crash{i}" for i in range(40)], batch_size=1)
    with pytest.raises(WorkersEndedError, match=r"SIGSEGV.* over crash\d+.mp4.*num_workers"):
        list(loader)


def test_an_error_of_ours_is_no_death(tmp_path: Path, video: Path) -> None:
    loader = make(tmp_path, video, ["ok", "bug"], num_workers=1)
    with pytest.raises(RuntimeError, match="not the file's fault") as caught:
        list(loader)
    assert not isinstance(caught.value, WorkersEndedError)
    # In the process itself as well.
    (tmp_path / "here").mkdir()
    with pytest.raises(RuntimeError, match="not the file's fault"):
        list(make(tmp_path / "here", video, ["ok", "bug"], num_workers=0))

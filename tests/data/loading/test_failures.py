"""Counting failures by file, and the lists of those that are no longer read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.index.quarantine import read_quarantine, write_quarantine
from video_mobile_former.data.loading.dataset import EXCLUDED, ClipFailure
from video_mobile_former.data.loading.failures import Failures, Quarantine
from video_mobile_former.errors import DataError

# The third and the fourth clip are parts of the same file.
INDEX = ClipIndex(
    (
        Clip("/x/a.mp4", (0,), name="a.mp4"),
        Clip("/x/b.mp4", (0,)),
        Clip("/x/c.mp4", (0,), name="c.mp4", end_seconds=1.0),
        Clip("/x/c.mp4", (0,), name="c.mp4", start_seconds=1.0),
    ),
    ("k",),
    "clips",
)


def flags() -> torch.Tensor:
    return torch.zeros(len(INDEX), dtype=torch.uint8)


def test_the_second_failure_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run" / "quarantine.txt"
    excluded = flags()
    failures = Failures(INDEX, excluded, Quarantine(path, source="made up"))
    failures.refresh()
    failure = ClipFailure(2, "c.mp4", "cut off")
    assert failures.note(failure) is failure
    assert failures.note(ClipFailure(1, "/x/b.mp4", "empty")).reason == "empty"
    assert excluded.sum() == 0
    assert not path.exists()
    assert capsys.readouterr().err == ""
    # Another part of the same file: the file is out, with both parts.
    failures.note(ClipFailure(3, "c.mp4", "damaged"))
    assert excluded.tolist() == [0, 0, 1, 1]
    assert path.read_text() == "# made up\nc.mp4\tdamaged\n"
    assert capsys.readouterr().err == (
        f"c.mp4: failed 2 times and is excluded from now on, as {path} says: damaged\n"
    )
    reason = failures.note(ClipFailure(2, "c.mp4", EXCLUDED, of_file=False)).reason
    assert reason == "in quarantine: damaged"
    failures.note(ClipFailure(3, "c.mp4", "damaged"))  # was on its way already
    assert capsys.readouterr().err == ""


def test_an_evaluation_gives_up_no_file_for_its_bad_parts() -> None:
    excluded = flags()
    failures = Failures(INDEX, excluded, give_up=False)
    for i in (2, 3, 2):
        failures.note(ClipFailure(i, "c.mp4", "damaged"))
    assert excluded.sum() == 0
    failures.ended_a_process(2, "crashed", for_certain=True)
    assert excluded.tolist() == [0, 0, 1, 1]


def test_an_empty_part_tells_nothing_against_its_file() -> None:
    excluded = flags()
    failures = Failures(INDEX, excluded)
    for _ in range(5):
        failures.note(ClipFailure(2, "c.mp4", "no frames from 5 s", of_file=False))
    assert excluded.sum() == 0


def test_a_file_that_ends_a_process_is_out_at_once() -> None:
    excluded = flags()
    failures = Failures(INDEX, excluded)
    failures.ended_a_process(1, "crashed", for_certain=True)
    assert excluded.tolist() == [0, 1, 0, 0]
    skipped = ClipFailure(1, "/x/b.mp4", EXCLUDED, of_file=False)
    # Its first report is of what happened, later ones of the consequence.
    assert failures.note(skipped).reason == "crashed"
    assert failures.note(skipped).reason == "in quarantine: crashed"
    failures.ended_a_process(0, "killed", for_certain=False)
    assert excluded.tolist() == [0, 1, 0, 0]
    failures.note(ClipFailure(0, "a.mp4", "took longer"))
    assert excluded.tolist() == [1, 1, 0, 0]


def test_a_new_start_takes_the_list_over(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.txt"
    # By name or by absolute path; and one that is not in this index.
    write_quarantine(path, {"a.mp4": "cut off", "/x/c.mp4": "", "val/z.mp4": "empty"}, "before")
    excluded = flags()
    failures = Failures(INDEX, excluded, Quarantine(path, source="after"))
    failures.refresh()
    assert excluded.tolist() == [1, 0, 1, 1]
    reason = failures.note(ClipFailure(0, "a.mp4", EXCLUDED, of_file=False)).reason
    assert reason == "in quarantine: cut off"
    failures.ended_a_process(1, "crashed", for_certain=True)
    assert list(read_quarantine(path)) == ["a.mp4", "/x/c.mp4", "val/z.mp4", "/x/b.mp4"]


def test_processes_share_what_they_find_and_write_their_own_lists(tmp_path: Path) -> None:
    def process(rank: int) -> tuple[Failures, torch.Tensor]:
        quarantine = Quarantine(tmp_path / f"q{rank}.txt", source="made up", others="q*.txt")
        excluded = flags()
        return Failures(INDEX, excluded, quarantine), excluded

    (one, one_out), (two, two_out) = process(0), process(1)
    one.ended_a_process(0, "crashed", for_certain=True)
    two.ended_a_process(1, "crashed", for_certain=True)
    assert [out.tolist() for out in (one_out, two_out)] == [[1, 0, 0, 0], [0, 1, 0, 0]]
    one.refresh()
    two.refresh()
    assert [out.tolist() for out in (one_out, two_out)] == [[1, 1, 0, 0], [1, 1, 0, 0]]
    assert list(read_quarantine(tmp_path / "q0.txt")) == ["a.mp4"]
    assert list(read_quarantine(tmp_path / "q1.txt")) == ["/x/b.mp4"]


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "q.txt").mkdir()
    with pytest.raises(DataError, match=r"q\.txt"):
        Quarantine(tmp_path / "q.txt")

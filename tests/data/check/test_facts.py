"""Facts on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from video_mobile_former.data.check.facts import FactsStore, FileFacts, FileKey, FileTask, file_key
from video_mobile_former.errors import UserError


def facts(path: str = "/a.mp4", full: bool = True, fault: str = "", modified: int = 1) -> FileFacts:
    return FileFacts(FileKey(path, 0, 10, modified), full=full, fault=fault, frames=7)


def test_facts_come_back(tmp_path: Path):
    odd = os.fsdecode(b"/d\xe9j\xe0 \n.mp4")
    with FactsStore(tmp_path / "new") as store:
        store.add(facts())
        store.add(facts(odd))
    with FactsStore(tmp_path / "new") as store:
        assert store.find(FileTask(facts().key)) == facts()
        assert store.find(FileTask(facts(odd).key)) == facts(odd)
        assert store.find(FileTask(facts("/b.mp4").key)) is None


@pytest.mark.parametrize(
    ("known", "task", "enough"),
    [
        (facts(), FileTask(facts().key), True),
        (facts(), FileTask(facts().key, full=False), True),
        (facts(full=False), FileTask(facts().key, full=False), True),
        (facts(full=False), FileTask(facts().key), False),
        (facts(), FileTask(facts(modified=2).key), False),
        (facts(fault="truncated"), FileTask(facts().key), True),
        (facts(fault="no permission"), FileTask(facts().key), False),
        (facts(fault="crash"), FileTask(facts().key), False),
        (facts(full=False), FileTask(facts().key, full=False, sniff=True), False),
    ],
)
def test_what_spares_reading_a_file_again(
    tmp_path: Path, known: FileFacts, task: FileTask, enough: bool
):
    with FactsStore(tmp_path) as store:
        store.add(known)
        assert (store.find(task) is not None) == enough


def test_a_line_cut_short_is_dropped_and_the_file_goes_on(tmp_path: Path):
    with FactsStore(tmp_path) as store:
        store.add(facts("/a.mp4"))
        store.add(facts("/b.mp4"))
    data = store.path.read_bytes()
    store.path.write_bytes(b"\x00garbage\n[1]\n" + data[:-9])
    with FactsStore(tmp_path) as store:
        assert store.find(FileTask(facts("/a.mp4").key)) is not None
        assert store.find(FileTask(facts("/b.mp4").key)) is None
        store.add(facts("/b.mp4"))
    with FactsStore(tmp_path) as store:
        assert store.find(FileTask(facts("/b.mp4").key)) is not None


def test_what_is_no_longer_wanted_goes(tmp_path: Path):
    with FactsStore(tmp_path) as store:
        store.add(facts("/a.mp4"))
        store.add(facts("/b.mp4"))
        store.keep_only([facts("/b.mp4")])
    assert len(store.path.read_text().splitlines()) == 1
    with FactsStore(tmp_path) as store:
        assert store.find(FileTask(facts("/a.mp4").key)) is None


def test_a_folder_that_cannot_be(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        FactsStore(tmp_path / "file")


def test_keys_change_with_the_file(tmp_path: Path):
    path = tmp_path / "a.mp4"
    assert file_key(str(path)) == FileKey(str(path), 0, -1, -1)
    path.write_bytes(b"12345")
    os.utime(path, ns=(5, 5))
    assert file_key(str(path)) == FileKey(str(path), 0, 5, 5)
    assert file_key(str(path), 2, 3) == FileKey(str(path), 2, 3, 5)
    assert file_key("s3://bucket/a.mp4") == FileKey("s3://bucket/a.mp4", 0, -1, -1)
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.jpg").write_bytes(b"123")
    first = file_key(str(folder))
    assert first.size == 9
    (folder / "1.jpg").write_bytes(b"1234")
    assert file_key(str(folder)) != first

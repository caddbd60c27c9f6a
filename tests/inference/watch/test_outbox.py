"""Messages that wait on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from video_mobile_former.errors import UserError
from video_mobile_former.inference.watch.outbox import Outbox, default_folder


def test_messages_wait_in_order_and_over_a_restart(tmp_path: Path) -> None:
    said: list[str] = []
    box = Outbox(tmp_path / "box", limit=10, report=said.append)
    for body in "abc":
        box.add(body)
    (number, body), *_ = box.oldest()
    assert body == "a"
    box.delivered(number)
    box.close()
    again = Outbox(tmp_path / "box", limit=10, report=said.append)
    assert [body for _, body in again.oldest(10)] == ["b", "c"]
    assert len(again) == 2
    again.close()
    assert said == []


@pytest.mark.slow
def test_messages_are_on_disk_when_a_process_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal; from video_mobile_former.inference.watch.outbox import Outbox\n"
        f"box = Outbox({str(tmp_path)!r}, limit=10, report=print)\n"
        "box.add('last words'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    box = Outbox(tmp_path, limit=10, report=print)
    assert [body for _, body in box.oldest(5)] == ["last words"]
    box.close()


def test_the_oldest_give_way_and_that_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    box = Outbox(tmp_path, limit=3, report=said.append)
    for i in range(10):
        box.add(str(i))
    assert [body for _, body in box.oldest(10)] == ["7", "8", "9"]
    assert box.lost == 7
    assert len(said) == 1
    assert "oldest are given up" in said[0]
    box.close()


def test_what_is_refused_is_set_aside(tmp_path: Path) -> None:
    box = Outbox(tmp_path, limit=3, report=print)
    box.add("bad")
    box.add("good")
    box.refuse(box.oldest()[0][0], "answers 400")
    assert [body for _, body in box.oldest(5)] == ["good"]
    found = box._file.execute("SELECT body, reason FROM refused").fetchall()
    assert found == [("bad", "answers 400")]
    box.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    box = Outbox(tmp_path, limit=3, report=print)
    with pytest.raises(UserError, match=r"in use by another.*--outbox"):
        Outbox(tmp_path, limit=3, report=print)
    box.close()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot wait"):
        Outbox(tmp_path / "file", limit=3, report=print)


def test_the_usual_folder_does_not_show_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "XDG_CACHE_HOME", "/cache")
    found = default_folder("mqtt://user:geheim@host")
    assert found.is_relative_to("/cache")
    assert "geheim" not in str(found)
    assert found != default_folder("mqtt://user:geheim@other")

from __future__ import annotations

import io
import sys

import pytest

from video_mobile_former.training.progress import Progress, in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (48, "48 s"), (130, "2 min"), (3600, "60 min"), (12060, "3 h 21 min")],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_without_a_terminal_only_lines(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    progress.start(0, 10)
    progress.update(3, "epoch 1/2")
    progress.line("epoch 1/2 · loss 1")
    progress.stop()
    said = capsys.readouterr()
    assert said.err == "epoch 1/2 · loss 1\n"
    assert said.out == ""


def test_time_left_counts_only_this_start(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress()
    progress.start(50, 100)
    assert progress.time_left(50) == ""
    now[0] += 20
    assert progress.time_left(60) == "80 s"


def test_hidden_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(visible=False)
    progress.start(0, 10)
    progress.line("x")
    progress.stop()
    assert capsys.readouterr() == ("", "")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress()
    progress.start(0, 10)
    progress.update(5, "epoch 1/2")
    progress.line("epoch 1/2 · loss [1]")
    progress.stop()
    shown = terminal.getvalue()
    assert "5/10" in shown
    assert "epoch 1/2 · loss [1]" in shown

"""Events to a web address that dies, refuses and comes back."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from live_parts import Receiver, wait_until
from video_mobile_former.errors import UserError
from video_mobile_former.inference.watch import webhook as module
from video_mobile_former.inference.watch.outbox import Outbox
from video_mobile_former.inference.watch.webhook import Webhook


class Parts:
    def __init__(self, folder: Path):
        self.folder, self.said = folder, list[str]()
        self.receiver = Receiver()
        self.open()

    def open(self, url: str = "") -> None:
        self.outbox = Outbox(self.folder, limit=100, report=self.said.append)
        self.webhook = Webhook(url or self.receiver.url, self.outbox, self.said.append)

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self.webhook.send({"id": number, "label": "grüßen"})

    @property
    def got(self) -> list[Any]:
        return [json.loads(body)["id"] for body in self.receiver.bodies]

    def close(self, seconds: float = 2.0) -> int:
        left = self.webhook.close(seconds)
        self.outbox.close()
        return left


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.05)
    found = Parts(tmp_path)
    yield found
    found.receiver.stop()


def test_events_arrive_in_order_with_their_login(parts: Parts) -> None:
    parts.close()
    parts.open(parts.receiver.url.replace("http://", "http://me:ge%20heim@"))
    parts.send(1, 2, 3)
    assert parts.close() == 0
    assert parts.got == [1, 2, 3]
    headers = parts.receiver.headers[0]
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Basic bWU6Z2UgaGVpbQ=="  # me:ge heim
    assert json.loads(parts.receiver.bodies[0])["label"] == "grüßen"


def test_a_dead_receiver_loses_nothing(parts: Parts) -> None:
    parts.send(1)
    wait_until(lambda: parts.got == [1], 5)
    parts.receiver.stop()
    parts.send(2, 3)
    wait_until(lambda: parts.said, 5)
    time.sleep(0.3)
    parts.receiver.start()
    wait_until(lambda: parts.got == [1, 2, 3], 10)
    parts.close()
    assert ["refused" in line or "wait" in line for line in parts.said[:1]] == [True]
    assert "is back" in parts.said[-1]
    assert len(parts.said) == 2
    assert "secret-path" not in "".join(parts.said)


@pytest.mark.parametrize("answer", [500, 404, 401, 302])
def test_answers_that_may_change_are_waited_for(parts: Parts, answer: int) -> None:
    parts.receiver.answer = answer
    parts.send(1, 2)
    wait_until(lambda: parts.said, 5)
    assert str(answer) in parts.said[0]
    parts.receiver.answer = 200
    wait_until(lambda: parts.got == [1, 2], 10)
    parts.close()


def test_an_event_that_is_refused_does_not_hold_up_others(parts: Parts) -> None:
    parts.receiver.answer = 422
    parts.send(1)
    wait_until(lambda: parts.said, 5)
    parts.receiver.answer = 200
    parts.send(2)
    assert parts.close() == 0
    assert parts.got == [2]


def test_what_was_not_delivered_is_sent_by_the_next_run(parts: Parts) -> None:
    parts.receiver.stop()
    parts.send(1, 2)
    assert parts.close(0.2) == 2
    parts.receiver.start()
    parts.open()
    parts.send(3)
    assert parts.close(5) == 0
    assert parts.got == [1, 2, 3]


def test_a_receiver_that_never_answers_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.3)
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outbox = Outbox(tmp_path, limit=10, report=said.append)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        webhook = Webhook(url, outbox, said.append)
        begin = time.monotonic()
        webhook.send({"id": 1})
        assert time.monotonic() - begin < 0.2
        wait_until(lambda: said, 5)
        assert webhook.close(0.1) == 1
        outbox.close()
    assert "no answer" in said[0]


@pytest.mark.parametrize("url", ["", "ftp://a/b", "http://", "http://a:x/", "example.com"])
def test_what_is_no_address(url: str, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, limit=10, report=print)
    with pytest.raises(UserError, match="--webhook must be"):
        Webhook(url, outbox, print)
    outbox.close()

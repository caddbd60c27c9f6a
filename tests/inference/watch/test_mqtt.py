"""A real broker, killed and started again: states are right and no end is lost."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from live_parts import Broker, wait_until
from video_mobile_former.errors import UserError
from video_mobile_former.inference.watch.mqtt import Mqtt, slugs
from video_mobile_former.inference.watch.outbox import Outbox

pytest.importorskip("paho.mqtt.client")


class Listener:
    """Another client, that hears all."""

    def __init__(self, broker: Broker):
        from paho.mqtt import client
        from paho.mqtt.enums import CallbackAPIVersion

        self.last: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        self._there = threading.Event()
        self._client: Any = client.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda c, *rest: c.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *rest: self._there.set()
        self._client.on_message = self._heard
        self._client.reconnect_delay_set(1, 1)
        self._client.connect_async("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._there.wait(10)

    def _heard(self, client: Any, data: Any, message: Any) -> None:
        self.last[message.topic] = message.payload.decode()
        if message.topic.endswith("/event"):
            self.events.append(json.loads(message.payload))

    def state(self, source: str) -> dict[str, Any]:
        return json.loads(self.last.get(f"vmf/{source}/state", "{}"))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def event(kind: str, number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "id": f"{number}-{kind}",
        "event": str(number),
        "source": "Front door",
        "label": "waving",
        "score": 0.9,
        **more,
    }


def opened(broker: Broker, folder: Path, said: list[str], **more: Any) -> tuple[Mqtt, Outbox]:
    outbox = Outbox(folder, limit=100, report=said.append)
    return Mqtt(broker.url(**more), ["Front door", "yard"], outbox, said.append), outbox


@pytest.mark.slow
def test_states_are_retained_and_home_assistant_finds_them(tmp_path: Path) -> None:
    said: list[str] = []
    with Broker(tmp_path) as broker:
        mqtt, outbox = opened(broker, tmp_path / "box", said)
        mqtt.available("Front door", True)
        mqtt.send(event("start"))
        wait_until(lambda: not len(outbox), 10)
        late = Listener(broker)  # hears what is retained
        wait_until(lambda: late.state("front_door").get("active"), 10)
        assert late.state("front_door")["label"] == "waving"
        assert late.state("front_door")["available"]
        assert not late.state("yard")["available"]
        assert late.last["vmf/status"] == "online"
        config = json.loads(late.last["homeassistant/sensor/vmf_front_door/config"])
        assert config["state_topic"] == "vmf/front_door/state"
        assert config["device"]["name"] == "Front door"
        assert "homeassistant/binary_sensor/vmf_front_door/config" in late.last
        mqtt.send(event("end"))
        wait_until(lambda: late.state("front_door")["label"] == "none", 10)
        assert late.state("front_door")["last_event"]["id"] == "1-end"
        assert mqtt.close(5) == 0
        wait_until(lambda: late.last["vmf/status"] == "offline", 10)
        assert [e["type"] for e in late.events] == ["end"]  # the start was before it listened
        late.close()
        outbox.close()
    assert said == []


@pytest.mark.slow
def test_a_broker_that_is_killed_loses_no_end(tmp_path: Path) -> None:
    said: list[str] = []
    with Broker(tmp_path) as broker:
        mqtt, outbox = opened(broker, tmp_path / "box", said)
        mqtt.available("Front door", True)
        listener = Listener(broker)
        mqtt.send(event("start"))
        wait_until(lambda: listener.events, 10)
        broker.kill()
        wait_until(lambda: said, 10)
        mqtt.send(event("end"))
        mqtt.send(event("start", 2))
        mqtt.send(event("end", 2))
        listener.close()
        broker.start()
        wait_until(lambda: not len(outbox), 30)
        late = Listener(broker)  # the broker has forgotten all: what is there was sent again
        wait_until(lambda: late.state("front_door").get("last_event"), 10)
        assert late.state("front_door")["last_event"]["id"] == "2-end"
        assert not late.state("front_door")["active"]
        assert late.state("front_door")["available"]
        assert mqtt.close(5) == 0
        late.close()
        outbox.close()
    assert "wait" in said[0]
    assert "is back" in said[-1]


@pytest.mark.slow
def test_events_of_an_outage_reach_who_listens_again(tmp_path: Path) -> None:
    said: list[str] = []
    with Broker(tmp_path) as broker:
        broker.kill()
        mqtt, outbox = opened(broker, tmp_path / "box", said)
        for number in range(5):
            mqtt.send(event("start", number))
            mqtt.send(event("end", number))
        assert mqtt.close(0.2) == 10
        outbox.close()
        broker.start()
        listener = Listener(broker)
        mqtt, outbox = opened(broker, tmp_path / "box", said)
        wait_until(lambda: len(listener.events) == 10, 20)
        wanted = [f"{n}-{kind}" for n in range(5) for kind in ("start", "end")]
        assert [e["id"] for e in listener.events] == wanted
        assert mqtt.close(5) == 0
        outbox.close()
        listener.close()


@pytest.mark.slow
def test_a_process_that_dies_leaves_a_will(tmp_path: Path) -> None:
    import subprocess
    import sys

    with Broker(tmp_path, login=("me", "geheim")) as broker:
        code = (
            "import os, signal, time\n"
            "from video_mobile_former.inference.watch.mqtt import Mqtt\n"
            "from video_mobile_former.inference.watch.outbox import Outbox\n"
            f"box = Outbox({str(tmp_path / 'box')!r}, limit=9, report=print)\n"
            f"mqtt = Mqtt({broker.url('me:geheim@')!r}, ['door'], box, print)\n"
            "assert mqtt._connected.wait(20); time.sleep(0.5)\n"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == -9, done.stderr
        from paho.mqtt import subscribe

        (said,) = [
            subscribe.simple(
                "vmf/status",
                hostname="127.0.0.1",
                port=broker.port,
                auth={"username": "me", "password": "geheim"},
            )
        ]
        assert said.payload == b"offline"


@pytest.mark.slow
def test_a_wrong_password_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    with Broker(tmp_path, login=("me", "geheim")) as broker:
        mqtt, outbox = opened(broker, tmp_path / "box", said, login="me:falsch@")
        wait_until(lambda: said, 10)
        mqtt.close(0.1)
        outbox.close()
    assert "not authori" in said[0].lower()
    assert "falsch" not in "".join(said)


@pytest.mark.parametrize("url", ["", "http://host", "mqtt://", "mqtt://host:x", "mqtt://host/a/#"])
def test_what_is_no_address(url: str, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, limit=9, report=print)
    with pytest.raises(UserError, match="--mqtt"):
        Mqtt(url, ["door"], outbox, print)
    outbox.close()


def test_topics_of_sources_are_distinct_and_plain() -> None:
    found = slugs(["Front door", "front-door", "rtsp://***@10.0.0.1/live#1", "Тест"])
    assert list(found.values()) == ["front_door", "front_door_2", "rtsp_10_0_0_1_live_1", "source"]

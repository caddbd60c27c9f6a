"""Events and the state of every source to an MQTT broker, and to Home Assistant through it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from ...errors import UserError
from ...optional import require
from ...text import printable
from ...version import __version__
from .outbox import Outbox

_IN_FLIGHT = 20
"""Events that the broker has not confirmed, at most."""


class Mqtt:
    """Publishes to a broker in a thread of its own; see ``docs/live.md`` for the topics.

    Events go to ``BASE/SOURCE/event`` with QoS 1 and wait in an outbox on disk until the broker has
    confirmed them. The state of each source, ``BASE/SOURCE/state``, is retained and published again
    at each connection, with the last event in it, so that a broker that lost its memory knows both.

    Args:
        url: ``mqtt[s]://[user:password@]host[:port][/BASE]``; BASE is ``vmf`` by default.
        names: The sources.
        outbox: Where events wait.
        report: Is told one line when the broker is gone and when it is back.
        discovery: Prefix of Home Assistant's discovery; empty for none.

    Raises:
        UserError: If the address is none or paho-mqtt is not installed.
    """

    def __init__(
        self,
        url: str,
        names: Sequence[str],
        outbox: Outbox,
        report: Callable[[str], None],
        *,
        discovery: str = "homeassistant",
    ):
        paho = require("paho.mqtt.client", extra="mqtt", purpose="--mqtt")
        enums = require("paho.mqtt.enums", extra="mqtt", purpose="--mqtt")
        parts, self.base = _parsed(url)
        self.shown = printable(f"broker {parts.hostname}")
        self._outbox, self._report, self._discovery = outbox, report, discovery
        self._slugs = slugs(names)
        self._states: dict[str, dict[str, Any]] = {name: _idle() for name in names}
        self._mutex = threading.Lock()
        # Callbacks for confirmations run under a lock of paho that publishing takes as well: this
        # one is never held while publishing.
        self._flight = threading.Lock()
        self._flying: dict[int, int] = {}
        self._confirmed: set[int] | None = None
        """While an event is published: what was confirmed before its number was known."""
        self._stop, self._connected = threading.Event(), threading.Event()
        self._failing = False
        self._client = client = paho.Client(enums.CallbackAPIVersion.VERSION2)
        if parts.username is not None:
            client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            client.tls_set()
        client.will_set(f"{self.base}/status", "offline", qos=1, retain=True)
        client.reconnect_delay_set(1, 60)
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_connect_fail = self._on_publish, self._on_connect_fail
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        client.connect_async(parts.hostname, port, keepalive=15)
        client.loop_start()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def send(self, event: dict[str, Any]) -> None:
        """Take an event: it is on disk when this returns, and the state of its source follows."""
        name = event["source"]
        with self._mutex:
            state = self._states[name]
            if event["type"] == "end":
                running = state["running"]
                running.pop(_key(event), None)
                state["last_event"] = event
            else:
                state["running"][_key(event)] = event
            best = max(state["running"].values(), key=lambda e: e["score"], default=None)
            state["label"] = best["label"] if best else "none"
            state["score"] = best["score"] if best else None
            self._publish_state(name)
        if event["type"] != "update":
            self._outbox.add(json.dumps(event, ensure_ascii=True, allow_nan=False))

    def available(self, name: str, is_available: bool) -> None:
        """Say whether a source gives pictures."""
        with self._mutex:
            if self._states[name]["available"] != is_available:
                self._states[name]["available"] = is_available
                self._publish_state(name)

    def close(self, seconds: float) -> int:
        """Try for so long to deliver what waits, say goodbye, and stop.

        Returns:
            Events that still wait; the next run with the same outbox sends them.
        """
        waited = threading.Event()
        for _ in range(max(1, round(seconds / 0.1))):
            if not len(self._outbox):
                break
            waited.wait(0.1)
        self._stop.set()
        self._outbox.changed.set()
        self._thread.join(2.0)
        with self._mutex:
            for name in self._states:
                self._states[name]["available"] = False
                self._publish_state(name)
            gone = self._client.publish(f"{self.base}/status", "offline", qos=1, retain=True)
        if self._connected.is_set():
            gone.wait_for_publish(2.0)
        self._client.disconnect()
        self._client.loop_stop()
        return len(self._outbox)

    # In threads of their own

    def _run(self) -> None:
        while not self._stop.is_set():
            self._outbox.changed.clear()
            if self._connected.is_set():
                self._publish_events()
            self._outbox.changed.wait(1.0)

    def _publish_events(self) -> None:
        with self._flight:
            flying = set(self._flying.values())
        for number, body in self._outbox.oldest(_IN_FLIGHT):
            if number in flying:
                continue
            topic = f"{self.base}/{self._slug(json.loads(body)['source'])}/event"
            with self._flight:
                self._confirmed = confirmed = set()
            sent = self._client.publish(topic, body, qos=1)
            with self._flight:
                self._confirmed = None
                if sent.mid in confirmed:
                    self._outbox.delivered(number)
                else:
                    self._flying[sent.mid] = number

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._fails(f"refuses the connection: {reason}")
            return
        if self._failing:
            self._report(f"{self.shown}: is back")
        self._failing = False
        with self._mutex:
            client.publish(f"{self.base}/status", "online", retain=True)
            for name in self._states:
                self._publish_discovery(name)
                self._publish_state(name)
        self._connected.set()
        self._outbox.changed.set()

    def _on_disconnect(
        self, client: Any, data: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        self._connected.clear()
        if not self._stop.is_set():
            self._fails("the connection is gone")

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        self._fails("cannot be reached")

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._flight:
            number = self._flying.pop(mid, None)
            if number is None and self._confirmed is not None:
                self._confirmed.add(mid)
        if number is not None:
            self._outbox.delivered(number)
            self._outbox.changed.set()

    def _fails(self, reason: str) -> None:
        if not self._failing:
            self._report(f"{self.shown}: {reason}; events wait in {self._outbox.folder}")
        self._failing = True

    def _publish_state(self, name: str) -> None:
        if not self._client.is_connected():
            return  # all states are published at the next connection
        state = self._states[name]
        body = {
            "label": state["label"],
            "score": state["score"],
            "active": bool(state["running"]),
            "available": state["available"],
            "events": list(state["running"].values()),
            "last_event": state["last_event"],
        }
        topic = f"{self.base}/{self._slug(name)}/state"
        # QoS 0: paho would send an old state again after the new one of the next connection.
        self._client.publish(topic, json.dumps(body, allow_nan=False), retain=True)

    def _publish_discovery(self, name: str) -> None:
        if not self._discovery:
            return
        slug = self._slug(name)
        for component, config in discovery(self.base, slug, name).items():
            topic = f"{self._discovery}/{component}/{self.base.replace('/', '_')}_{slug}/config"
            self._client.publish(topic, json.dumps(config), retain=True)

    def _slug(self, name: str) -> str:
        # An event of an earlier run may be of a source that is not there any more.
        return self._slugs.get(name) or slug_of(name)


def discovery(base: str, slug: str, name: str) -> dict[str, dict[str, Any]]:
    """Home Assistant's description of one source, by component: its label, and whether anything is
    on.
    """
    device = {
        "identifiers": [f"vmf_{base}_{slug}"],
        "name": name,
        "manufacturer": "Video Mobile-Former",
        "sw_version": __version__,
    }
    state = f"{base}/{slug}/state"
    common = {
        "state_topic": state,
        "availability_mode": "all",
        "availability": [
            {"topic": f"{base}/status"},
            {
                "topic": state,
                "value_template": "{{ 'online' if value_json.available else 'offline' }}",
            },
        ],
        "device": device,
        "origin": {"name": "vmf watch", "sw_version": __version__},
    }
    return {
        "sensor": common
        | {
            "name": "Action",
            "unique_id": f"vmf_{base}_{slug}_action",
            "value_template": "{{ value_json.label }}",
            "json_attributes_topic": state,
            "icon": "mdi:motion-sensor",
        },
        "binary_sensor": common
        | {
            "name": "Active",
            "unique_id": f"vmf_{base}_{slug}_active",
            "value_template": "{{ 'ON' if value_json.active else 'OFF' }}",
        },
    }


def slug_of(name: str) -> str:
    """A name as one level of a topic: letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "source"


def slugs(names: Sequence[str]) -> dict[str, str]:
    """Distinct levels of topics for names."""
    found: dict[str, str] = {}
    for name in names:
        slug, number = slug_of(name), 1
        while slug in found.values():
            number += 1
            slug = f"{slug_of(name)}_{number}"
        found[name] = slug
    return found


def _idle() -> dict[str, Any]:
    return {"label": "none", "score": None, "available": False, "running": {}, "last_event": None}


def _parsed(url: str) -> tuple[Any, str]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("mqtt", "mqtts") or not host:
        raise UserError("--mqtt must be an address such as mqtt://user:password@host:1883/vmf")
    base = unquote(parts.path).strip("/") or "vmf"
    if {"#", "?"} & set(url) or re.search(r"[#+\x00]", base):
        raise UserError("--mqtt: the path names a topic, which holds no # or +")
    return parts, base


def _key(event: dict[str, Any]) -> tuple[str, int | None]:
    """What goes on at most once at a time in a source."""
    return event["label"], event.get("track")

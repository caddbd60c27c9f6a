"""What a person reads of a watch: a line for each source, a line for each event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ...text import pad, printable, shorten_end, shorten_middle
from .loop import SourceStatus

_NAME = 20


def status_line(status: SourceStatus, width: int = 80) -> str:
    """How a source is doing, in one line of at most ``width`` columns."""
    name = pad(shorten_middle(printable(status.name), _NAME), _NAME)
    if status.phase != "playing":
        reason = f": {printable(status.reason)}" if status.reason else ""
        return shorten_end(f"{name}  {status.phase}{reason}", width)
    if status.events:
        what = f"● {printable(status.events[0])} {_length(status.since_seconds)}"
        if len(status.events) > 1:
            what += f" (+{len(status.events) - 1})"
    elif status.label:
        what = f"  {printable(status.label)} {status.score:.2f}"
    else:
        what = "  …"
    facts = [f"{status.rate:.0f} fps"] if status.silent_seconds < 3 else []
    if status.silent_seconds >= 3:
        facts.append(f"silent {status.silent_seconds:.0f} s")
    if status.lag_seconds is not None:
        facts.append(f"lag {status.lag_seconds:.2f} s")
    if status.passed_over:
        facts.append(f"passed over {status.passed_over:,}")
    rest = "  ".join(facts)
    room = width - _NAME - len(rest) - 4
    return f"{name}  {pad(shorten_end(what, max(4, room)), max(4, room))}  {rest}"


def event_line(event: dict[str, Any], width: int = 80) -> str:
    """What began or ended, in one line of at most ``width`` columns."""
    if "start_time" in event:
        moment = event["start_time" if event["type"] == "start" else "end_time"]
        at = datetime.fromisoformat(moment).astimezone().strftime("%H:%M:%S")
    else:
        at = _length(event["start_seconds" if event["type"] == "start" else "end_seconds"])
    name = printable(event.get("file") or event["source"])
    name = pad(shorten_middle(name, _NAME), _NAME)
    tail = f"{event['score']:.2f}"
    if event["type"] == "end":
        tail += f"  {_length(event['end_seconds'] - event['start_seconds'])}"
    room = max(4, width - 8 - _NAME - 5 - len(tail) - 8)
    number = f" #{event['track']}" if "track" in event else ""
    label = shorten_end(printable(event["label"]), room - len(number)) + number
    return f"{at:>8}  {name}  {event['type']:<5}  {label}  {tail}"


def summary_lines(statuses: Sequence[SourceStatus]) -> list[str]:
    """What is said at the end: of each source lag, frames passed over and outages."""
    found = []
    for status in statuses:
        facts = [f"{status.windows:,} windows"]
        if status.lag_seconds is not None:
            facts.append(f"lag at most {status.worst_lag_seconds:.2f} s")
            facts.append(f"{status.passed_over:,} frames passed over")
        if status.reconnects:
            facts.append(f"opened again {status.reconnects} times")
        found.append(f"{shorten_middle(printable(status.name), 40)}: {', '.join(facts)}")
    return found


def _length(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds + 0.5)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

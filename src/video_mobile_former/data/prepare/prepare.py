"""A data set written for fast reading: short clips of H.264 with many key frames.

::

    clips/…/*.mp4     one file for each clip, named after it
    clips.csv         path, label, split, group and, where there are any, events: written last, so
                      a folder that has it is complete
    labels.txt        class names in order
    prepare.json      settings, versions, totals and what failed
    prepare.jsonl     a line for each finished clip: where it came from and what it measures
    failed.txt        what could not be prepared and why; a quarantine list
"""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from ...console import say
from ...errors import DataError, check_at_least
from ...files import write_text
from ...text import csv_line, list_label, list_path
from ...version import __version__
from ..index.clip import events_from, named, to_json
from ..index.index import ClipIndex
from ..index.quarantine import write_quarantine
from ..index.source import Fault
from ..processes import TaskFailure, usable_cores
from ..work_folder import FORMAT, PreparedFolder
from .settings import PrepareSettings
from .tasks import PrepareTask, bytes_before, is_of, plan, record_of, work_through


@dataclass(frozen=True)
class PrepareResult:
    """Result of :func:`prepare`."""

    out: Path
    clips: int
    """Prepared, now or before."""
    reused: int
    """Of these found finished from an earlier run."""
    frames: int
    seconds: float
    """Length of all clips together."""
    bytes_before: int
    """Of the source files of these clips, each counted once, however many clips are cut from it."""
    bytes_after: int
    failures: tuple[tuple[str, str], ...]
    """Name and reason of what could not be prepared."""
    elapsed_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON data."""
        failures = [{"name": name, "reason": reason} for name, reason in self.failures]
        return {**dataclasses.asdict(self), "out": str(self.out), "failures": failures}


def prepare(
    index: ClipIndex,
    out: str | Path,
    settings: PrepareSettings | None = None,
    *,
    num_workers: int | None = None,
    timeout_seconds: float = 300.0,
    overwrite: bool = False,
    faults: Sequence[Fault] = (),
) -> PrepareResult:
    """Transcode every clip of an index for fast random access.

    Clips that are in ``out`` from an earlier run with the same settings are kept as long as
    their sources have the same size and time of change.

    Args:
        index: The clips; those that are parts of a file are cut out of it.
        out: Folder to write; new, empty or of an earlier run.
        settings: Settings of the rewritten clips.
        num_workers: Processes, at least 1; None takes one for each usable core.
        timeout_seconds: Time without progress after which a file is given up.
        overwrite: Start again, also with other settings than before.
        faults: Rows that the index excluded; listed with the files that fail.

    Returns:
        Totals, and what failed.

    Raises:
        UserError: If ``num_workers`` is below 1, the folder holds other things or clips of other
            settings, another process works in it, or the system refuses to write.
    """
    begin = time.monotonic()
    if num_workers is not None:
        check_at_least("num_workers", num_workers, 1)
    settings = settings or PrepareSettings()
    _check_text(index)
    folder = PreparedFolder(out)
    kind = {"format": FORMAT, "settings": dataclasses.asdict(settings)}
    with folder.opened(kind, overwrite=overwrite):
        tasks = plan(index, folder, settings)
        records = {
            task.output: record
            for task in tasks
            if (record := folder.record(task.output)) and is_of(record, task)
        }
        reused = len(records)
        if reused:
            say(f"{folder.path}: {reused} of {len(tasks)} clips are done from before")
        todo = [task for task in tasks if task.output not in records]
        failed: dict[str, str] = {}
        for task, result in work_through(todo, num_workers or usable_cores(), timeout_seconds):
            if isinstance(result, TaskFailure):
                failed[task.output] = result.reason
                continue
            record = record_of(task, result)
            folder.publish(Path(task.partial), record)
            records[task.output] = record
        failures = [(fault.name or fault.where, fault.text) for fault in faults]
        failures += [
            (task.clip.name or task.clip.path, failed[task.output])
            for task in tasks
            if task.output in failed
        ]
        result = PrepareResult(
            out=folder.path,
            clips=len(records),
            reused=reused,
            frames=sum(record["frames"] for record in records.values()),
            seconds=round(sum(record["seconds"] for record in records.values()), 3),
            bytes_before=bytes_before(task for task in tasks if task.output in records),
            bytes_after=sum(record["bytes"] for record in records.values()),
            failures=tuple(failures),
            elapsed_seconds=round(time.monotonic() - begin, 2),
        )
        _finish(folder, index, tasks, records, settings, result)
    return result


def _check_text(index: ClipIndex) -> None:
    for name in index.class_names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"{index.source}: the class name {name!r} is not UTF-8; rename it"
            ) from error


# Files of the folder ------------------------------------------------------------------------


def _finish(
    folder: PreparedFolder,
    index: ClipIndex,
    tasks: list[PrepareTask],
    records: dict[str, dict[str, Any]],
    settings: PrepareSettings,
    result: PrepareResult,
) -> None:
    """Write the files beside the clips; the list last, since a folder with a list is complete."""
    source = f"vmf data prepare {index.source!r}"
    if result.failures:
        write_quarantine(folder.failed, dict(result.failures), source)
    else:
        folder.failed.unlink(missing_ok=True)
    write_text(folder.labels, "".join(f"{name}\n" for name in index.class_names))
    rest = result.to_dict()
    del rest["out"], rest["reused"]
    folder.write_summary(
        {
            "format": FORMAT,
            "state": "complete",
            "source": str(index.source),
            "settings": dataclasses.asdict(settings),
            "multi_label": index.multi_label,
            "versions": {
                "video-mobile-former": __version__,
                "python": platform.python_version(),
                "av": av.__version__,
            },
            **rest,
        },
    )
    done = [task for task in tasks if task.output in records]
    if done:
        write_text(folder.index, _listing(index, done, records))


def _listing(index: ClipIndex, tasks: list[PrepareTask], records: dict[str, dict[str, Any]]) -> str:
    with_events = any(task.clip.events for task in tasks)
    lines = [csv_line(("path", "label", "split", "group", *(["events"] if with_events else [])))]
    for task in tasks:
        clip = task.clip
        label = list_label("|".join(index.class_names[i] for i in clip.labels))
        row = [list_path(task.output), label, clip.split or "", list_label(clip.group or "")]
        if with_events:
            events = events_from(clip, records[task.output].get("begin_seconds", 0.0))
            clip = dataclasses.replace(clip, events=events)
            fields = to_json(named(clip, index.class_names), "events")
            row.append(json.dumps(fields["events"]) if fields else "")
        lines.append(csv_line(row))
    return "".join(lines)

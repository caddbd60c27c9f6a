"""The clips that are to be prepared: one task each, run in processes, recorded when done."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...console import track
from ..index.clip import Clip
from ..index.index import ClipIndex
from ..processes import TaskFailure, run_tasks
from ..video.backend import Reading
from ..video.reader import VideoReader
from ..work_folder import PreparedFolder, origin
from .file_names import output_names
from .settings import PrepareSettings
from .transcode import Prepared, transcode


@dataclass(frozen=True)
class PrepareTask:
    """A clip to transcode."""

    clip: Clip
    output: str
    """Relative to the folder."""
    origin: tuple[int, int] | None
    """Bytes and time of change of the source; None where that is unknown."""
    partial: str
    settings: PrepareSettings


# What is to be done -------------------------------------------------------------------------


def plan(index: ClipIndex, folder: PreparedFolder, settings: PrepareSettings) -> list[PrepareTask]:
    """One task for each clip of an index, in its order."""
    names = output_names(index.clips, ".mp4")
    origin_of = functools.cache(origin)
    return [
        PrepareTask(
            clip=clip,
            output=f"clips/{name}",
            origin=origin_of(clip.path) if clip.size is None else (clip.size, 0),
            # The number of the process keeps apart what two runs leave behind.
            partial=str(folder.partial / f"{os.getpid()}-{number}.mp4"),
            settings=settings,
        )
        for number, (clip, name) in enumerate(zip(index.clips, names, strict=True))
    ]


def is_of(record: dict[str, Any], task: PrepareTask) -> bool:
    """Whether a finished clip was made from this very source."""
    clip = task.clip
    return (
        record["origin"] == (None if task.origin is None else list(task.origin))
        and record["start_seconds"] == clip.start_seconds
        and record["end_seconds"] == clip.end_seconds
        and record["offset"] == clip.offset
        and (not clip.events or "begin_seconds" in record)
    )


def record_of(task: PrepareTask, result: Prepared) -> dict[str, Any]:
    """The record of a finished clip in the journal of the folder."""
    clip = task.clip
    return {
        "output": task.output,
        "name": clip.name,
        "source": clip.path,
        "origin": task.origin,
        "start_seconds": clip.start_seconds,
        "end_seconds": clip.end_seconds,
        "offset": clip.offset,
        **dataclasses.asdict(result),
    }


def bytes_before(tasks: Iterable[PrepareTask]) -> int:
    """Bytes of the sources of tasks, each counted once."""
    sources = {(task.clip.path, task.clip.offset): task.origin for task in tasks}
    return sum(origin[0] for origin in sources.values() if origin)


# Doing it -----------------------------------------------------------------------------------


def work_through(
    tasks: list[PrepareTask], num_workers: int, timeout_seconds: float
) -> Iterator[tuple[PrepareTask, Prepared | TaskFailure]]:
    """Transcode the clips of tasks in processes; yield each when it is done."""
    if not tasks:
        return
    results = run_tasks(
        _prepare_one,
        tasks,
        num_workers=min(num_workers, len(tasks)),
        timeout_seconds=timeout_seconds,
    )
    with contextlib.closing(results):
        yield from track(results, description="preparing", total=len(tasks))


def _prepare_one(task: PrepareTask, alive: Any) -> Prepared:
    clip = task.clip
    partial = Path(task.partial)
    reading = Reading(frame_rate=task.settings.frame_rate)
    try:
        return transcode(
            lambda: VideoReader(clip.path, offset=clip.offset, size=clip.size, reading=reading),
            partial,
            task.settings,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            alive=alive,
        )
    except BaseException:
        partial.unlink(missing_ok=True)
        raise

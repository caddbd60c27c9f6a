"""Packing clips into WebDataset shards: few large tar files in place of very many small files.

::

    shard-000000.tar  <key>.mp4 and <key>.json of some hundred clips of one split, in random order
    …
    shards.json       where each clip lies; written last, so a folder that has it is complete
    sharding.json     settings, totals and what failed
    sharding.jsonl    a line for each finished shard
    failed.txt        what could not be packed and why; a quarantine list
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...console import say, track
from ...errors import check_at_least
from ...files import write_text
from ..index.clip import SPLITS, Clip
from ..index.formats.shard_list import FORMAT, NAME, Shard, ShardList
from ..index.index import ClipIndex
from ..index.quarantine import write_quarantine
from ..index.source import Fault
from ..processes import TaskFailure, run_tasks
from ..work_folder import WorkFolder, origin
from .settings import ShardSettings
from .tar_writer import TarItem, TarTask, item_bytes, write_tar

_UNKNOWN_BYTES = 1_000_000
"""Assumed size of a clip whose size is unknown before it is read (a URL)."""


@dataclass(frozen=True)
class ShardResult:
    """Result of :func:`write_shards`."""

    out: Path
    shards: int
    reused: int
    """Of these found finished from an earlier run."""
    clips: int
    bytes: int
    """Of all shards."""
    failures: tuple[tuple[str, str], ...]
    """Name and reason of what could not be packed."""
    elapsed_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON data."""
        failures = [{"name": name, "reason": reason} for name, reason in self.failures]
        return {**dataclasses.asdict(self), "out": str(self.out), "failures": failures}


def write_shards(
    index: ClipIndex,
    out: str | Path,
    settings: ShardSettings | None = None,
    *,
    num_workers: int = 2,
    timeout_seconds: float = 300.0,
    overwrite: bool = False,
    faults: Sequence[Fault] = (),
) -> ShardResult:
    """Pack every clip of an index into tar files; the videos are copied as they are.

    A shard holds clips of one split, in a random order given by the seed, so that one read from its
    begin to its end has all classes mixed. Every shard is read back and compared before it counts.

    Args:
        index: The clips.
        out: Folder to write; new, empty or of an earlier run.
        settings: How they are divided.
        num_workers: Processes that copy, at least 1.
        timeout_seconds: Time without progress after which a shard is given up.
        overwrite: Start again, also with other settings than before.
        faults: Rows that the index excluded; listed with the files that fail.

    Returns:
        Totals, and what failed.

    Raises:
        UserError: If ``num_workers`` is below 1, the folder holds other things or shards of other
            settings, another process works in it, or the system refuses to write.
    """
    begin = time.monotonic()
    check_at_least("num_workers", num_workers, 1)
    settings = settings or ShardSettings()
    folder = WorkFolder(out, index=NAME, summary="sharding.json", journal="sharding.jsonl")
    kind = {"format": FORMAT, "settings": dataclasses.asdict(settings)}
    with folder.opened(kind, overwrite=overwrite):
        failures = [(fault.name or fault.where, fault.text) for fault in faults]
        items = _items(index, failures)
        tasks = _plan(items, settings, folder)
        todo = [task for task in tasks if _done(folder, task) is None]
        reused = len(tasks) - len(todo)
        if reused:
            say(f"{folder.path}: {reused} of {len(tasks)} shards are done from before")
        broken: dict[str, str] = {}
        results = run_tasks(
            write_tar,
            todo,
            num_workers=max(1, min(num_workers, len(todo))),
            timeout_seconds=timeout_seconds,
        )
        with contextlib.closing(results):
            for task, found in track(results, description="packing", total=len(todo)):
                if isinstance(found, TaskFailure):
                    broken[task.file] = found.reason
                else:
                    _publish(folder, task, found)
        records = [record for task in tasks if (record := _done(folder, task))]
        for task in tasks:
            if task.file in broken:
                failures += [(item.clip.name, broken[task.file]) for item in task.items]
        failures += [tuple(pair) for record in records for pair in record["failures"]]
        written = (Shard.from_dict(record["shard"]) for record in records)
        shards = tuple(shard for shard in written if shard.clips)
        result = ShardResult(
            out=folder.path,
            shards=len(shards),
            reused=reused,
            clips=sum(len(shard.clips) for shard in shards),
            bytes=sum(shard.bytes for shard in shards),
            failures=tuple(failures),
            elapsed_seconds=round(time.monotonic() - begin, 2),
        )
        _finish(folder, index, shards, kind, result)
    return result


def _items(index: ClipIndex, failures: list[tuple[str, str]]) -> list[TarItem]:
    """The clips to pack; what cannot be packed goes to ``failures``."""
    origin_of = functools.cache(origin)
    items: list[TarItem] = []
    copies: set[tuple[str, int | None]] = set()
    for number, clip in enumerate(index.clips):
        found = origin_of(clip.path)
        why = None
        if found is None and "://" not in clip.path:
            why = "no such file, or no permission to look at it"
        elif found is not None and Path(clip.path).is_dir():
            why = "a folder of pictures; `vmf data prepare` makes a video of it first"
        if why is not None:
            failures.append((clip.name or clip.path, why))
            continue
        copies.add((clip.path, clip.offset))
        items.append(_item(clip, number, index, found))
    if len(copies) < len(items):
        say(
            f"{index.source}: {len(items)} clips are parts of {len(copies)} files, and each gets a "
            "copy of its whole file; `vmf data prepare` cuts them out first"
        )
    return items


def _item(clip: Clip[int], number: int, index: ClipIndex, found: tuple[int, int] | None) -> TarItem:
    size = clip.size if clip.size is not None else found[0] if found else None
    return TarItem(
        key=f"{number:08d}",
        clip=dataclasses.replace(clip, name=clip.name or clip.path, size=size),
        class_names=tuple(index.class_names[label] for label in clip.all_labels),
        multi_label=index.multi_label,
        changed_ns=found[1] if found else None,
    )


def _plan(items: list[TarItem], settings: ShardSettings, folder: WorkFolder) -> list[TarTask]:
    """Divide the clips of each split among shards of about the same size."""
    divided: list[list[TarItem]] = []
    for number, split in enumerate((None, *SPLITS)):
        members = [item for item in items if item.clip.split == split]
        order = np.random.default_rng([settings.seed, number]).permutation(len(members))
        divided += _divide([members[i] for i in order], settings)
    return [
        TarTask(
            file=f"shard-{number:06d}.tar",
            partial=str(folder.partial / f"shard-{number:06d}.tar"),
            items=tuple(members),
        )
        for number, members in enumerate(divided)
    ]


def _divide(items: list[TarItem], settings: ShardSettings) -> list[list[TarItem]]:
    most = int(settings.max_mb * 1e6)
    sizes = [item_bytes(item, _UNKNOWN_BYTES) for item in items]
    # Equal shares, so that the last shard is not a remainder of a few clips.
    count = max(1, -(-sum(sizes) // most))
    if settings.clips_per_shard is not None:
        count = max(count, -(-len(items) // settings.clips_per_shard))
    share = sum(sizes) / count
    clips = settings.clips_per_shard or len(items)
    out: list[list[TarItem]] = []
    total = inside = 0
    for item, size in zip(items, sizes, strict=True):
        full = out and (inside + size > most or len(out[-1]) >= clips)
        if not out or full or total >= share * len(out):
            out.append([])
            inside = 0
        out[-1].append(item)
        total += size
        inside += size
    return out


def _fingerprint(task: TarTask) -> str:
    return hashlib.sha256(repr(task.items).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _done(folder: WorkFolder, task: TarTask) -> dict[str, Any] | None:
    """The record of a shard that stands and holds what is now planned for it."""
    record = folder.record(task.file)
    return record if record and record["fingerprint"] == _fingerprint(task) else None


def _publish(folder: WorkFolder, task: TarTask, found: tuple[Shard, list[tuple[str, str]]]) -> None:
    shard, failures = found
    record = {
        "output": task.file,
        "bytes": shard.bytes,
        "fingerprint": _fingerprint(task),
        "failures": failures,
        "shard": shard.to_dict(),
    }
    folder.publish(Path(task.partial), record)


def _finish(
    folder: WorkFolder,
    index: ClipIndex,
    shards: tuple[Shard, ...],
    kind: dict[str, Any],
    result: ShardResult,
) -> None:
    """Write the other files, ``shards.json`` last, and remove shards of an earlier, larger plan."""
    if result.failures:
        entries = dict(result.failures)
        write_quarantine(folder.failed, entries, f"vmf data shard {index.source!r}")
    else:
        folder.failed.unlink(missing_ok=True)
    rest = result.to_dict()
    del rest["out"], rest["reused"]
    folder.write_summary({**kind, "state": "complete", "source": str(index.source), **rest})
    if shards:
        listed = ShardList(index.class_names, index.multi_label, shards)
        write_text(folder.index, listed.dumps())
    planned = {shard.file for shard in shards}
    for file in set(folder.records) - planned:
        (folder.path / file).unlink(missing_ok=True)

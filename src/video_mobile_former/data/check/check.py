"""``vmf data check``: from data to a verdict on whether training may start."""

from __future__ import annotations

import dataclasses
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...optional import require
from ..byte_ranges import is_url, require_protocol
from ..index.formats import find_format
from ..index.index import ClipIndex, load_index, read_label_file
from ..index.source import DataSource, Fault, Faults
from ..loading.loader import default_workers
from .background_rules import problems_of_backgrounds
from .class_rules import problems_of_classes
from .copy_rules import problems_of_copies
from .facts import FileFacts, FileKey, FileTask, file_key
from .file_rules import odd_name, problems_of
from .problems import KINDS, Problem, problem
from .read_files import choose_moving, choose_thumbnails, read_files
from .result import CheckOptions, CheckResult

_MUCH_MISSING = 0.1
"""Share of an official list that may be missing without a warning."""
_PICTURES_PER_CLASS = 16
"""Thumbnails made per class; the page shows some of them."""
_MOVING_PER_CLASS, _MOST_MOVING = 8, 160
"""Clips that can be watched: of each class, and of all together."""


def check_data(source: DataSource, out: Path, options: CheckOptions) -> CheckResult:
    """Read every file of a data set and report its problems.

    Args:
        source: The data.
        out: Folder for the facts of every file; may be the one for :func:`.write_check`.
        options: Thoroughness and limits.

    Returns:
        The outcome, with every problem found.

    Raises:
        DataError: If there is no such data, or none of it can be parsed.
        UserError: If the folder cannot be written, or a library for the page is not installed.
        KeyboardInterrupt: When interrupted; facts read so far are kept in ``out``.
    """
    begin = time.monotonic()
    # Check the libraries for the page before hours of reading.
    for library in ("jinja2", "matplotlib"):
        require(library, extra="train", purpose="the page of a check")
    index, faults = _load(source, options.split)
    passed_over = dict(faults.passed_over)
    tasks, keys = _tasks(index, passed_over, options)
    for url in {c.path.partition("://")[0]: c.path for c in index.clips if is_url(c.path)}.values():
        require_protocol(url)  # a missing library is not a fault of the files
    workers = options.num_workers or default_workers()
    read = read_files(tasks, out, num_workers=workers, timeout_seconds=options.timeout_seconds)
    facts = [read[key] for key in keys]
    problems = [_of_row(source, fault) for fault in faults.found]
    problems += _much_missing(source, index, problems)
    problems += _of_passed_over(passed_over, read)
    problems += _of_clips(index, facts)
    if options.split is None:
        leaks = [one for one in problems if one.kind in ("leak", "near leak")]
        known = frozenset(name for one in leaks for name in (one.name, *one.related))
        problems += problems_of_backgrounds(list(zip(index.clips, facts, strict=True)), known)
    excluded = _quarantine(index, problems)
    usable = np.array([(clip.name or clip.path) not in excluded for clip in index.clips], bool)
    problems += _class_order(source)
    if len(index):
        problems += problems_of_classes(
            index, usable, min_clips=options.min_clips, one_split=options.split is not None
        )
    return CheckResult(
        source=source,
        options=options,
        index=index,
        facts=facts,
        usable=usable,
        problems=[_final(p, excluded, options.allow) for p in _in_order(problems)],
        quarantine=excluded,
        num_files=len(set(keys)),
        num_passed_over=len(passed_over),
        may_lack_files=find_format(source).may_lack_files,
        seconds=time.monotonic() - begin,
    )


def _load(source: DataSource, split: str | None) -> tuple[ClipIndex, Faults]:
    faults = Faults(collect=True)
    try:
        index = load_index(source, faults=faults)
    except DataError:
        if not faults.found:
            raise
        # Nothing in it can be used; the report lists the fault of each row.
        names = read_label_file(source.label_file) if source.label_file else ()
        return ClipIndex((), names, str(source.listing)), faults
    return (index.split(split) if split else index), faults


def _tasks(
    index: ClipIndex, passed_over: Iterable[str], options: CheckOptions
) -> tuple[list[FileTask], list[FileKey]]:
    """The files to read, each once; and the file key of every clip."""
    labels = [clip.labels for clip in index.clips]
    shown = choose_thumbnails(labels, _PICTURES_PER_CLASS)
    moving = choose_moving(labels, _MOVING_PER_CLASS, _MOST_MOVING) if options.full else set()
    tasks: dict[tuple[str, int | None], FileTask] = {}
    keys: list[FileKey] = []
    for place, clip in enumerate(index.clips):
        task = tasks.get((clip.path, clip.offset))
        if task is None:
            key = file_key(clip.path, clip.offset, clip.size)
            task = FileTask(
                key,
                in_archive=clip.offset is not None,
                full=options.full,
                memory_limit_mb=options.memory_limit_mb,
            )
        if place in shown or place in moving:
            task = dataclasses.replace(task, thumbnail=True, moving=task.moving or place in moving)
        tasks[clip.path, clip.offset] = task
        keys.append(task.key)
    others = [FileTask(file_key(path), full=False, sniff=True) for path in passed_over]
    return [*tasks.values(), *others], keys


# Problems ---------------------------------------------------------------------------------


def _of_row(source: DataSource, fault: Fault) -> Problem:
    kind = fault.kind if fault.kind in KINDS else "unusable row"
    text = fault.text
    if kind == "missing":
        if find_format(source).may_lack_files:
            kind = "missing from the official list"
        text += _hint(source, fault.name)
    return problem(kind, fault.name or fault.where, text, where=fault.where)


def _much_missing(
    source: DataSource, index: ClipIndex, problems: Sequence[Problem]
) -> list[Problem]:
    """A problem where a large share of an official list is missing."""
    missing = sum(one.kind == "missing from the official list" for one in problems)
    share = missing / max(1, missing + len(index))
    if share <= _MUCH_MISSING:
        return []
    return [problem("much is missing", str(source.listing), f"{100 * share:.1f} % of its files")]


def _hint(source: DataSource, name: str) -> str:
    """A likely reason for a missing file: another suffix, or names in another encoding."""
    if odd_name(name):
        return f"; {odd_name(name)} in the list"
    path = Path(os.path.abspath(source.folder)) / name  # noqa: PTH100
    try:
        beside = sorted(p.name for p in path.parent.iterdir() if p.stem == path.stem)
    except (OSError, ValueError):
        return ""
    return f"; {beside[0]} is there" if beside else ""


def _of_passed_over(names: Mapping[str, str], known: dict[FileKey, FileFacts]) -> list[Problem]:
    """Files that the folder format ignores although they are videos."""
    text = "a video by its content, but not by its name: it is ignored"
    return [
        problem("wrong extension", names[key.path], text)
        for key, facts in known.items()
        if facts.sniffed and not facts.fault
    ]


def _of_clips(index: ClipIndex, facts: Sequence[FileFacts]) -> list[Problem]:
    found: list[Problem] = []
    pairs = list(zip(index.clips, facts, strict=True))
    seen: set[tuple[str, str]] = set()
    for clip, one in pairs:
        name = clip.name or clip.path
        new = list(problems_of(clip, one))
        if odd_name(name):
            new.append(problem("name", name, odd_name(name)))
        # Several clips of one file share its problems.
        found += [p for p in new if (p.kind, name) not in seen or p.kind == "empty part"]
        seen.update((p.kind, name) for p in new)
    return found + problems_of_copies(pairs)


def _class_order(source: DataSource) -> list[Problem]:
    official = find_format(source).class_names(source)
    if official is None or source.label_file is None:
        return []
    given = read_label_file(source.label_file)
    for place, (here, there) in enumerate(zip(given, official, strict=False)):
        if here != there:
            text = f"class {place} is {here!r} there, but {there!r} in the data's own list"
            return [problem("class order", source.label_file, text)]
    if len(given) != len(official):
        text = f"{len(given)} classes there, {len(official)} in the data's own list"
        return [problem("class order", source.label_file, text)]
    return []


def _quarantine(index: ClipIndex, problems: Sequence[Problem]) -> dict[str, str]:
    """Names of clips to exclude from training, with the reason.

    A list of names excludes every clip of a name: where only some of the clips cut from a file are
    faulty, none is listed, and training skips the faulty ones when it reads them.
    """
    train = {clip.name or clip.path for clip in index.clips if clip.split == "train"}
    reasons: dict[str, str] = {}
    whole: set[str] = set()
    faulty: Counter[str] = Counter()
    for one in problems:
        leaked = one.kind == "leak" and one.name in train
        if KINDS[one.kind].severity == "unusable" or leaked:
            said = one.kind in one.text  # "not a video but text" needs no heading
            reasons.setdefault(one.name, one.text if said else f"{one.kind}: {one.text}")
            faulty[one.name] += 1
            if not leaked and one.kind != "empty part":
                whole.add(one.name)
    clips = Counter(name for c in index.clips if (name := c.name or c.path) in reasons)
    return {
        name: reason
        for name, reason in reasons.items()
        if name in whole or faulty[name] >= clips[name]
    }


def _final(one: Problem, excluded: dict[str, str], allow: frozenset[str]) -> Problem:
    concerns_file = KINDS[one.kind].severity == "unusable" or one.kind == "leak"
    return dataclasses.replace(
        one,
        severity="warning" if one.kind in allow else one.severity,
        quarantined=concerns_file and one.name in excluded,
    )


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    order = {kind: place for place, kind in enumerate(KINDS)}
    return sorted(problems, key=lambda p: order[p.kind])

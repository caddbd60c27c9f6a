"""Reading all files of a data set in worker processes, skipping those known already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...console import say, track
from ...errors import UserError
from ..processes import TaskFailure, run_tasks
from ..work_folder import locked
from .facts import FactsStore, FileFacts, FileKey, FileTask
from .inspect import inspect_file


def read_files(
    tasks: Sequence[FileTask], folder: Path, *, num_workers: int, timeout_seconds: float
) -> dict[FileKey, FileFacts]:
    """Read files, reusing the facts of an earlier run.

    Args:
        tasks: One per file.
        folder: Where the facts are stored.
        num_workers: Processes, at least 1.
        timeout_seconds: Longest time without progress on a file.

    Returns:
        The facts of every file; a crash, a hang or running out of memory is a fact too.

    Raises:
        KeyboardInterrupt: After a message that the next run continues.
        UserError: If the folder cannot be written, or another process writes to it.
    """
    _make(folder)
    with locked(folder), FactsStore(folder) as store:
        known = {task.key: facts for task in tasks if (facts := store.find(task)) is not None}
        left = [task for task in tasks if task.key not in known]
        if known and left:
            say(f"{len(known)} of {len(tasks)} files are unchanged since an earlier check")
        try:
            progress = track(
                _results(left, num_workers, timeout_seconds),
                description="reading files",
                total=len(left),
            )
            for facts in progress:
                store.add(facts)
                known[facts.key] = facts
        except KeyboardInterrupt:
            say(
                f"stopped after {len(known)} of {len(tasks)} files; results are kept in "
                f"{store.path}, and the same command continues from there"
            )
            raise
        store.keep_only([known[task.key] for task in tasks])
    return known


def _make(folder: Path) -> None:
    """Check that the folder can be written, before hours of work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error


def _results(
    tasks: Sequence[FileTask], num_workers: int, timeout_seconds: float
) -> Iterator[FileFacts]:
    """Results as they come; a file whose process died is tried again."""
    again: list[FileTask] = []
    for task, facts in _run(tasks, num_workers, timeout_seconds):
        if facts.fault == "crash":
            again.append(task)
        else:
            yield facts
    # One at a time, so that a file is not blamed for the memory use of another.
    for _, facts in _run(again, 1, timeout_seconds):
        yield facts


def _run(
    tasks: Iterable[FileTask], num_workers: int, timeout_seconds: float
) -> Iterator[tuple[FileTask, FileFacts]]:
    results = run_tasks(
        inspect_file, tasks, num_workers=num_workers, timeout_seconds=timeout_seconds
    )
    for task, result in results:
        if isinstance(result, TaskFailure):
            kind = {"died": "crash", "hung": "too slow"}.get(result.kind, "unreadable")
            result = FileFacts(task.key, full=task.full, fault=kind, reason=result.reason)
        yield task, result


def choose_thumbnails(labels: Iterable[Sequence[int]], each: int) -> set[int]:
    """Positions of clips to show, spread evenly over the clips of every class.

    Args:
        labels: Classes of every clip.
        each: Clips per class; slightly more than are shown, as some may be broken.
    """
    of_class: dict[int, list[int]] = {}
    for place, classes in enumerate(labels):
        for label in classes:
            of_class.setdefault(label, []).append(place)
    chosen: set[int] = set()
    for places in of_class.values():
        count = min(each, len(places))
        chosen.update(places[i * len(places) // count] for i in range(count))
    return chosen


def choose_moving(labels: Sequence[Sequence[int]], each: int, most: int) -> set[int]:
    """Positions of clips that can be watched, evenly over classes and over the clips of each.

    Args:
        labels: Classes of every clip.
        each: Clips per class where classes are few.
        most: Clips of all classes together.
    """
    num_classes = max(1, len({label for classes in labels for label in classes}))
    chosen = sorted(choose_thumbnails(labels, max(1, min(each, most // num_classes))))
    if len(chosen) > most:
        chosen = [chosen[i * len(chosen) // most] for i in range(most)]
    return set(chosen)

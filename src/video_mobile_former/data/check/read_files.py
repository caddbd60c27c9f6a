"""Reading all files of a set in worker processes, with what is known already left out."""

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
    """Read files, or take over what an earlier run found out about them.

    Args:
        tasks: One for each file.
        folder: Where the facts are kept.
        num_workers: Processes, at least 1.
        timeout_seconds: Longest time in which a file does not get on.

    Returns:
        The facts of every file; one that crashed a process, hung it or took all memory is a fact
        like others.

    Raises:
        KeyboardInterrupt: After saying that the next run goes on.
        UserError: If the folder cannot be written, or another process writes in it.
    """
    _make(folder)
    with locked(folder), FactsStore(folder) as store:
        known = {task.key: facts for task in tasks if (facts := store.find(task)) is not None}
        left = [task for task in tasks if task.key not in known]
        if known and left:
            say(f"{len(known)} of {len(tasks)} files are known from before and have not changed")
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
                f"stopped after {len(known)} of {len(tasks)} files; what was found is kept in "
                f"{store.path}, and the same command goes on from there"
            )
            raise
        store.keep_only([known[task.key] for task in tasks])
    return known


def _make(folder: Path) -> None:
    """Make sure before hours of work that the folder can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error


def _results(
    tasks: Sequence[FileTask], num_workers: int, timeout_seconds: float
) -> Iterator[FileFacts]:
    """Results as they come; a file during which a process died gets a second chance."""
    again: list[FileTask] = []
    for task, facts in _run(tasks, num_workers, timeout_seconds):
        if facts.fault == "crash":
            again.append(task)
        else:
            yield facts
    # One at a time, so that a neighbour that takes all memory is not blamed on it.
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
    """Positions of clips to be shown, spread evenly over the clips of every class.

    Args:
        labels: Classes of every clip.
        each: Clips of a class to choose; a little more than will be shown, as some may be broken.
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

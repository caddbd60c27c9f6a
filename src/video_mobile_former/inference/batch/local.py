"""The local engine: worker processes that share the cores of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

from ...data.processes import TaskFailure, run_tasks, usable_cores
from ...errors import UserError, check_at_least
from .job import BatchJob, BatchWorker, failed
from .rows import EncodedRow
from .sources import BatchItem

HANG_SECONDS = 300.0
"""Longest time without a sign of life, after which a worker is replaced."""
_MOST_DEATHS = 10
"""Workers that end one after another before any makes a row: new ones would end as well."""


class LocalEngine:
    """Runs a job in processes that each hold the model and decode themselves.

    A worker that ends is replaced. What it was at is done once more, each video alone; a video
    whose worker ends twice has a row that says so.

    Args:
        num_workers: Processes; 0 works in this one, None takes all usable cores.
        batch_size: Videos in one forward pass; None takes 1 on the CPU, else 8.
        hang_seconds: Longest time without a sign of life.

    Raises:
        UserError: If a number is out of range.
    """

    name = "local"

    def __init__(
        self,
        num_workers: int | None = None,
        batch_size: int | None = None,
        *,
        hang_seconds: float = HANG_SECONDS,
    ):
        self.num_workers = usable_cores() if num_workers is None else num_workers
        check_at_least("num_workers", self.num_workers, 0)
        if batch_size is not None:
            check_at_least("batch_size", batch_size, 1)
        self.batch_size = batch_size
        self.hang_seconds = hang_seconds

    @property
    def cores(self) -> float:
        """Cores that the run holds."""
        return max(1, self.num_workers)

    def __call__(
        self, job: BatchJob, items: Sequence[BatchItem], worker: BatchWorker
    ) -> Generator[list[EncodedRow], None, None]:
        """Yield rows as they are done.

        Args:
            job: What to do.
            items: The videos.
            worker: A worker in this process, which showed that the model can do it.

        Raises:
            UserError: If workers end without end, or the model cannot be loaded in them.
        """
        size = self.batch_size or (1 if worker.device.type == "cpu" else 8)
        tasks = [tuple(items[i : i + size]) for i in range(0, len(items), size)]
        if self.num_workers == 0:
            for task in tasks:
                yield worker(task)
            return
        again: list[tuple[BatchItem, ...]] = []
        deaths = 0
        for task, found in self._run(job, tasks):
            if isinstance(found, TaskFailure):
                deaths += 1
                if deaths >= _MOST_DEATHS:
                    raise UserError(
                        f"{deaths} workers ended one after another, the last over "
                        f"{task[0].path}: {found.reason}; try a lower --num_workers"
                    )
                again += [(item,) for item in task]
            else:
                deaths = 0
                yield found
        for task, found in self._run(job, again):
            if isinstance(found, TaskFailure):
                yield [failed(item, f"{found.reason}, twice") for item in task]
            else:
                yield found

    def _run(
        self, job: BatchJob, tasks: Sequence[tuple[BatchItem, ...]]
    ) -> Iterator[tuple[tuple[BatchItem, ...], list[EncodedRow] | TaskFailure]]:
        results = run_tasks(
            _InProcess(job),
            tasks,
            num_workers=max(1, min(self.num_workers, len(tasks))),
            timeout_seconds=self.hang_seconds,
        )
        with contextlib.closing(results):
            for task, found in results:
                if isinstance(found, str):
                    raise UserError(found)
                yield task, found


class _InProcess:
    """The function of worker processes; each loads the model at its first task."""

    def __init__(self, job: BatchJob):
        self.job = job
        self._worker: BatchWorker | None = None

    def __call__(self, items: Iterable[BatchItem], alive: Callable[[], None]) -> Any:
        if self._worker is None:
            try:
                self._worker = BatchWorker(self.job, threads=1)
            except UserError as error:
                return str(error)  # of the model, not of the video
        return self._worker(tuple(items), alive)

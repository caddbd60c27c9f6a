"""Batch runs on a cluster: Ray Data spreads videos over actors that hold the model and decode.

Ray restarts actors and nodes that end and gives their videos to others; its own ``read_videos``,
which decodes every frame, is not used. What it does not know is which video ends its actor every
time: actors note what they begin in a ledger, and a video that was begun twice and never finished
becomes a row that says so.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from ..console import quiet
from ..data.processes import usable_cores
from ..errors import UserError, check_at_least
from ..inference.batch.job import BatchJob, BatchWorker, failed
from ..inference.batch.local import HANG_SECONDS
from ..inference.batch.rows import EncodedRow
from ..inference.batch.sources import BatchItem
from ..optional import require
from .ray_ledger import Ledger, Notes

_MOST_FILES = 64
"""Videos in one task of an actor, whose rows come together."""
_TASKS_AN_ACTOR = 8
_ACTORS_A_LEDGER = 256
_TRIES = 2
_LOCAL_STORE_BYTES = 256 << 20
"""Object store of a local cluster: paths and rows pass through it, no pictures."""


class RayEngine:
    """Runs a job in actors of a Ray cluster.

    Args:
        num_workers: Actors; None takes the cores of the cluster, or of the local machine.
        batch_size: Videos in one forward pass; None takes 1 without a GPU, else 8.
        address: Of the cluster: ``"auto"``, ``host:port`` or ``ray://host:port``; None starts a
            local one, which ends with this process. A cluster that this process has joined
            already is used as it is.
        gpus_per_worker: GPUs that each actor holds.
        hang_seconds: Longest time of one video, after which its actor is ended.

    Raises:
        UserError: If Ray is not installed, a number is out of range or the cluster cannot be
            joined.
    """

    name = "ray"

    def __init__(
        self,
        num_workers: int | None = None,
        batch_size: int | None = None,
        *,
        address: str | None = None,
        gpus_per_worker: float = 0.0,
        hang_seconds: float = HANG_SECONDS,
    ):
        # Reports to its makers are off; logs of Ray Data stay in its files.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        self._ray = require("ray", extra="ray", purpose="--engine ray")
        if num_workers is not None:
            check_at_least("num_workers", num_workers, 1)
        if batch_size is not None:
            check_at_least("batch_size", batch_size, 1)
        self.num_workers = num_workers
        self.batch_size = batch_size or (8 if gpus_per_worker else 1)
        self.address = address
        self.gpus_per_worker = gpus_per_worker
        self.hang_seconds = hang_seconds
        self._ours = False
        """This process joined the cluster for this engine, and leaves it afterwards."""

    @property
    def cores(self) -> float:
        """Cores that the run holds, one an actor."""
        return self._actors()

    def __call__(
        self, job: BatchJob, items: Sequence[BatchItem], worker: BatchWorker
    ) -> Generator[list[EncodedRow], None, None]:
        """Yield rows as tasks are done.

        Args:
            job: What to do.
            items: The videos, under paths that every node can read.
            worker: A worker in this process, which showed that the model can do it.

        Raises:
            UserError: If the cluster is lost or has no room for an actor.
        """
        self._join()
        try:
            yield from self._rows(job, items)
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().split("\n")
            raise UserError(
                f"Ray gave up: {lines[-1].strip()[:300]}; what is done is kept, and the same "
                "command goes on"
            ) from error
        finally:
            if self._ours:
                self._ray.shutdown()

    def _actors(self) -> int:
        if self.num_workers is not None:
            return self.num_workers
        self._join()
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _join(self) -> None:
        """Join the cluster, or start one, unless that is done already."""
        ray = self._ray
        if ray.is_initialized():
            return
        options: dict[str, Any] = {"address": self.address or "local"}
        if self.address is None:
            options |= {
                "num_cpus": self.num_workers or usable_cores(),
                "object_store_memory": _LOCAL_STORE_BYTES,
                "include_dashboard": False,
            }
        try:
            with quiet():
                ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            reason = str(error).strip().split("\n")[0]
            where = f"the Ray cluster {self.address}" if self.address else "a local Ray cluster"
            raise UserError(f"{where} cannot be reached: {reason[:200]}") from error
        self._ours = True

    def _rows(self, job: BatchJob, items: Sequence[BatchItem]) -> Iterator[list[EncodedRow]]:
        ray = self._ray
        actors = self._actors()
        size = _task_size(len(items), actors, job)
        with quiet():
            import pyarrow as pa
            import ray.data as ray_data

            context = ray_data.DataContext.get_current()
            context.enable_progress_bars = False
            context.print_on_execution_start = False
            here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                ray.get_runtime_context().get_node_id(), soft=True
            )
            ledgers = [
                ray.remote(Ledger)
                .options(
                    num_cpus=0,
                    max_restarts=-1,
                    max_task_retries=-1,
                    max_concurrency=1,
                    scheduling_strategy=here,
                )
                .remote()
                for _ in range(1 + actors // _ACTORS_A_LEDGER)
            ]
            tables = [
                _table(pa, items[first : first + size], first)
                for first in range(0, len(items), size)
            ]
            made = ray_data.from_arrow(tables).map_batches(
                BatchActor,
                fn_constructor_kwargs={
                    "job": ray.put(job),
                    "ledgers": ledgers,
                    "batch_size": self.batch_size,
                    "hang_seconds": self.hang_seconds,
                },
                batch_size=None,
                batch_format="pyarrow",
                compute=ray_data.ActorPoolStrategy(
                    min_size=1, max_size=min(actors, len(tables)), max_tasks_in_flight_per_actor=2
                ),
                num_cpus=1,
                num_gpus=self.gpus_per_worker,
            )
            seen: set[str] = set()
            batches: Iterator[Any] = iter(
                made.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)
            )
        while True:
            with quiet():
                batch = next(batches, None)
            if batch is None:
                return
            rows = [EncodedRow(*values) for values in zip(*batch.to_pydict().values(), strict=True)]
            # A task that was done again after its node was lost.
            fresh = [row for row in rows if row.key not in seen]
            seen.update(row.key for row in fresh)
            yield fresh


class BatchActor:
    """Holds the model and makes rows of tables of videos; what Ray Data calls.

    Args:
        job: What to do, or a reference to it.
        ledgers: Handles of actors that count what is begun.
        batch_size: Videos in one forward pass.
        hang_seconds: Longest time without a sign of life, after which this process ends.
    """

    def __init__(self, job: Any, ledgers: Sequence[Any], batch_size: int, hang_seconds: float):
        import ray

        self._ray = ray
        given = ray.get(job) if isinstance(job, ray.ObjectRef) else job
        self._worker = BatchWorker(given, threads=1)
        self._ledgers = ledgers
        self._batch_size = batch_size
        self._hang_seconds = hang_seconds

    def __call__(self, table: Any) -> Any:
        """Rows of a table of videos, both of Arrow."""
        import pyarrow as pa

        columns = table.to_pydict()
        first = columns.pop("position")[0]
        items = [BatchItem(*values) for values in zip(*columns.values(), strict=True)]
        notes = Notes(self._ray, self._ledgers[first // _MOST_FILES % len(self._ledgers)])
        rows: list[EncodedRow] = []
        for start in range(0, len(items), self._batch_size):
            some = items[start : start + self._batch_size]
            which = (first + start, len(some))
            times = notes.begin(which)
            if times == 1 or (len(some) == 1 and times <= _TRIES):
                rows += self._make(some)
            elif len(some) == 1:
                rows.append(failed(some[0], _ENDS))
            else:
                # Together they ended an actor; alone it shows which one does.
                for number, item in enumerate(some):
                    alone = (first + start + number, 1)
                    ended = notes.begin(alone) >= _TRIES
                    rows += [failed(item, _ENDS)] if ended else self._make([item])
                    notes.done(alone)
            notes.done(which)
        notes.finish()
        values = [list(column) for column in zip(*rows, strict=True)]
        return pa.table(dict(zip(EncodedRow._fields, values, strict=True)))

    def _make(self, items: Sequence[BatchItem]) -> list[EncodedRow]:
        """Make rows, under a timer of the system that ends this process if it hangs."""
        self._wind_up()
        try:
            return self._worker(items, self._wind_up)
        finally:
            if hasattr(signal, "setitimer"):
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _wind_up(self) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, self._hang_seconds)


_ENDS = f"the actor that worked on it ended or hung, {_TRIES} times"


def _task_size(videos: int, actors: int, job: BatchJob) -> int:
    """Videos in one task, so that every actor gets several and little is lost with one."""
    if job.rows == "events":
        return 1
    return max(1, min(_MOST_FILES, videos // (actors * _TASKS_AN_ACTOR)))


def _table(pa: Any, items: Sequence[BatchItem], first: int) -> Any:
    """Videos as a table of Arrow: their fields, and their positions."""
    columns = dict(zip(BatchItem._fields, map(list, zip(*items, strict=True)), strict=True))
    kinds = {
        "path": pa.string(),
        "file": pa.string(),
        "offset": pa.int64(),
        "size": pa.int64(),
        "start_seconds": pa.float64(),
        "end_seconds": pa.float64(),
    }
    arrays = {name: pa.array(columns[name], kinds[name]) for name in kinds}
    return pa.table({**arrays, "position": list(range(first, first + len(items)))})

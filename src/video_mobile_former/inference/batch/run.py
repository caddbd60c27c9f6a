"""A batch run from its list of videos to its table, over several tries if need be."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ...console import progress_bar, say
from ...errors import UserError
from ...files import check_file
from .costs import Costs, Meter
from .job import BatchJob, BatchWorker, RowKind
from .journal import BatchJournal, is_journal
from .rows import EncodedRow, table_format
from .sources import BatchItem

JOURNAL = ".progress.jsonl"
"""What the name of a table is followed by in that of its journal."""
_FIRST_ESTIMATE_SECONDS = 60.0
"""After the first row."""
_FURTHER_SECONDS = 600.0
"""From one line on the costs to the next."""


class Engine(Protocol):
    """What runs a job: processes of this machine, or actors of several."""

    name: str

    @property
    def cores(self) -> float:
        """Cores that the run holds."""
        ...

    def __call__(
        self, job: BatchJob, items: Sequence[BatchItem], worker: BatchWorker
    ) -> Generator[list[EncodedRow], None, None]:
        """Yield the rows of all items, in any order."""
        ...


@dataclass(frozen=True)
class BatchResult:
    """What a batch run did."""

    out: str
    engine: str
    num_files: int
    """Videos that were named."""
    num_failed: int
    """Of these, rows with a reason in place of a result."""
    done_before: int
    """Of these, found in the journal."""
    kept: int
    """Rows of other videos, from earlier runs into the same file."""
    costs: Costs

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "costs": self.costs.to_dict()}


def run_batch(
    job: BatchJob,
    items: Sequence[BatchItem],
    out: str | Path,
    engine: Engine,
    *,
    restart: bool = False,
    retry_failed: bool = False,
    overwrite: bool = False,
    dollars_per_core_hour: float | None = None,
) -> BatchResult:
    """Make a row of every video that has none yet, and write the table.

    Each row is on disk, in the journal beside ``out``, as soon as it is made. Whatever is killed,
    the next run with the same options makes the rows that are missing. The table has the rows of
    ``items`` in their order, then those that earlier runs made of other videos.

    Args:
        job: What to do.
        items: The videos, see :func:`~.sources.batch_items`.
        out: Table to write, ``.parquet``, ``.jsonl`` or, of embeddings, ``.npz``.
        engine: Does it.
        restart: Make all rows anew, also with other options than before.
        retry_failed: Try videos again that could not be read.
        overwrite: Replace an ``out`` that was not made so.
        dollars_per_core_hour: For the estimate of costs.

    Raises:
        UserError: If ``out`` or the journal is another's or cannot be written, options differ from
            those of the journal, or the model cannot do it.
    """
    out = Path(out)
    check_out(job.rows, items, out, overwrite=overwrite)
    table = table_format(out)
    job.check_items(items)
    worker = BatchWorker(job, job.model.name)
    options = options_of(job, worker)
    with BatchJournal(journal_of(out), options, restart=restart) as journal:
        todo = [item for item in items if not journal.is_done(item, retry_failed=retry_failed)]
        done_before = len(items) - len(todo)
        if done_before:
            say(f"{done_before:,} of {len(items):,} files were done before (all anew: --restart)")
        meter = Meter(len(todo), engine.cores, dollars_per_core_hour)
        if todo:
            _make_rows(engine, job, todo, worker, journal, meter)
        others, failed = journal.count(items)
        costs = meter.costs()
        made = {"kind": "vmf batch", "rows": job.rows, "options": options}
        table.write(out, lambda: journal.rows(items), job.rows, made)
    if others:
        say(f"{out}: {others:,} rows of files that are not named now are kept")
    return BatchResult(str(out), engine.name, len(items), failed, done_before, others, costs)


def journal_of(out: str | Path) -> Path:
    """The journal of a table."""
    out = Path(out)
    return out.with_name(out.name + JOURNAL)


def check_out(
    rows: RowKind, items: Sequence[BatchItem], out: str | Path, *, overwrite: bool = False
) -> None:
    """Check that a table can be written, before the model is loaded.

    Raises:
        UserError: If it cannot, or there is a file that is not ours.
    """
    out = Path(out)
    table = table_format(out)
    if rows not in table.kinds:
        raise UserError(f"--out {out}: {table.suffix} is for embeddings, not for {rows}")
    for file in (out, journal_of(out)):
        check_file(file)
    place = str(out.absolute())
    if any(item.file == place for item in items):
        raise UserError(f"--out {out} is one of the videos")
    if out.exists() and not overwrite and not is_journal(journal_of(out)):
        raise UserError(
            f"{out} is there, and no {journal_of(out).name} beside it says what is in it: name "
            "another --out, or --overwrite replaces it"
        )


def options_of(job: BatchJob, worker: BatchWorker) -> dict[str, Any]:
    """What rows depend on; a later run with others is refused."""
    common = {
        "model": job.model.digest,
        "rows": job.rows,
        "precision": job.precision,
        "backend": job.reading.backend,
        "frame_rate": job.reading.frame_rate,
        "partial": job.reading.partial,
    }
    if job.rows == "events":
        return common | worker.event_options()
    views = {"num_views": job.num_views, "num_crops": job.num_crops}
    if job.rows == "embeddings":
        return common | views | {"tokens": job.tokens}
    return common | views | {"average": job.average, "top_k": job.top_k}


def _make_rows(
    engine: Engine,
    job: BatchJob,
    todo: Sequence[BatchItem],
    worker: BatchWorker,
    journal: BatchJournal,
    meter: Meter,
) -> None:
    next_line = _FIRST_ESTIMATE_SECONDS
    try:
        with progress_bar("batch") as show, contextlib.closing(engine(job, todo, worker)) as made:
            for rows in made:
                journal.add(rows)
                meter.add(rows)
                show(meter.files, meter.of_files)
                if meter.working_seconds >= next_line:
                    say(meter.costs().line())
                    next_line = meter.working_seconds + _FURTHER_SECONDS
    except KeyboardInterrupt:
        say(f"{len(journal):,} rows are kept in {journal.path}; the same command goes on")
        raise

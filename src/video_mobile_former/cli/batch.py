"""The command ``vmf batch``: parse, call, print."""

from __future__ import annotations

import argparse
import functools
from typing import TYPE_CHECKING, Annotated, Any

from ..console import say
from ..errors import UserError
from ..ranges import NotNegative, Range
from ..text import printable
from .find import add_event_options, event_settings
from .options import (
    EXIT_FAILED_FILES,
    add_device,
    add_overwrite,
    add_reading,
    add_views,
    check_trained,
    model_of,
    print_json,
    reading_of,
)
from .parser import add_command, typed, whole_number

if TYPE_CHECKING:
    from ..inference.batch.job import BatchJob, EventOptions, RowKind
    from ..inference.batch.run import BatchResult, Engine

_ROWS = ("labels", "embeddings", "events")


def add_batch(commands: Any) -> None:
    """Add ``batch`` to the commands of ``vmf``."""
    parser = add_command(
        commands,
        "batch",
        run,
        "rows for very many files, on one machine or a cluster",
        "Each row is kept as soon as it is made; the same command goes on after any interruption.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="checkpoint folder, as runs/x/best, or artefact of export"
    )
    add_sources(parser)
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="table to write: .parquet or .jsonl"
    )
    parser.add_argument(
        "--rows",
        choices=_ROWS,
        default="labels",
        help="what a row has: the likeliest labels (default), embeddings, or events",
    )
    parser.add_argument(
        "--top_k",
        type=whole_number(1, 100_000),
        default=5,
        metavar="N",
        help="labels a row (default: 5)",
    )
    parser.add_argument(
        "--tokens", action="store_true", help="of embeddings: the global tokens as well"
    )
    add_engine(parser)
    add_views(parser)
    add_reading(parser)
    add_device(parser)
    parser.fill = lambda parser: add_event_options(parser.add_argument_group("of --rows events"))


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the videos of a batch run."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="files, folders, quoted patterns, lists (.csv, .tsv, .txt), shards, or URLs of these",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add what does the work, and how a run goes on."""
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="processes of this machine (default), or actors of a Ray cluster",
    )
    parser.add_argument(
        "--address",
        metavar="ADDRESS",
        help="of the Ray cluster: auto, host:port or ray://host:port; default: a local one",
    )
    parser.add_argument(
        "--num_workers",
        type=typed(Annotated[int, Range(0, 100_000)]),
        metavar="N",
        help="processes or actors; 0: none but this one (default: the cores)",
    )
    parser.add_argument(
        "--gpus_per_worker",
        type=typed(Annotated[float, Range(0, 64)]),
        default=0.0,
        metavar="NUMBER",
        help="of --engine ray: GPUs that an actor holds, as 0.25 (default: 0)",
    )
    parser.add_argument(
        "--batch_size",
        type=whole_number(1, 1024),
        metavar="N",
        help="videos in one forward pass (default: 1 on the CPU, else 8)",
    )
    parser.add_argument(
        "--dollars_per_core_hour",
        type=typed(NotNegative),
        metavar="NUMBER",
        help="price of a core, for the estimate of costs",
    )
    parser.add_argument("--restart", action="store_true", help="make all rows anew")
    parser.add_argument(
        "--retry_failed", action="store_true", help="try files again that could not be read"
    )
    add_overwrite(parser, "replace an --out that vmf batch did not write")


def run(args: argparse.Namespace) -> int:
    """Make the rows; the exit status is 1 where some files failed."""
    if args.tokens and args.rows != "embeddings":
        raise UserError("--tokens needs --rows embeddings")
    result, _ = batch_of(args, args.rows)
    if args.json:
        print_json({"model": args.model, **result.to_dict()})
    else:
        print_result(result)
    return EXIT_FAILED_FILES if result.num_failed else 0


def print_result(result: BatchResult) -> None:
    """Say what was done."""
    from ..inference.batch.costs import amount, duration, hours

    costs = result.costs
    failed = f", {result.num_failed:,} of them with an error" if result.num_failed else ""
    print(f"{printable(result.out)}: {result.num_files + result.kept:,} rows{failed}")
    if costs.files:
        spent = f"{amount(costs.core_hours)} core-hours"
        spent += "" if costs.dollars is None else f", ${amount(costs.dollars)}"
        say(
            f"{costs.files:,} files, {hours(costs.video_hours)} of video, in "
            f"{duration(costs.elapsed_seconds)}: {spent}"
        )


def batch_of(args: argparse.Namespace, rows: RowKind) -> tuple[BatchResult, BatchJob]:
    """Do what the options ask for.

    Args:
        args: With the options of :func:`add_engine`, :func:`add_views`, :func:`add_reading` and
            :func:`add_device`, ``model``, ``sources`` and ``out``.
        rows: What a row has.

    Raises:
        UserError: If the options do not fit one another, the sources or the model.
    """
    from ..inference.batch.run import check_out, run_batch
    from ..inference.batch.sources import batch_items

    engine = _engine(args)
    check_out(rows, (), args.out, overwrite=args.overwrite)
    job = job_of(args, rows)
    items = batch_items(args.sources)
    result = run_batch(
        job,
        items,
        args.out,
        engine,
        restart=args.restart,
        retry_failed=args.retry_failed,
        overwrite=args.overwrite,
        dollars_per_core_hour=args.dollars_per_core_hour,
    )
    return result, job


def job_of(args: argparse.Namespace, rows: RowKind) -> BatchJob:
    """The job that the options describe.

    Raises:
        UserError: If the model cannot be read or options are wrong.
    """
    from ..export.loading import load_model
    from ..inference.batch.job import BatchJob, EventOptions
    from ..inference.batch.model_files import ModelFiles

    check_trained(args.model)
    reading = reading_of(args)
    reading.check()
    return BatchJob(
        model=ModelFiles.read(args.model),
        load=functools.partial(load_model, threads=1),
        rows=rows,
        top_k=getattr(args, "top_k", 5),
        tokens=args.tokens,
        events=_events(args) if rows == "events" else EventOptions(),
        num_views=args.num_views,
        num_crops=args.num_crops,
        average=getattr(args, "average", "probabilities"),
        precision=args.precision,
        device=args.device,
        reading=reading,
    )


def _events(args: argparse.Namespace) -> EventOptions:
    from ..inference.batch.job import EventOptions

    settings, thresholds = event_settings(args, model_of(args))
    return EventOptions(settings, thresholds, args.window_seconds, args.stride_seconds)


def _engine(args: argparse.Namespace) -> Engine:
    if args.engine == "local":
        for name in ("address", "gpus_per_worker"):
            if getattr(args, name):
                raise UserError(f"--{name} is of --engine ray")
        from ..inference.batch.local import LocalEngine

        return LocalEngine(args.num_workers, args.batch_size)
    from ..integrations.ray_data import RayEngine

    return RayEngine(
        args.num_workers,
        args.batch_size,
        address=args.address,
        gpus_per_worker=args.gpus_per_worker,
    )

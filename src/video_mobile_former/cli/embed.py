"""The command ``vmf embed``: parse, call, print."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..console import say
from ..errors import UserError
from ..ranges import Range
from ..text import printable
from .batch import add_engine, add_sources, batch_of, print_result
from .options import (
    EXIT_FAILED_FILES,
    add_device,
    add_reading,
    add_views,
    check_trained,
    print_json,
)
from .parser import add_command, typed, whole_number

if TYPE_CHECKING:
    from ..inference.batch.job import BatchJob
    from ..inference.similar import Embeddings, Match


def add_embed(commands: Any) -> None:
    """Add ``embed`` to the commands of ``vmf``."""
    parser = add_command(
        commands,
        "embed",
        run,
        "features of clips: find the nearest, or copies in two sets",
        "An interrupted run goes on where it was; what is done is not done again.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="checkpoint folder, as runs/x/best (artefacts: scores only)"
    )
    add_sources(parser)
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="table to write: .parquet, .npz or .jsonl"
    )
    parser.add_argument("--tokens", action="store_true", help="the global tokens as well")
    parser.add_argument(
        "--nearest", metavar="QUERY", help="then print the clips of --out most like this video"
    )
    parser.add_argument(
        "--top_k",
        type=whole_number(1, 100_000),
        default=10,
        metavar="N",
        help="of --nearest: how many (default: 10)",
    )
    parser.add_argument(
        "--duplicates",
        metavar="OTHER",
        help="then print pairs that are alike in --out and another file of vmf embed",
    )
    parser.add_argument(
        "--threshold",
        type=typed(Annotated[float, Range(0, 1)]),
        default=0.98,
        metavar="NUMBER",
        help="of --duplicates: least cosine (default: 0.98)",
    )
    add_engine(parser)
    add_views(parser, average=False)
    add_reading(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Embed, compare and print; the exit status is 1 where some files failed."""
    from ..inference.similar import duplicates, nearest, read_embeddings

    check_trained(args.model)
    other = None if args.duplicates is None else read_embeddings(args.duplicates)
    if args.nearest is not None and "://" not in args.nearest and not Path(args.nearest).exists():
        raise UserError(f"--nearest {args.nearest}: no such file")
    result, job = batch_of(args, "embeddings")
    report = {"model": args.model, **result.to_dict()}
    found: Embeddings | None = None
    near: list[dict[str, Any]] = []
    pairs: list[Match] = []
    if other is not None or args.nearest is not None:
        found = read_embeddings(args.out)
    if found is not None and args.nearest is not None and len(found.paths):
        query = _query(job, args.nearest)
        best = nearest(found.features, query, args.top_k)
        near = [{"path": found.paths[i], "similarity": round(s, 6)} for i, s in best]
        report["nearest"] = near
    if found is not None and other is not None:
        found.check_comparable(other, str(args.duplicates))
        pairs = list(duplicates(found, other, args.threshold))
        report["duplicates"] = [
            {"path": pair.path, "other": pair.other, "similarity": round(pair.similarity, 6)}
            for pair in pairs
        ]
    if args.json:
        print_json(report)
    else:
        print_result(result)
        _print_matches([(each["similarity"], each["path"]) for each in near])
        _print_matches((pair.similarity, pair.path, pair.other) for pair in pairs)
        if other is not None:
            say(f"{len(pairs):,} pairs at {args.threshold:g} or more")
    return EXIT_FAILED_FILES if result.num_failed else 0


def _query(job: BatchJob, source: str) -> Any:
    """The features of the video that others are compared with."""
    from ..inference import Predictor

    predictor = Predictor(
        job.load(job.model.name, precision=job.precision),
        device=job.device,
        num_views=job.num_views,
        num_crops=job.num_crops,
        precision=job.precision,
        reading=job.reading,
    )
    return predictor.embed(source).features


def _print_matches(rows: Iterable[tuple[Any, ...]]) -> None:
    for similarity, *paths in rows:
        print(f"{similarity:6.3f}  {'  '.join(printable(path) for path in paths)}")

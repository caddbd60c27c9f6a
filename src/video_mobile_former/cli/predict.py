"""The command ``vmf predict``: parse, call, print."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from ..console import say
from ..errors import UserError
from ..files import check_folder, check_replaceable
from ..ranges import Range
from .options import (
    add_overwrite,
    add_run_options,
    add_views,
    model_of,
    out_file,
    print_json,
    reading_of,
)
from .parser import add_command, typed, whole_number
from .persons import add_persons, asks_for_persons, predict_each


def add_predict(commands: Any) -> None:
    """Add ``predict`` to the commands of ``vmf``."""
    parser = add_command(commands, "predict", run, "name the action in video files")
    parser.add_argument(
        "model", metavar="MODEL", help="checkpoint folder, as runs/x/best, or artefact of export"
    )
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="files, folders or quoted patterns"
    )
    parser.add_argument(
        "--top_k",
        type=whole_number(1, 100_000),
        default=5,
        metavar="N",
        help="classes per file (default: 5)",
    )
    parser.add_argument(
        "--csv", type=out_file, metavar="FILE", help="also write path,rank,label,score,error"
    )
    parser.add_argument(
        "--attention",
        metavar="FILE.mp4",
        help="also write a video of what each global token looks at; of several videos, a folder "
        "with one of each",
    )
    parser.add_argument(
        "--attention_block",
        type=typed(Annotated[int, Range(-1, 1000)]),
        metavar="N",
        help="the block whose bridge is shown, from 0, or -1 for the head's (default: the mean of "
        "all)",
    )
    add_persons(parser)
    add_overwrite(parser, "replace a --csv or --attention that vmf did not write")
    add_views(parser)
    add_run_options(parser)


def run(args: argparse.Namespace) -> int:
    """Predict and print; the exit status is 1 where some files failed."""
    from ..console import track
    from ..inference import Prediction, Predictor, exit_status, expand_sources
    from ..inference.attention import attention_of, check_tokens
    from ..inference.attention_pictures import write_attention_video
    from ..inference.output import PredictionTable, failure_summary, to_json, write_csv

    persons = asks_for_persons(args)
    if args.csv is not None:
        check_replaceable([args.csv], args.csv, overwrite=args.overwrite)
    paths = expand_sources(args.sources)
    if args.csv is not None and any(
        Path(args.csv).resolve() == Path(path).resolve() for path in paths
    ):
        raise UserError(f"--csv {args.csv} is one of the videos")
    videos = _attention_files(args, paths)
    model = model_of(args)
    if videos:
        check_tokens(model, args.attention_block)
    predictor = Predictor(
        model,
        device=args.device,
        num_views=args.num_views,
        num_crops=args.num_crops,
        precision=args.precision,
        average=args.average,
        reading=reading_of(args),
    )
    if persons:
        return predict_each(args, paths, predictor)
    found = predictor.predict_many(paths, top_k=args.top_k, num_workers=args.num_workers)
    table = PredictionTable(paths, labels=predictor.class_names)
    results = []
    if not args.json:
        if predictor.scorer.multi_label:
            say("several classes may hold at once: scores need not sum to 1")
        print("\n".join(table.head()))
    for number, result in enumerate(track(found, description="predicting", total=len(paths))):
        results.append(result)
        if videos and isinstance(result, Prediction):
            seen = attention_of(
                predictor.scorer.model,
                result.path,
                reading=predictor.reading,
                block=args.attention_block,
            )
            write_attention_video(
                videos[number], seen, label=result.labels[0], score=result.scores[0]
            )
        if not args.json:
            print("\n".join(table.lines(result)), flush=True)
    if args.csv is not None:
        write_csv(args.csv, results, overwrite=args.overwrite)
    if args.json:
        found = to_json(
            results,
            model=args.model,
            num_views=args.num_views,
            multi_label=predictor.scorer.multi_label,
            artefact=predictor.scorer.model.facts,
        )
        for entry, video in zip(found["results"], videos, strict=False):
            entry["attention"] = None if "error" in entry else str(video)
        print_json(found)
    for line in failure_summary(results):
        say(line)
    return exit_status(results)


def _attention_files(args: argparse.Namespace, paths: Sequence[Path | str]) -> list[Path]:
    """Where the video of each of ``paths`` is to be written; none without ``--attention``."""
    if args.attention is None:
        if args.attention_block is not None:
            raise UserError("--attention_block needs --attention, the file to write")
        return []
    from ..data.video.write import check_video_file
    from ..optional import require

    require("PIL.Image", extra="train", purpose="--attention")
    place = Path(args.attention)
    files = [place]
    if len(paths) > 1:
        if place.suffix:
            raise UserError(
                f"--attention {place} is one file for {len(paths)} videos: name a folder"
            )
        check_folder(place)
        files, taken = [], set()
        for path in paths:
            stem = name = Path(path).stem or "video"
            number = 1
            while name.casefold() in taken:
                number += 1
                name = f"{stem}-{number}"
            taken.add(name.casefold())
            files.append(place / f"{name}.mp4")
    sources = {Path(path).resolve() for path in paths}
    for file in files:
        if file.resolve() in sources:
            raise UserError(f"--attention {file} is one of the videos")
        check_video_file(file, overwrite=args.overwrite)
    return files

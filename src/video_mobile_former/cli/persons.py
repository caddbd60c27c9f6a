"""`vmf predict --boxes` and `--detector`: what each person in videos does."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..console import progress_bar, say
from ..errors import UserError, VideoError
from ..ranges import FrameRate, Range
from ..text import encodable, printable
from .options import EXIT_FAILED_FILES, digest, print_json
from .parser import typed

if TYPE_CHECKING:
    from ..data.video.backend import Reading
    from ..inference.persons.follow import Looker


def add_persons(parser: argparse._ActionsContainer) -> None:
    """Add the options of persons, by a list or a detector."""
    parser.add_argument(
        "--boxes",
        metavar="FILE",
        help="each person by itself: CSV or JSON lines with frame or seconds, x1,y1,x2,y2 and, if "
        "known, score,track,path",
    )
    add_detector(parser)


def add_detector(parser: argparse._ActionsContainer) -> None:
    """Add the options of persons who are found by a detector."""
    parser.add_argument(
        "--detector",
        metavar="FILE.onnx",
        help="each person by itself, found by this detector (see docs/persons.md)",
    )
    parser.add_argument(
        "--person",
        type=typed(Annotated[int, Range(0, 100_000)]),
        metavar="N",
        help="of --detector: the class of persons, from 0 (default: 0)",
    )
    parser.add_argument(
        "--detector_rate",
        type=typed(FrameRate),
        metavar="NUMBER",
        help="of --detector: pictures a second that are looked at (default: 10)",
    )


def _check_options(args: argparse.Namespace) -> None:
    if args.detector is None:
        for name in ("person", "detector_rate"):
            if getattr(args, name) is not None:
                raise UserError(f"--{name} needs --detector")
    if getattr(args, "boxes", None) is not None and args.detector is not None:
        raise UserError("--boxes or --detector, not both")


def detecting_lookers_of(args: argparse.Namespace) -> Callable[[], Looker] | None:
    """What makes the looker of one stream by ``--detector``; None where it is not given.

    Raises:
        UserError: If the detector cannot be used, or options do not go together.
    """
    _check_options(args)
    if args.detector is None:
        return None
    from ..inference.persons.detector import Detector
    from ..inference.persons.follow import DetectingLooker

    detector, rate = Detector(args.detector, person=args.person or 0), args.detector_rate or 10.0
    DetectingLooker(detector, rate)  # says what is missing before work starts
    return lambda: DetectingLooker(detector, rate)


def lookers_of(args: argparse.Namespace, reading: Reading) -> Callable[[str], Looker] | None:
    """What makes the looker of one file by ``--detector`` or ``--boxes``; None without them.

    Raises:
        UserError: If a file cannot be used, or options do not go together.
    """
    detecting = detecting_lookers_of(args)
    if detecting is not None:
        return lambda path: detecting()
    if args.boxes is None:
        return None
    if not Path(args.boxes).is_file():
        raise UserError(f"--boxes {args.boxes}: no such file")

    def listed(path: str) -> Looker:
        from ..data.video.reader import VideoReader
        from ..inference.persons.follow import ListedLooker
        from ..inference.persons.recognise import boxes_of

        with VideoReader(path, reading=reading) as reader:
            info = reader.info
        return ListedLooker(boxes_of(path, args.boxes, reading=reading), info.width, info.height)

    return listed


def persons_options(args: argparse.Namespace) -> dict[str, Any]:
    """What results depend on, for a run that goes on later; empty where nobody is followed."""
    if args.detector is not None:
        rate = args.detector_rate or 10.0
        return {"detector": digest(args.detector), "person": args.person or 0, "rate": rate}
    return {} if args.boxes is None else {"boxes": digest(args.boxes)}


def asks_for_persons(args: argparse.Namespace) -> bool:
    """Whether each person is to be told by itself.

    Raises:
        UserError: If options do not go together.
    """
    _check_options(args)
    if args.boxes is None and args.detector is None:
        return False
    for name in ("csv", "attention"):
        if getattr(args, name) is not None:
            raise UserError(f"--{name} is not written for persons: take --json")
    if args.num_crops != 1:
        raise UserError("--num_crops must be 1 for persons, whose crop is that of their box")
    return True


def predict_each(args: argparse.Namespace, paths: Sequence[Path | str], predictor: Any) -> int:
    """Predict and print; the exit status is 1 where some videos could not be read."""
    from ..inference.persons.detector import Detector
    from ..inference.persons.recognise import boxes_of, predict_persons

    source = args.boxes
    if args.detector is not None:
        source = Detector(args.detector, person=args.person or 0)
    found: list[dict[str, Any]] = []
    failed = 0
    for path in paths:
        name = str(path)
        try:
            with progress_bar("looking for persons") as show:
                boxes = boxes_of(
                    path,
                    source,
                    rate=args.detector_rate or 10.0,
                    reading=predictor.reading,
                    progress=show,
                )
            persons = list(predict_persons(predictor, path, boxes, top_k=args.top_k))
        except VideoError as error:
            failed += 1
            say(f"failed: {printable(str(error))}")
            found.append({"path": encodable(name), "error": encodable(error.reason)})
            continue
        found.append({"path": encodable(name), "persons": [one.to_dict() for one in persons]})
        if not args.json:
            print(printable(name))
            for one in persons:
                label, score = one.prediction.labels[0], one.prediction.scores[0]
                when = f"{one.start_seconds:8.2f} to {one.end_seconds:8.2f} s"
                print(f"  person {one.track:<4} {when}  {score:.3f}  {printable(label)}")
            if not persons:
                print("  nobody")
    if args.json:
        print_json(
            {
                "model": encodable(args.model),
                "num_views": args.num_views,
                "multi_label": predictor.scorer.multi_label,
                "num_files": len(paths),
                "num_failed": failed,
                "results": found,
            }
        )
    return EXIT_FAILED_FILES if failed else 0

"""The command ``vmf find``: parse, call, print."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import progress_bar, say
from ..errors import UserError
from ..files import check_file, check_replaceable, write_text
from ..ranges import Positive
from ..text import printable
from .options import (
    EXIT_FAILED_FILES,
    add_device,
    add_overwrite,
    add_reading,
    digest,
    model_of,
    print_json,
    reading_of,
)
from .parser import add_command, add_field, typed, whole_number
from .persons import add_persons, lookers_of, persons_options

if TYPE_CHECKING:
    from ..inference.event_files import EventFormat
    from ..inference.events import EventSettings
    from ..inference.find import EventFinder, FileEvents

_FORMATS = ("csv", "jsonl", "srt", "vtt", "elan", "activitynet")
_JOURNAL = ".progress.jsonl"


def add_find(commands: Any) -> None:
    """Add ``find`` to the commands of ``vmf``."""
    parser = add_command(
        commands,
        "find",
        run,
        "find what happens when in long videos",
        "With --out, an interrupted run goes on where it was.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="checkpoint folder, as runs/x/best, or artefact of export"
    )
    parser.add_argument(
        "sources", nargs="+", metavar="FILE", help="videos, folders or quoted patterns"
    )
    parser.add_argument(
        "--out",
        metavar="PATH",
        help="file to write; a folder for srt, vtt and elan of several videos",
    )
    parser.add_argument("--format", choices=_FORMATS, help="default: by the ending of --out")
    parser.add_argument("--restart", action="store_true", help="find in all files anew")
    add_overwrite(parser, "replace an --out that vmf did not write")
    parser.add_argument(
        "--batch_size",
        type=whole_number(1, 1024),
        default=8,
        metavar="N",
        help="windows in one forward pass (default: 8)",
    )
    add_persons(parser)
    add_reading(parser)
    add_device(parser)
    parser.fill = add_event_options


def add_event_options(parser: argparse._ActionsContainer) -> None:
    """Add how windows are laid and how events are made of their scores."""
    from ..inference.events import EventSettings

    parser.add_argument(
        "--window_seconds",
        type=typed(Positive),
        metavar="NUMBER",
        help="length of a window; default: the model's clips, else 2",
    )
    parser.add_argument(
        "--stride_seconds",
        type=typed(Positive),
        metavar="NUMBER",
        help="from one window to the next; default: a quarter of a window",
    )
    for field in dataclasses.fields(EventSettings):
        if field.name == "on":
            text = "score from which a class is on; default: what the checkpoint says, else 0.5"
            add_field(parser, EventSettings, "on", default=None, help=text)
        else:
            add_field(parser, EventSettings, field.name)


def event_settings(
    args: argparse.Namespace, model: Any
) -> tuple[EventSettings, dict[str, tuple[float, float]]]:
    """The settings of :func:`add_event_options`, and the thresholds of the checkpoint.

    ``--on`` counts for all classes, whatever the checkpoint says.

    Raises:
        UserError: If they do not fit each other or the model.
    """
    from ..inference.events import EventSettings
    from ..inference.find import thresholds_of

    names = [field.name for field in dataclasses.fields(EventSettings) if field.name != "on"]
    on = {} if args.on is None else {"on": args.on}
    settings = EventSettings(**on, **{name: getattr(args, name) for name in names})
    if args.on is not None or args.off is not None:
        return settings, {}
    return settings, thresholds_of(model.info, model.class_names, args.model)


def run(args: argparse.Namespace) -> int:
    """Find and print; the exit status is 1 where some files failed."""
    from ..inference import expand_sources
    from ..inference.find import EventFinder, settings_dict
    from ..inference.find_journal import Journal
    from ..inference.stream import StreamPredictor

    paths = [str(path) for path in expand_sources(args.sources)]
    target = None if args.out is None else _Target(args, paths)
    reading = reading_of(args)
    reading.check()
    persons = lookers_of(args, reading)
    model = model_of(args)
    settings, thresholds = event_settings(args, model)
    predictor = StreamPredictor(
        model,
        device=args.device,
        precision=args.precision,
        window_seconds=args.window_seconds,
        stride_seconds=args.stride_seconds,
        batch_size=args.batch_size,
    )
    finder = EventFinder(
        predictor, settings, thresholds=thresholds, reading=reading, persons=persons
    )
    if target is None:
        results = _find_all(finder, paths, args)
    else:
        options = settings_dict(finder)
        options |= {"weights": digest(args.model), "precision": args.precision}
        options |= {"partial": args.partial, "frame_rate": args.frame_rate}
        options |= persons_options(args)
        with Journal(target.journal, options, restart=args.restart) as journal:
            results = _find_all(finder, paths, args, journal)
        target.write(results)
    if args.json:
        print_json(_report(results, finder, args))
    failed = [result for result in results if result.error is not None]
    if failed:
        files = f"{len(results)} file{'s' if len(results) > 1 else ''}"
        say(f"{len(failed)} of {files} could not be read:")
    for result in failed:
        say(f"  {printable(result.path)}: {printable(result.error or '')}")
    return EXIT_FAILED_FILES if failed else 0


def _find_all(
    finder: EventFinder, paths: Sequence[str], args: argparse.Namespace, journal: Any = None
) -> list[FileEvents]:
    """Results of all files, printed as they come unless ``--json`` prints them."""
    results = []
    known = 0
    with progress_bar("finding") as show:
        for number, path in enumerate(paths):
            result = None if journal is None else journal.result(path)
            if result is None:
                result = finder.find(path, progress=_shown(show, number, len(paths)))
                if journal is not None:
                    journal.add(result)
            else:
                known += 1
            results.append(result)
            if not args.json:
                _print(result)
    if known:
        say(f"{known} of {len(paths)} files were done before (all anew: --restart)")
    return results


def _shown(
    show: Callable[[int, int], None], number: int, files: int
) -> Callable[[float, float], None]:
    """Progress of one file as a part of all files."""
    parts = 1000

    def tell(done: float, of: float) -> None:
        share = min(1.0, done / of) if of else 1.0
        show(round(parts * (number + share)), parts * files)

    return tell


def _print(result: FileEvents) -> None:
    if result.error is not None:
        return
    count = len(result.events)
    print(f"{printable(result.path)}: {count} event{'' if count == 1 else 's'}")
    for event in result.events:
        times = f"{_clock(event.start_seconds)} – {_clock(event.end_seconds)}"
        print(f"  {times}  {event.score:5.3f}  {printable(event.name)}")


def _clock(seconds: float) -> str:
    tenths = round(10 * seconds)
    return f"{tenths // 36000}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}.{tenths % 10}"


def _report(
    results: Sequence[FileEvents], finder: EventFinder, args: argparse.Namespace
) -> dict[str, Any]:
    from ..inference.find import settings_dict

    return {
        "model": args.model,
        "options": settings_dict(finder),
        "num_files": len(results),
        "num_failed": sum(result.error is not None for result in results),
        "results": [result.to_dict() for result in results],
    }


class _Target:
    """Where ``--out`` leads, tried before work starts."""

    def __init__(self, args: argparse.Namespace, paths: Sequence[str]):
        from ..inference.event_files import event_format, places_of_files
        from ..inference.find_journal import is_journal

        self.out = Path(args.out)
        self.format: EventFormat = event_format(args.out, args.format)
        suffix = self.format.suffix
        if self.format.each and len(paths) > 1 and self.out.suffix.lower() == suffix:
            raise UserError(
                f"--out {args.out} names one file for {len(paths)} videos: name a folder, with "
                "--format"
            )
        self.files = places_of_files(self.out, paths, suffix) if self.format.each else [self.out]
        alone = self.files == [self.out]
        self.journal = (
            self.out.with_name(self.out.name + _JOURNAL) if alone else self.out / _JOURNAL[1:]
        )
        videos = {Path(path).resolve() for path in paths}
        twice = len(set(self.files)) < len(self.files)
        if twice or any(file.resolve() in videos for file in self.files):
            raise UserError(f"--out {args.out} is one of the videos, or two have the same name")
        if not alone and self.out.is_file():
            raise UserError(f"--out {args.out} is a file: name a folder for {len(paths)} videos")
        for file in (self.files[0], self.journal):
            check_file(file)
        if not is_journal(self.journal):
            for file in self.files:
                check_replaceable([file], file, overwrite=args.overwrite)

    def write(self, results: Sequence[FileEvents]) -> None:
        """Write the files."""
        if not self.format.each:
            write_text(self.out, self.format.write(results))
            return
        for file, result in zip(self.files, results, strict=True):
            if result.error is None:
                write_text(file, self.format.write([result]))

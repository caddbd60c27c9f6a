"""The command ``vmf watch``: parse, call, print."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..console import say
from ..errors import UserError
from ..files import check_replaceable
from ..ranges import FrameRate, Range, hints
from ..text import encodable, printable
from .find import add_event_options, event_settings
from .options import (
    EXIT_FAILED_FILES,
    add_device,
    add_overwrite,
    model_of,
    out_file,
    out_folder,
)
from .parser import Parser, add_command, add_field, typed, whole_number
from .persons import add_detector, detecting_lookers_of

if TYPE_CHECKING:
    from ..data.video.live import Address, LiveSource
    from ..inference.stream import StreamPredictor, StreamScores
    from ..inference.watch import Watch
    from ..inference.watch.mqtt import Mqtt
    from ..inference.watch.outbox import Outbox
    from ..inference.watch.saved_video import SavedVideo
    from ..inference.watch.webhook import Webhook

_EXIT_INTERRUPTED = 130
_MORE = (
    "A source is a camera (0, /dev/video0), an address (rtsp://, http(s)://, udp://), screen, "
    "- for stdin, a file, or a folder whose new files are taken; NAME=SOURCE gives it a name. "
    "Ends with Ctrl-C, or when all sources have ended. See docs/live.md."
)


def add_watch(commands: Any) -> None:
    """Add ``watch`` to the commands of ``vmf``."""
    parser = add_command(commands, "watch", run, "name actions in live video as they happen", _MORE)
    parser.add_argument(
        "model", metavar="MODEL", help="checkpoint folder, as runs/x/best, or artefact of export"
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="what is watched; see above")
    parser.fill = _fill


def _fill(parser: Parser) -> None:
    from ..data.video.live import LiveSettings
    from ..inference.events import EventSettings

    windows = parser.add_argument_group("windows and events")
    add_event_options(windows)
    windows.add_argument(
        "--cooldown",
        dest="cooldown_seconds",
        type=typed(hints(EventSettings)["cooldown_seconds"]),
        default=argparse.SUPPRESS,
        metavar="NUMBER",
        help="the same as --cooldown_seconds",
    )
    windows.add_argument(
        "--batch_size",
        type=whole_number(1, 1024),
        metavar="N",
        help="windows in one pass of the model, at most; default: 1 on a CPU, else 8",
    )
    sources = parser.add_argument_group("sources")
    for field in dataclasses.fields(LiveSettings):
        add_field(sources, LiveSettings, field.name)
    add_detector(parser.add_argument_group("persons"))
    outputs = parser.add_argument_group("where events go")
    outputs.add_argument(
        "--save_video",
        type=out_file,
        metavar="FILE",
        help="MP4 of what was watched, with label, score and timeline; of several sources one each",
    )
    outputs.add_argument(
        "--save_rate",
        type=typed(FrameRate),
        default=15.0,
        metavar="NUMBER",
        help="its frames per second, at most (default: 15)",
    )
    outputs.add_argument(
        "--font", metavar="FILE", help="font of its text, for labels in letters that are not Latin"
    )
    outputs.add_argument(
        "--webhook", metavar="URL", help="gets each event as a POST of JSON, again until it has it"
    )
    outputs.add_argument(
        "--mqtt",
        metavar="URL",
        help="mqtt[s]://[user:password@]host[:port][/topic]: broker for events and states",
    )
    outputs.add_argument(
        "--mqtt_discovery",
        default="homeassistant",
        metavar="PREFIX",
        help="where Home Assistant looks for descriptions; empty for none (default: homeassistant)",
    )
    outputs.add_argument(
        "--outbox",
        type=out_folder,
        metavar="FOLDER",
        help="where events wait for a webhook or broker that is away; default: in the user's cache",
    )
    outputs.add_argument(
        "--outbox_limit",
        type=whole_number(1, 100_000_000),
        default=100_000,
        metavar="N",
        help="events that wait for each, at most; the oldest give way (default: 100000)",
    )
    add_overwrite(parser, "replace a --save_video that is there")
    parser.add_argument(
        "--duration",
        type=typed(Annotated[float, Range(above=0)]),
        metavar="SECONDS",
        help="end after so long",
    )
    parser.add_argument(
        "--scores", action="store_true", help="also print the best classes of each window"
    )
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Watch and print; 1 where a source was given up, 130 after Ctrl-C."""
    from ..data.video.live import LiveSettings, LiveSource, read_addresses
    from ..inference.events import EventDetector
    from ..inference.persons.follow import person_chooser
    from ..inference.stream import StreamPredictor

    live = LiveSettings(**{f.name: getattr(args, f.name) for f in dataclasses.fields(LiveSettings)})
    addresses = read_addresses(args.sources)
    sources = [LiveSource(address, live, report=say) for address in addresses]
    detect = detecting_lookers_of(args)
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

    def detector() -> EventDetector:
        return EventDetector(
            predictor.num_classes,
            settings,
            class_names=predictor.class_names,
            thresholds=thresholds,
        )

    detector()
    videos = _videos(args.save_video, addresses)
    for path in videos.values():
        check_replaceable([path], path, overwrite=args.overwrite)
    with contextlib.ExitStack() as stack:
        outboxes = _outboxes(args, stack)
        _open(sources, live.start_anyway)
        saved = _saved(args, videos, sources, settings.on)
        webhook, mqtt = _receivers(args, outboxes, sources)
        printer = _Printer(args.json, predictor)
        from ..inference.watch import Watch

        watch = Watch(
            predictor,
            sources,
            detector=detector,
            on_event=printer.event,
            receivers=[receiver for receiver in (webhook, mqtt) if receiver is not None],
            saved=saved,
            on_scores=printer.scores if args.scores else None,
            on_available=lambda name, there: _available(printer, mqtt, name, there),
            chooser=None if detect is None else lambda: person_chooser(predictor, detect()),
        )
        say(_begin(predictor, len(sources)))
        with _stopping() as stop, printer.shown(watch):
            watch.run(stop.event, tick=printer.tick, duration_seconds=args.duration)
        return _end(args, watch, printer, videos, outboxes, stop.by_user)


def _begin(predictor: StreamPredictor, count: int) -> str:
    window = f"windows of {predictor.window_seconds:.3g} s, one"
    how = "steps" if predictor.is_streaming else window
    sources = f"{count} source{'s' * (count > 1)}"
    return f"watching {sources}: {how} every {predictor.stride_seconds:.3g} s; Ctrl-C ends"


def _open(sources: Sequence[LiveSource], start_anyway: bool) -> None:
    """Connect to all sources at once, so that the first mistake is known before all else."""
    with ThreadPoolExecutor(len(sources)) as pool:
        for attempt in [pool.submit(source.open) for source in sources]:
            try:
                attempt.result()
            except UserError:
                if not start_anyway:
                    for source in sources:
                        source.close()
                    raise


def _videos(text: str | None, addresses: Sequence[Address]) -> dict[str, Path]:
    """Files of saved videos by source; of several their names are part of the files'."""
    from ..inference.watch.mqtt import slugs

    if text is None:
        return {}
    path = Path(text)
    if path.suffix.lower() not in (".mp4", ".m4v", ".mov"):
        raise UserError(f"--save_video {text}: name a file that ends in .mp4")
    if any(address.kind == "folder" for address in addresses):
        raise UserError("--save_video: a watched folder is no one video, and its files are there")
    names = [address.name for address in addresses]
    if len(names) == 1:
        return {names[0]: path}
    return {n: path.with_name(f"{path.stem}-{s}{path.suffix}") for n, s in slugs(names).items()}


def _saved(
    args: argparse.Namespace, videos: dict[str, Path], sources: Sequence[LiveSource], on: float
) -> dict[str, SavedVideo]:
    from ..inference.watch.saved_video import SavedVideo

    return {
        source.address.name: SavedVideo(
            videos[source.address.name],
            source.address.name,
            rate=args.save_rate,
            waits=not source.is_live,
            threshold=on,
            font=args.font,
            report=say,
        )
        for source in sources
        if videos
    }


def _outboxes(args: argparse.Namespace, stack: contextlib.ExitStack) -> dict[str, Outbox]:
    from ..inference.watch.outbox import Outbox, default_folder

    found = {}
    for name in ("webhook", "mqtt"):
        url = getattr(args, name)
        if url is not None:
            folder = Path(args.outbox) / name if args.outbox else default_folder(url)
            found[name] = Outbox(folder, limit=args.outbox_limit, report=say)
            stack.callback(found[name].close)
    return found


def _receivers(
    args: argparse.Namespace, outboxes: dict[str, Outbox], sources: Sequence[LiveSource]
) -> tuple[Webhook | None, Mqtt | None]:
    from ..inference.watch.mqtt import Mqtt
    from ..inference.watch.webhook import Webhook

    webhook = mqtt = None
    names = [encodable(source.address.name) for source in sources]
    if args.mqtt is not None:
        mqtt = Mqtt(args.mqtt, names, outboxes["mqtt"], say, discovery=args.mqtt_discovery)
    if args.webhook is not None:
        webhook = Webhook(args.webhook, outboxes["webhook"], say)
    return webhook, mqtt


def _available(printer: _Printer, mqtt: Mqtt | None, name: str, there: bool) -> None:
    printer.available(name, there)
    if mqtt is not None:
        mqtt.available(encodable(name), there)


def _end(
    args: argparse.Namespace,
    watch: Watch,
    printer: _Printer,
    videos: dict[str, Path],
    outboxes: dict[str, Outbox],
    by_user: bool,
) -> int:
    from ..inference.watch.lines import summary_lines

    printer.summary()
    for line in summary_lines(watch.status()):
        say(line)
    for path in videos.values():
        if path.exists():
            say(f"saved {path}")
    for name, outbox in outboxes.items():
        if len(outbox):
            option = f"--outbox {args.outbox}" if args.outbox else f"the same --{name}"
            say(f"{len(outbox)} events wait in {outbox.folder}; a run with {option} sends them")
    for error in watch.errors:
        say(error)
    if watch.errors:
        return EXIT_FAILED_FILES
    return _EXIT_INTERRUPTED if by_user else 0


class _Stop:
    """Whether to end, and who said so."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.by_user = False


@contextlib.contextmanager
def _stopping() -> Iterator[_Stop]:
    """Ctrl-C and SIGTERM end the watch cleanly; a second Ctrl-C ends it at once."""
    stop = _Stop()

    def interrupted(number: int, frame: object) -> None:
        if stop.event.is_set():
            raise KeyboardInterrupt
        stop.by_user = number == signal.SIGINT
        stop.event.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {n: signal.signal(n, interrupted) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Printer:
    """Events as lines or JSON on stdout; on a terminal's stderr, how sources are doing."""

    def __init__(self, as_json: bool, predictor: StreamPredictor):
        self._json, self._predictor = as_json, predictor
        self._watch: Watch | None = None
        self._live: Any = None

    @contextlib.contextmanager
    def shown(self, watch: Watch) -> Iterator[None]:
        """Show a line for each source while it is watched."""
        self._watch = watch
        if self._json or not sys.stderr.isatty():
            yield
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, highlight=False, markup=False)
        on_terminal = sys.stdout.isatty()
        with Live(
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=on_terminal,
            redirect_stderr=True,
        ) as self._live:
            yield
        self._live = None

    def tick(self) -> None:
        """Show how sources are doing now."""
        if self._live is None or self._watch is None:
            return
        from rich.text import Text

        from ..inference.watch.lines import status_line

        width = self._live.console.width - 1
        lines = [status_line(status, width) for status in self._watch.status()]
        self._live.update(Text("\n".join(lines), no_wrap=True), refresh=True)

    def event(self, event: dict[str, Any]) -> None:
        """Print an event."""
        if self._json:
            self._line(event)
        elif event["type"] != "update":
            from ..inference.watch.lines import event_line

            print(event_line(event), flush=True)

    def scores(self, scores: StreamScores) -> None:
        """Print the best classes of a window."""
        best = scores.probabilities.argsort()[::-1][:5]
        names = [self._predictor.label(int(number)) for number in best]
        values = [round(float(scores.probabilities[number]), 6) for number in best]
        if self._json:
            pairs = zip(names, values, strict=True)
            self._line(
                {
                    "type": "scores",
                    "source": encodable(scores.stream),
                    **({} if scores.track is None else {"track": scores.track}),
                    "start_seconds": round(scores.start_seconds, 3),
                    "end_seconds": round(scores.end_seconds, 3),
                    "predictions": [{"label": encodable(n), "score": v} for n, v in pairs],
                }
            )
        else:
            three = list(zip(names, values, strict=True))[:3]
            shown = "  ".join(f"{printable(n)} {v:.2f}" for n, v in three)
            who = "" if scores.track is None else f" #{scores.track}"
            name = printable(scores.stream) + who
            print(f"{scores.end_seconds:8.2f}  {name}  {shown}", flush=True)

    def available(self, name: str, there: bool) -> None:
        """Say in JSON that a source gives pictures, or no longer."""
        if self._json and self._watch is not None:
            (status,) = [s for s in self._watch.status() if s.name == name]
            line = {"type": "source", "source": encodable(name), "state": status.phase}
            self._line(line | ({"reason": encodable(status.reason)} if status.reason else {}))

    def summary(self) -> None:
        """Print in JSON how each source did."""
        if not self._json or self._watch is None:
            return
        for status in self._watch.status():
            fields = dataclasses.asdict(status)
            del fields["events"], fields["since_seconds"], fields["silent_seconds"]
            del fields["label"], fields["score"], fields["rate"]
            fields["source"], fields["state"] = fields.pop("name"), fields.pop("phase")
            self._line({"type": "summary", **fields})

    def _line(self, record: dict[str, Any]) -> None:
        print(json.dumps(record, ensure_ascii=True, allow_nan=False), flush=True)
